"""
Sessions in FastAPI: as a dependency, for signed-in users, and in the OpenAPI document.

    setup(app, cookie, storage)

    @app.get("/cart")
    def cart(session: SessionDep) -> list[str]: ...

    @app.get("/account")
    def account(user: CurrentUser) -> str: ...                          # 401 for all others

    Member = Annotated[User, Depends(RequireAuth(SessionScheme(verify=find_user)))]

    @app.post("/password", dependencies=[Depends(RequireFresh(300))])   # asked 5 minutes ago
    def change(member: Member) -> str: ...

All work in routes of HTTP and of WebSockets, plain and `async def`.
"""

from collections.abc import Callable
from typing import Annotated, Any, Unpack
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from fastapi.openapi.models import APIKey
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.bound_guard import SAYS, refusal, reloads
from coatcheck._request.cycle import Cycle
from coatcheck._request.options import Options, check_seconds, fresh_challenge
from coatcheck._session.session import Data, Session
from coatcheck._session.sign_in import SignIn
from coatcheck.auth import SessionScheme, Success
from coatcheck.auth.states import Identity
from coatcheck.context import Context
from coatcheck.middleware import Sessions
from coatcheck.storage.arguments import Duration
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
        raise _refusal(connection, "Not authenticated", self._scheme.challenge, self._sign_in)


class SignedIn(SecurityBase):
    """
    A dependency that returns the `SignIn` of the session; all others get 401.

    Args:
        sign_in: As in `RequireAuth`.
    """

    def __init__(self, *, sign_in: str | None = None) -> None:
        self.model = APIKey.model_validate({"in": "cookie", "name": SCHEME})
        self.scheme_name = SCHEME
        self._sign_in = sign_in

    async def __call__(self, connection: HTTPConnection) -> SignIn:
        """
        Return the sign-in.

        Raises:
            ConfigurationError: The request has no session: `setup` was not called.
        """
        signed_in = Context(connection.scope).get(Session).signed_in
        if signed_in is None:
            raise _refusal(connection, "Not authenticated", SessionScheme.challenge, self._sign_in)
        return signed_in


CurrentUser = Annotated[SignIn, Depends(SignedIn())]
"""The sign-in of the session, as a parameter: `user.user`, `user.handle`, `user.actor`."""


class RequireFresh(SignedIn):
    """
    A dependency for users who signed in or confirmed a short time ago; it returns their `SignIn`.

    All others get 401, or are sent to the page that asks for the password again.

    Args:
        seconds: How long a sign-in or `session.confirm()` counts, in seconds or as a timedelta.
        confirm: The path of the page that asks again; None: answer 401.
        sign_in: As in `RequireAuth`.

    Raises:
        ConfigurationError: *seconds* is not above 0.
    """

    def __init__(
        self, seconds: Duration, *, confirm: str | None = None, sign_in: str | None = None
    ) -> None:
        super().__init__(sign_in=sign_in)
        self._seconds = check_seconds("seconds", seconds)
        self._confirm = confirm

    async def __call__(self, connection: HTTPConnection) -> SignIn:
        """
        Return the sign-in.

        Raises:
            ConfigurationError: The request has no session: `setup` was not called.
        """
        signed_in = await super().__call__(connection)
        if not signed_in.is_fresh(self._seconds):
            challenge = fresh_challenge(self._seconds)
            raise _refusal(connection, "Confirm who you are", challenge, self._confirm)
        return signed_in


class RequireBound:
    """
    A dependency for sessions that are bound to a device: `coatcheck.require_bound`.

        @app.post("/transfers", dependencies=[Depends(RequireBound())])

    All others get 403, if `Bound(required=True)` says so. A WebSocket is refused.
    """

    async def __call__(self, connection: HTTPConnection) -> None:
        """
        Let the request through.

        Raises:
            ConfigurationError: `setup` was not called, or without `bound`.
        """
        session = Context(connection.scope).get(Session)
        answer = refusal(session, connection.scope.get("method", ""))
        if answer is None:
            return
        if connection.scope["type"] == "websocket":
            raise WebSocketException(_POLICY_VIOLATION)
        raise HTTPException(answer.status, SAYS, reloads(answer))


def _refusal(
    connection: HTTPConnection, detail: str, challenge: str, page: str | None
) -> HTTPException | WebSocketException:
    """Return what to raise: a redirect to a page, if there is one."""
    if connection.scope["type"] == "websocket":
        return WebSocketException(_POLICY_VIOLATION)
    if page is None:
        return HTTPException(401, detail, {"WWW-Authenticate": challenge})
    return HTTPException(303, detail, {"Location": _with_next(connection, page)})


def _with_next(connection: HTTPConnection, page: str) -> str:
    if connection.scope["method"] != "GET":  # what was sent cannot be sent again by a redirect
        return page
    target = quote(connection.scope["path"], errors="replace")
    if query := connection.scope["query_string"].decode("latin-1"):
        target = f"{target}?{query}"
    return f"{page}?next={quote(target, safe='/')}"


def _naming(openapi: Callable[[], dict[str, Any]], cookie: Cookie) -> Callable[[], dict[str, Any]]:
    """Return *openapi* with the cookie's name, which no dependency knows."""

    def named() -> dict[str, Any]:
        document = openapi()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes[SCHEME] = {"type": "apiKey", "in": "cookie", "name": cookie.name}
        return document

    return named
