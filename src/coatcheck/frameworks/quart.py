"""
Sessions in Quart: `quart.session` is a coatcheck session, also at WebSockets.

    app.session_interface = SessionInterface(cookie, storage)

Quart reads a session before its handlers and saves it after them, with nothing in between that an
ASGI middleware could wrap. So the shell of `coatcheck.asgi` runs an application that stands still
meanwhile, and goes on from one stop to the next in whatever task Quart works.

A WebSocket is saved when it is accepted, and at its end. What a body that Quart streams changes is
saved at its end, if the storage can still do it.
"""

import asyncio
from collections.abc import AsyncIterable
from typing import Any, Unpack, cast

import quart
from quart import signals
from quart.sessions import SessionInterface as QuartInterface
from quart.sessions import SessionMixin
from quart.wrappers import BaseRequestWebsocket, Response, Websocket
from quart.wrappers.response import ResponseBody
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as WerkzeugResponse

from coatcheck import asgi
from coatcheck._cookie.cookie import Cookie
from coatcheck._request.cycle import FAILED
from coatcheck._request.options import Options
from coatcheck._session.draft import Draft
from coatcheck._session.session import Session
from coatcheck.context import Context
from coatcheck.errors import BackendError
from coatcheck.frameworks.flask import FlaskSession, amend
from coatcheck.frameworks.steps import Steps, stop
from coatcheck.storage.protocol import SessionStorage

_VISIT = "coatcheck.visit"

session = cast("FlaskSession[Any]", quart.session)
"""`quart.session`, for type checkers: it has `flash`, `apply`, `regenerate_id` and `destroy`."""


class SessionInterface(QuartInterface):
    """
    What to assign to `app.session_interface`.

    The arguments are those of `coatcheck.session`. Quart's own settings, SESSION_COOKIE_*,
    PERMANENT_SESSION_LIFETIME and SECRET_KEY, are not used.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        **options: Unpack[Options],
    ) -> None:
        self._cookie = cookie
        self._shell = asgi.SessionMiddleware(_serve, cookie, storage, **options)
        signals.request_started.connect(self._begin)
        signals.websocket_started.connect(self._begin)
        signals.request_tearing_down.connect(self._end)
        signals.websocket_tearing_down.connect(self._end)

    def get_cookie_name(self, app: quart.Quart) -> str:  # noqa: ARG002 - Quart passes it
        """Return the name of the cookie, for extensions that ask."""
        return self._cookie.name

    async def open_session(
        self,
        app: quart.Quart,  # noqa: ARG002
        request: BaseRequestWebsocket,
    ) -> SessionMixin:
        """Return the session of a request."""
        visit = _Visit(self._shell, cast("asgi.Scope", request.scope))
        await visit.open()
        if isinstance(request, Websocket):
            visit.watch(request)
        return cast("SessionMixin", visit.session)

    async def save_session(
        self,
        app: quart.Quart,  # noqa: ARG002
        session: SessionMixin,
        response: Response | WerkzeugResponse | None,
    ) -> None:
        """Save the session, and tell the client by *response*; None: a WebSocket ended."""
        visit = _visit()
        if response is not None and visit:
            await visit.save(session, response)

    async def _begin(self, _: quart.Quart, **__: object) -> None:
        """Fail where the application's error handlers see it."""
        visit = _visit()
        if visit and visit.shell is self._shell and visit.failure:
            raise visit.failure

    async def _end(self, _: quart.Quart, exc: BaseException | None, **__: object) -> None:
        """Save what changed late, unless a body is still to run."""
        visit = _visit()
        if visit and visit.shell is self._shell and visit.ends_with_handler:
            await visit.end(exc)

    async def close(self) -> None:
        """Close what the storage opened: for `app.after_serving`."""
        await self._shell({"type": "lifespan"}, _nothing, _ignore)


class _Visit:
    """One request on its way through the shell."""

    def __init__(self, shell: asgi.SessionMiddleware, scope: asgi.Scope) -> None:
        self.shell = shell
        self.ends_with_handler = scope["type"] == "websocket"
        self.failure: BackendError | None = None
        self.message: asgi.Message | None = None
        self.session: Session
        self._scope = scope
        self._added: dict[bytes, bytes] = {}
        self._steps = Steps(shell({**scope, _VISIT: self}, _nothing, self._take))

    async def open(self) -> None:
        """Read the session."""
        try:
            await self._steps.go_on()
        except BackendError as error:
            self.session, self.failure = Session.of(Draft(unread=error)), error
        # Not a copy: what the shell looks at in the end is what the handler has changed.
        self.session.__class__ = FlaskSession
        self._scope[_VISIT] = self
        Context(self._scope).set(Session, self.session)

    def place(self, scope: asgi.Scope) -> None:
        """Note what the shell has read, and where it looks for that in the end."""
        self.session, self._place = scope[asgi.PLACE], scope

    async def start(self, message: asgi.Message, session: object, headers: Headers) -> None:
        """Save, if that is still to be done, and add to the *headers* that are about to leave."""
        if self.failure and self.session.modified:
            raise self.failure
        if self.message is None and not self.failure:
            self.message = message
            self._place[asgi.PLACE] = session
            await self._steps.go_on()
        set_cookie = self._added.get(b"set-cookie")
        if set_cookie or self.session.accessed:
            amend(headers, set_cookie.decode() if set_cookie else None)

    async def save(self, session: object, response: Response | WerkzeugResponse) -> None:
        """Save before *response* leaves, and once more at the end of its body."""
        kind, status = "http.response.start", response.status_code
        if self._scope["type"] == "websocket":
            extensions = self._scope.get("extensions") or {}
            if self.message is not None or "websocket.http.response" not in extensions:
                if status >= FAILED:
                    self._steps.close()
                return
            kind = "websocket.http.response.start"
        await self.start({"type": kind, "status": status}, session, response.headers)
        if isinstance(response, Response):
            response.response = _Body(response.response, self)
        else:
            self.ends_with_handler = True  # it is one of Werkzeug's, whose body is there already

    def watch(self, websocket: Websocket) -> None:
        """Save when the WebSocket is accepted, which is in its first message if not before."""
        accept, one_at_a_time = websocket.accept, asyncio.Lock()

        async def save_and_accept(
            headers: dict[str, str] | Headers | None = None, subprotocol: str | None = None
        ) -> None:
            headers = Headers(headers)
            async with one_at_a_time:
                if self.message is None:
                    await self.start({"type": "websocket.accept"}, self.session, headers)
                await accept(headers, subprotocol)

        websocket.accept = save_and_accept  # type: ignore[method-assign] # Quart has no hook there

    async def end(self, error: BaseException | None) -> None:
        """Save what changed after the headers had left, unless the request failed."""
        left = isinstance(error, asyncio.CancelledError)  # by the client, which is no failure
        if error is None or (left and self.message):
            await self._steps.go_on()
        self._steps.close()

    async def _take(self, message: asgi.Message) -> None:
        """Keep what the shell adds to the headers."""
        self._added = dict(message.get("headers", ()))


class _Body(ResponseBody):
    """The body of a response, with the last save at its end."""

    def __init__(self, body: ResponseBody, visit: _Visit) -> None:
        self._body = body
        self._visit = visit

    async def __aenter__(self) -> AsyncIterable[Any]:
        return await self._body.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:  # noqa: PYI036 - handed on as it comes
        await self._body.__aexit__(*raised)
        await self._visit.end(raised[1])


async def _serve(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
    """Answer as Quart has: this is the application in the shell."""
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.shutdown.complete"})
        return
    visit = scope[_VISIT]
    visit.place(scope)
    await stop()
    if visit.message is not None:
        await send(visit.message)
        await stop()


def _visit() -> _Visit | None:
    """Return the visit of the request at hand; None: its application has other sessions."""
    current = quart.request if quart.has_request_context() else quart.websocket
    return cast("asgi.Scope", current.scope).get(_VISIT)


async def _nothing() -> asgi.Message:
    return {}


async def _ignore(_: asgi.Message) -> None: ...
