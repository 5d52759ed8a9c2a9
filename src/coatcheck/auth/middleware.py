"""
Three middleware: `auth()` recognises the user of a request, `require_auth()` refuses the others,
and `require_fresh()` refuses a user whose password was asked too long ago.

They are separate, so that one application can have public pages, pages that redirect to the sign-in
page, and interfaces that answer 401.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from inspect import isawaitable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from coatcheck._request.concurrency import call
from coatcheck._request.options import check_seconds, fresh_challenge
from coatcheck._session.session import Session
from coatcheck.auth.states import Answer, Auth, Failure, Scheme, Success
from coatcheck.context import Context
from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import Duration

OnFailure = Callable[[Context], Response | Awaitable[Response]]
"""A function that answers a request without a user, for example with a redirect to sign in."""

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1

_MEMBERS = ("name", "challenge", "authenticate")


def auth(*, schemes: Sequence[Scheme]) -> Callable[[ASGIApp], ASGIApp]:
    """
    Return a middleware that recognises the user of a request: `context.get(Auth)`.

    Args:
        schemes: Tried in order. The first that recognises or refuses the request decides.

    Raises:
        ConfigurationError: *schemes* is empty, or holds something that is no scheme.
    """
    return partial(AuthMiddleware, schemes=_checked(schemes))


def require_auth(on_failure: OnFailure | None = None) -> Callable[[ASGIApp], ASGIApp]:
    """
    Return a middleware that refuses requests without a user. `auth()` must run before it.

        router.get("/account", account, middleware=[require_auth()])
        router.mount("/admin", require_auth(to_sign_in)(admin))

    Args:
        on_failure: Returns the response to a request without a user; None: a plain 401. A 401
            gets a WWW-Authenticate header. A WebSocket without a user is closed with code 1008.

    Source: RFC 9110, 11.6.1 (WWW-Authenticate); RFC 6455, 7.4.1 (1008).
    """
    return partial(RequireAuthMiddleware, on_failure=on_failure)


def require_fresh(
    seconds: Duration, *, on_stale: OnFailure | None = None
) -> Callable[[ASGIApp], ASGIApp]:
    """
    Return a middleware that lets a user pass who signed in or confirmed a short time ago.

        router.post("/password", change, middleware=[require_auth(), require_fresh(300)])

    It needs `session()` before it, and no `auth()`.

    Args:
        seconds: How long a sign-in or `session.confirm()` counts, in seconds or as a timedelta.
        on_stale: Returns the response to all others, for example a redirect to the page that asks
            for the password again; None: a plain 401 that names the reason in WWW-Authenticate. A
            WebSocket is closed with code 1008.

    Raises:
        ConfigurationError: *seconds* is not above 0.

    Source: RFC 9470, 3 (the challenge).
    """
    return partial(RequireFreshMiddleware, seconds=seconds, on_stale=on_stale)


class AuthMiddleware:
    """
    An ASGI application whose HTTP requests and WebSockets have an `Auth`: for `add_middleware`.

    Args:
        app: The application.
        schemes: As in `auth`.

    Raises:
        ConfigurationError: *schemes* is empty, or holds something that is no scheme.
    """

    def __init__(self, app: ASGIApp, *, schemes: Sequence[Scheme]) -> None:
        self.app = app
        self.schemes = _checked(schemes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one request, connection or lifespan.

        Raises:
            ConfigurationError: A scheme answered with something else than an `Answer`.
        """
        if scope["type"] in ("http", "websocket"):
            scope = dict(scope)
            context = Context(scope)
            if scope["type"] == "http":
                context.set(Request, Request(scope, receive))
            context.set(Auth, await self._resolve(context))
        await self.app(scope, receive, send)

    async def _resolve(self, context: Context) -> Auth:
        for scheme in self.schemes:
            answer = await _answer_of(scheme, context)
            if isinstance(answer, Success):
                return Auth(ok=True, identity=answer.identity, method=scheme.name)
            if answer is not None:
                challenges = self._challenges(scheme, answer.challenge)
                return Auth(
                    ok=False,
                    method=scheme.name,
                    error=answer.message,
                    challenges=challenges,
                    code=answer.code,
                )
        return Auth(ok=False, challenges=self._challenges())

    def _challenges(
        self, refusing: Scheme | None = None, own: str | None = None
    ) -> tuple[str, ...]:
        """Return the challenge of every scheme; *own* replaces that of the refusing scheme."""
        return tuple(
            own if own is not None and scheme is refusing else scheme.challenge
            for scheme in self.schemes
        )


class RequireAuthMiddleware:
    """
    An ASGI application that refuses requests without a user: for `add_middleware`.

    Args:
        app: The application.
        on_failure: As in `require_auth`.
    """

    def __init__(self, app: ASGIApp, *, on_failure: OnFailure | None = None) -> None:
        self.app = app
        self.on_failure = on_failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one request, connection or lifespan.

        Raises:
            ConfigurationError: `auth()` did not run before.
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


class RequireFreshMiddleware:
    """
    An ASGI application for users who signed in or confirmed a short time ago: for `add_middleware`.

    Args:
        app: The application.
        seconds: As in `require_fresh`.
        on_stale: As in `require_fresh`.

    Raises:
        ConfigurationError: *seconds* is not above 0.
    """

    def __init__(
        self, app: ASGIApp, *, seconds: Duration, on_stale: OnFailure | None = None
    ) -> None:
        self.app = app
        self.seconds = check_seconds("seconds", seconds)
        self.on_stale = on_stale

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one request, connection or lifespan.

        Raises:
            ConfigurationError: `session()` did not run before.
        """
        app = self.app
        if scope["type"] in ("http", "websocket"):
            signed_in = Context(scope).get(Session).signed_in
            if signed_in is None or not signed_in.is_fresh(self.seconds):
                app = await self._refusal(scope, receive)
        await app(scope, receive, send)

    async def _refusal(self, scope: Scope, receive: Receive) -> ASGIApp:
        if scope["type"] == "websocket":
            return WebSocketClose(code=_POLICY_VIOLATION)
        if self.on_stale is None:
            headers = {"WWW-Authenticate": fresh_challenge(self.seconds)}
            return PlainTextResponse("Confirm who you are\n", status_code=401, headers=headers)
        context = Context(scope)
        context.set(Request, Request(scope, receive))
        response: Response = await call(self.on_stale, context)
        return response


def _state_of(context: Context) -> Auth:
    if not context.has(Auth):
        raise ConfigurationError(
            "require_auth() must run after auth(): write "
            "middleware=[auth(schemes=[scheme]), require_auth()]"
        )
    return context.get(Auth)


async def _answer_of(scheme: Scheme, context: Context) -> Answer:
    answer: object = scheme.authenticate(context)
    if isawaitable(answer):
        answer = await answer
        if answer is None or isinstance(answer, Success | Failure):
            return answer
    raise ConfigurationError(
        f"{type(scheme).__name__}.authenticate must be `async def` and return a Success, a Failure "
        f"or None, got {type(answer).__name__}"
    )


def _checked(schemes: Sequence[Scheme]) -> tuple[Scheme, ...]:
    if not isinstance(schemes, Iterable) or not (found := tuple(schemes)):
        got = "none" if isinstance(schemes, Iterable) else f"a {type(schemes).__name__}"
        raise ConfigurationError(
            f"auth() must have at least one scheme, got {got}: write auth(schemes=[scheme])"
        )
    for scheme in found:
        missing = [name for name in _MEMBERS if not hasattr(scheme, name)]
        if isinstance(scheme, type) or missing:
            raise ConfigurationError(
                "a scheme must be an object with the members name, challenge and authenticate, got "
                + (
                    f"the class {scheme.__name__}"
                    if isinstance(scheme, type)
                    else f"a {type(scheme).__name__}"
                )
            )
    return found
