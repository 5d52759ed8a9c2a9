"""A site with three schemes, its users, and what it says of who asks."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck import Context, Cookie, Session, session
from coatcheck.auth import (
    ApiKeyScheme,
    Auth,
    BearerScheme,
    Failure,
    Scheme,
    SessionScheme,
    Success,
    auth,
    require_auth,
)
from coatcheck.router import Router
from coatcheck.storage import MemoryStorage
from tests.asgi_requests import ask

SECRET = "a secret that is long enough for any test"
USERS = {"1": "ada", "2": "grace"}
TOKENS = {"t.o-k_e~n+/==": "ada"}
KEYS = {sha256(b"the-key").hexdigest(): "grace"}


def user_of_key(key: str) -> str | None:
    """Look a key up by its digest: that takes as long for a key that is nearly right."""
    return KEYS.get(sha256(key.encode()).hexdigest())


def sessions(**options: Any) -> Callable[[ASGIApp], ASGIApp]:
    return session(Cookie("s", secrets=[SECRET], secure=False), MemoryStorage(), **options)


def by_session(**options: Any) -> SessionScheme:
    return SessionScheme(read=lambda s: s.get("user_id"), verify=USERS.get, **options)


def by_token() -> BearerScheme:
    return BearerScheme(verify=TOKENS.get, realm="api")


def by_key() -> ApiKeyScheme:
    return ApiKeyScheme(verify=user_of_key)


async def whoami(context: Context) -> Response:
    """Answer with the state."""
    state = context.get(Auth)
    return JSONResponse([state.ok, state.identity, state.method, state.error])


async def sign_in(context: Context) -> Response:
    """Sign a user in by number, unchecked."""
    current = context.get(Session)
    current.set("user_id", context.params["id"])
    current.set("cart", ["hat"])
    current.regenerate_id()
    return PlainTextResponse("done")


async def keys(context: Context) -> Response:
    """Answer with what the session holds."""
    return JSONResponse(sorted(context.get(Session)))


def site(*schemes: Scheme) -> Router:
    """Return a site with an open page, a closed one, and a sign-in."""
    router = Router(middleware=[sessions(), auth(schemes=schemes)])
    router.get("/whoami", whoami)
    router.get("/closed", whoami, middleware=[require_auth()])
    router.post("/sign-in/{id}", sign_in)
    router.get("/keys", keys)
    return router


def who(app: ASGIApp, headers: Any = None, **options: Any) -> list[object]:
    """Return the state as the open page sees it: ok, identity, method, error."""
    state: list[object] = ask(app, "GET", "/whoami", headers=headers, **options).json()
    return state


class Fixed:
    """A scheme that always answers the same, and counts how often it is asked."""

    challenge = "Fixed"

    def __init__(self, name: str, answer: Success | Failure | None) -> None:
        self.name, self.answer, self.asked = name, answer, 0

    async def authenticate(self, _context: Context) -> Success | Failure | None:
        self.asked += 1
        return self.answer


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("nobody should be asked")
