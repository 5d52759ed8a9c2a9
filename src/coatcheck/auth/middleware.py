"""
The two middleware: `auth()` tells who makes a request, `require_auth()` turns strangers away.

They are two, so that one state serves pages open to everybody, pages that redirect to the sign-in,
and interfaces that answer 401.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from coatcheck._request.concurrency import call
from coatcheck.auth.states import Auth, Scheme, Success
from coatcheck.context import Context
from coatcheck.errors import ConfigurationError

OnFailure = Callable[[Context], Response | Awaitable[Response]]
"""Answers a stranger's request, for example with a redirect to the sign-in."""

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


def auth(*, schemes: Sequence[Scheme]) -> Callable[[ASGIApp], ASGIApp]:
    """
    Return a middleware that tells who makes a request: `context.get(Auth)`.

    Args:
        schemes: Tried in order; the first that recognises or refuses the request decides.

    Raises:
        ConfigurationError: There is no scheme.
    """
    return partial(AuthMiddleware, schemes=_checked(schemes))


def require_auth(on_failure: OnFailure | None = None) -> Callable[[ASGIApp], ASGIApp]:
    """
    Return a middleware that lets only recognised requests through; `auth()` comes before it.

        router.get("/account", account, middleware=[require_auth()])
        router.mount("/admin", require_auth(to_sign_in)(admin))

    Args:
        on_failure: Makes the answer to all others; None: 401. A 401 of either gets a
            WWW-Authenticate header. A WebSocket is always refused.
    """
    return partial(RequireAuthMiddleware, on_failure=on_failure)


class AuthMiddleware:
    """An ASGI application whose HTTP requests and WebSockets have an `Auth`; see `auth`."""

    def __init__(self, app: ASGIApp, *, schemes: Sequence[Scheme]) -> None:
        self.app = app
        self.schemes = _checked(schemes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or lifespan."""
        if scope["type"] in ("http", "websocket"):
            scope = dict(scope)
            context = Context(scope)
            if scope["type"] == "http":
                context.set(Request, Request(scope, receive))
            context.set(Auth, await self._resolve(context))
        await self.app(scope, receive, send)

    async def _resolve(self, context: Context) -> Auth:
        for scheme in self.schemes:
            answer = await scheme.authenticate(context)
            if isinstance(answer, Success):
                return Auth(ok=True, identity=answer.identity, method=scheme.name)
            if answer is not None:
                challenges = self._challenges(scheme, answer.challenge)
                return Auth(
                    ok=False, method=scheme.name, error=answer.message, challenges=challenges
                )
        return Auth(ok=False, challenges=self._challenges())

    def _challenges(
        self, refusing: Scheme | None = None, own: str | None = None
    ) -> tuple[str, ...]:
        """Return every scheme's challenge, with the refusing scheme's *own* in its place."""
        return tuple(
            own if own is not None and scheme is refusing else scheme.challenge
            for scheme in self.schemes
        )


class RequireAuthMiddleware:
    """An ASGI application for recognised requests only; see `require_auth`."""

    def __init__(self, app: ASGIApp, *, on_failure: OnFailure | None = None) -> None:
        self.app = app
        self.on_failure = on_failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one request, connection or lifespan.

        Raises:
            ConfigurationError: No `auth()` came before.
        """
        app = self.app
        if scope["type"] in ("http", "websocket") and not _state_of(Context(scope)).ok:
            app = await self._refusal(scope, receive)
        await app(scope, receive, send)

    async def _refusal(self, scope: Scope, receive: Receive) -> ASGIApp:
        if scope["type"] == "websocket":
            return WebSocketClose(code=_POLICY_VIOLATION)
        context = Context(scope)
        response: Response = PlainTextResponse("Unauthorized\n", status_code=401)
        if self.on_failure:
            context.set(Request, Request(scope, receive))
            response = await call(self.on_failure, context)
        if response.status_code == 401 and "www-authenticate" not in response.headers:
            for challenge in context.get(Auth).challenges:
                response.headers.append("www-authenticate", challenge)
        return response


def _state_of(context: Context) -> Auth:
    if not context.has(Auth):
        raise ConfigurationError(
            "require_auth() came before auth(): the right order is "
            "middleware=[auth(schemes=[scheme]), require_auth()]"
        )
    return context.get(Auth)


def _checked(schemes: Sequence[Scheme]) -> tuple[Scheme, ...]:
    if not schemes:
        raise ConfigurationError("auth() needs at least one scheme")
    return tuple(schemes)
