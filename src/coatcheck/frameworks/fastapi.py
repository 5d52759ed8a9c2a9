"""
Sessions in FastAPI: as a dependency, for signed-in users, and in the OpenAPI document.

    setup(app, cookie, storage)

    @app.get("/cart")
    def cart(session: SessionDep) -> list[str]: ...

    Member = Annotated[User, Depends(RequireAuth(SessionScheme(read=…, verify=find_user)))]

    @app.get("/account")
    def account(member: Member) -> str: ...

Both work in routes of HTTP and of WebSockets, plain and `async def`.
"""

from collections.abc import Callable
from typing import Annotated, Any, Unpack
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from fastapi.openapi.models import APIKey
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.cycle import Cycle
from coatcheck._request.options import Options
from coatcheck._session.session import Data, Session
from coatcheck.auth import SessionScheme, Success
from coatcheck.auth.states import Identity
from coatcheck.context import Context
from coatcheck.middleware import Sessions
from coatcheck.storage.protocol import SessionStorage

SCHEME = "session"
"""The name of the security scheme in the OpenAPI document."""

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


def setup(
    app: FastAPI,
    cookie: Cookie,
    storage: SessionStorage,
    **options: Unpack[Options],
) -> None:
    """
    Give an application sessions, and tell its OpenAPI document of the cookie.

    The arguments are those of `coatcheck.session`. It adds the middleware around those that the
    application has already, so call it after `add_middleware` of what uses the session. What the
    storage opened is closed when the application has shut down.

    Raises:
        ConfigurationError: An argument is of another kind, the cookie is not sealed, or an option
            is out of its range.
    """
    # Made here, and not when Starlette builds its stack, so that a mistake is found here.
    app.add_middleware(Sessions(Cycle(cookie, storage, **options)))
    app.openapi = _naming(app.openapi, cookie)  # type: ignore[method-assign] # FastAPI's own way


async def get_session(connection: HTTPConnection) -> Session:
    """
    Return the session of a request or a WebSocket.

    Raises:
        ConfigurationError: There is none: `setup` was not called.
    """
    return Context(connection.scope).get(Session)


SessionDep = Annotated[Session[Data], Depends(get_session)]
"""The session, as a parameter of a handler or a dependency; `SessionDep[Visit]` if it is typed."""


class RequireAuth(SecurityBase):
    """
    A dependency for signed-in users: it returns the user that *scheme* recognized.

    All others get 401, or are sent to the page where they sign in. A WebSocket is refused.

    Args:
        scheme: Finds the user in the session.
        sign_in: The path of the page to sign in at; None: answer 401. It gets the page that was
            asked for as `next`, which `safe_redirect_target` checks.
    """

    def __init__(self, scheme: SessionScheme, *, sign_in: str | None = None) -> None:
        self.model = APIKey.model_validate({"in": "cookie", "name": SCHEME})  # setup() names it
        self.scheme_name = SCHEME
        self._scheme = scheme
        self._sign_in = sign_in

    async def __call__(self, connection: HTTPConnection) -> Identity:
        """
        Return the identity.

        Raises:
            ConfigurationError: The request has no session: `setup` was not called.
        """
        answer = await self._scheme.authenticate(Context(connection.scope))
        if isinstance(answer, Success):
            return answer.identity
        if connection.scope["type"] == "websocket":
            raise WebSocketException(_POLICY_VIOLATION)
        if self._sign_in is None:
            challenge = {"WWW-Authenticate": self._scheme.challenge}
            raise HTTPException(401, "Not authenticated", challenge)
        raise HTTPException(303, "Sign in", {"Location": self._page_to_sign_in(connection)})

    def _page_to_sign_in(self, connection: HTTPConnection) -> str:
        if connection.scope["method"] != "GET":  # what was sent cannot be sent again by a redirect
            return str(self._sign_in)
        target = quote(connection.scope["path"], errors="replace")
        if query := connection.scope["query_string"].decode("latin-1"):
            target = f"{target}?{query}"
        return f"{self._sign_in}?next={quote(target, safe='/')}"


def _naming(openapi: Callable[[], dict[str, Any]], cookie: Cookie) -> Callable[[], dict[str, Any]]:
    """Return *openapi* with the cookie's name, which no dependency knows."""

    def named() -> dict[str, Any]:
        document = openapi()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes[SCHEME] = {"type": "apiKey", "in": "cookie", "name": cookie.name}
        return document

    return named
