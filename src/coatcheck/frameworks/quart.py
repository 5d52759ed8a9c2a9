"""
Sessions in Quart: `quart.session` is a coatcheck session, also at WebSockets.

    app.session_interface = SessionInterface(cookie, storage)

Quart reads a session when it enters the context of a request, and saves it with the response. What
changes later is saved when Quart leaves that context, or, if code makes the body, at its end.

A WebSocket is saved when it is accepted, and when Quart leaves its context.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from functools import wraps
from inspect import isawaitable
from typing import Any, TypeVar, Unpack, cast
from weakref import WeakSet

import quart
from quart import signals
from quart.sessions import SessionInterface as QuartInterface
from quart.sessions import SessionMixin
from quart.wrappers import BaseRequestWebsocket, Response, Websocket
from quart.wrappers.response import DataBody, FileBody, IOBody, ResponseBody
from werkzeug.datastructures import Headers, WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.wrappers import Response as WerkzeugResponse

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.bound_guard import SAYS, refusal
from coatcheck._request.cycle import FAILED, Cycle
from coatcheck._request.options import Options, check_seconds, fresh_challenge
from coatcheck._request.visit import NOTHING, Changes
from coatcheck._session.draft import Draft, Unread
from coatcheck._session.sign_in import SignIn
from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.frameworks.flask_session import FlaskSession
from coatcheck.frameworks.flask_settings import cookie_from, line_of_caller, warn_of_ignored
from coatcheck.frameworks.flask_visit import WerkzeugVisit, let_pass, sent_at_once
from coatcheck.storage.arguments import Duration
from coatcheck.storage.protocol import SessionStorage

__all__ = [
    "SessionInterface",
    "cookie_from",
    "require_auth",
    "require_bound",
    "require_fresh",
    "session",
]

View = TypeVar("View", bound=Callable[..., Any])

session = cast("FlaskSession[Any]", quart.session)
"""`quart.session`, for type checkers: it has `flash`, `apply`, `regenerate_id` and `destroy`."""


def require_auth(on_failure: Callable[[], Any] | None = None) -> Callable[[View], View]:
    """
    Return a decorator for views and WebSockets of users who signed in by `session.sign_in`.

        @app.get("/account")
        @require_auth(lambda: redirect(url_for("sign_in")))
        async def account(): ...

    Args:
        on_failure: Returns the response to all others, plain or awaited; None: 401.
    """
    return _only_if(bool, on_failure, "Session")


def require_fresh(
    seconds: Duration, *, on_stale: Callable[[], Any] | None = None
) -> Callable[[View], View]:
    """
    Return a decorator for views of users who signed in or confirmed a short time ago.

    Args:
        seconds: How long a sign-in or `session.confirm()` counts, in seconds or as a timedelta.
        on_stale: Returns the response to all others, plain or awaited, such as a redirect to the
            page that asks for the password again; None: 401.

    Raises:
        ConfigurationError: *seconds* is not above 0.
    """
    most = check_seconds("seconds", seconds)
    return _only_if(lambda signed_in: signed_in.is_fresh(most), on_stale, fresh_challenge(most))


def require_bound() -> Callable[[View], View]:
    """
    Return a decorator for views of sessions that are bound to a device: `coatcheck.require_bound`.

        @app.post("/transfers")
        @require_bound()
        async def transfer(): ...

    A WebSocket is refused before it is accepted.
    """

    def decorated(view: View) -> View:
        @wraps(view)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            is_request = quart.has_request_context()
            answer = refusal(session, quart.request.method if is_request else "")
            if answer is None:
                return await quart.current_app.ensure_async(view)(*args, **kwargs)
            if not is_request:
                raise Forbidden(SAYS)
            headers = Headers(list(answer.headers))
            return quart.current_app.response_class(answer.body, answer.status, headers)

        return cast("View", guarded)

    return decorated


def _only_if(
    passes: Callable[[SignIn], bool], refuse: Callable[[], Any] | None, challenge: str
) -> Callable[[View], View]:
    """Return a decorator for views that users may see whose sign-in *passes*."""

    def decorated(view: View) -> View:
        @wraps(view)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            signed_in = _ours().signed_in
            if signed_in is not None and passes(signed_in):
                return await quart.current_app.ensure_async(view)(*args, **kwargs)
            if refuse is None:
                raise Unauthorized(www_authenticate=WWWAuthenticate.from_header(challenge))
            answer = refuse()
            return await answer if isawaitable(answer) else answer

        return cast("View", guarded)

    return decorated


def _ours() -> FlaskSession[Any]:
    """Return the session of a request, which tells who is signed in."""
    if not isinstance(session, FlaskSession):
        raise ConfigurationError(
            f"quart.session must be one of coatcheck, got {session.__class__.__name__}: "
            "set app.session_interface = SessionInterface(cookie, storage)"
        )
    return session


class SessionInterface(QuartInterface):
    """
    The session interface: assign it to `app.session_interface`.

    The arguments are those of `coatcheck.session`. Quart's own settings, SESSION_COOKIE_*,
    PERMANENT_SESSION_LIFETIME and SECRET_KEY, have no effect, except through `cookie_from`. A
    warning names those that say something else than the cookie.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        **options: Unpack[Options],
    ) -> None:
        self._cookie, self._line = cookie, line_of_caller()
        self._shell = AsyncShell(Cycle(cookie, storage, **options))
        self._place = f"coatcheck.quart.{cookie.name}"
        self._apps: WeakSet[quart.Quart] = WeakSet()
        for started in (signals.request_started, signals.websocket_started):
            started.connect(self._begin)
        for ends in (signals.request_tearing_down, signals.websocket_tearing_down):
            ends.connect(self._tear_down)

    def get_cookie_name(self, app: quart.Quart) -> str:  # noqa: ARG002 - Quart passes it
        """Return the name of the cookie, for extensions that ask."""
        return self._cookie.name

    async def open_session(self, app: quart.Quart, request: BaseRequestWebsocket) -> SessionMixin:
        """Return the session of a request; Quart's test client asks twice."""
        if app not in self._apps:
            self._apps.add(app)
            warn_of_ignored(app, self._cookie, self._line)
        visit = self._visit(request)
        if visit is None or visit.closed or visit.changes is not None:
            visit = _Visit(self._shell, request, visit.session if visit else None)
            await visit.read(app)
            visit.place[self._place] = visit
        return cast("SessionMixin", visit.session)

    async def save_session(
        self,
        app: quart.Quart,  # noqa: ARG002
        session: SessionMixin,
        response: Response | WerkzeugResponse | None,
    ) -> None:
        """Save the session, and tell the client by *response*; None: a WebSocket ended."""
        visit = self._visit()
        if response is not None and visit:
            await visit.leave(session, response)

    async def _begin(self, app: quart.Quart, **_: object) -> None:
        """Raise what is to be answered in place of the handler, where error handlers see it."""
        visit = self._visit()
        if visit and visit.refusal:
            let_pass(app, getattr(visit.request, "blueprints", ()), visit.refusal)
            raise visit.refusal

    async def _tear_down(self, _: quart.Quart, exc: BaseException | None, **__: object) -> None:
        """Save what changed late, unless a body is still to run."""
        visit = self._visit()
        if visit:
            await visit.tear_down(exc)

    async def close(self) -> None:
        """Close what the storage opened: for `app.after_serving`."""
        await self._shell.close()

    def _visit(self, request: BaseRequestWebsocket | None = None) -> "_Visit | None":
        """Return the visit of a request, or of the one at hand; None: it has other sessions."""
        if request is None:
            request = quart.request if quart.has_request_context() else quart.websocket
        visit = cast("dict[str, Any]", request.scope).get(self._place)
        return visit if isinstance(visit, _Visit) and visit.shell is self._shell else None


class _Visit(WerkzeugVisit):
    """One request or WebSocket."""

    where = "scope"
    failed = False

    def __init__(self, shell: AsyncShell, request: BaseRequestWebsocket, former: object) -> None:
        super().__init__(shell.cycle, request, former)
        self.shell = shell
        self.cookies = "; ".join(request.headers.getlist("Cookie")) or None
        self.websocket = isinstance(request, Websocket)
        if isinstance(request, Websocket):
            self._watch(request)

    async def read(self, app: quart.Quart) -> None:
        """Read the session; Quart would let no error handler see what fails here."""
        try:
            answer = await self.shell.read(self)
        except BackendError as error:
            self.refuse(error, Draft(origin=Unread(error), terms=self.cycle.terms))
        else:
            if answer is not None:
                self.refuse(sent_at_once(answer, app.response_class), self.cycle.late_visitor)

    async def leave(self, session: object, response: Response | WerkzeugResponse) -> None:
        """Save, if that is still to be done, and give *response* the headers."""
        extensions = self.place.get("extensions") or {}
        if self.websocket and (
            self.changes is not None or "websocket.http.response" not in extensions
        ):
            self.failed = response.status_code >= FAILED
            return  # Quart does not send it
        self.given = session
        changes = await self._start(response.headers, failed=response.status_code >= FAILED)
        if changes.instead is not None:
            self.put_instead(response, changes.instead)
        self.streams = isinstance(response, Response) and not isinstance(
            response.response, DataBody | FileBody | IOBody
        )
        self.amend(response.headers, streams=self.streams)
        if self.streams:
            response.response = _Body(cast("ResponseBody", response.response), self)

    async def _start(self, headers: Headers, *, failed: bool = False) -> Changes:
        """Save before the headers leave, if that is still to be done."""
        if isinstance(self.refusal, BackendError) and self.session.modified:
            raise self.refusal
        if self.changes is None:  # an error page comes after a response that was saved
            self.changes = await self.shell.leave(self, failed=failed, headers=headers)
            return self.changes
        return NOTHING

    def _watch(self, websocket: Websocket) -> None:
        """Save when the WebSocket is accepted, which is in its first message if not before."""
        accept, one_at_a_time = websocket.accept, asyncio.Lock()

        async def save_and_accept(
            headers: dict[str, str] | Headers | None = None, subprotocol: str | None = None
        ) -> None:
            headers = Headers(headers)
            async with one_at_a_time:
                if self.changes is None:
                    self.given = self.session
                    changes = await self._start(headers)
                    if changes.instead is not None:
                        raise sent_at_once(changes.instead, quart.current_app.response_class)
                    self.amend(headers)
                await accept(headers, subprotocol)

        websocket.accept = save_and_accept  # type: ignore[method-assign] # Quart has no hook there

    async def tear_down(self, error: BaseException | None) -> None:
        """End the request, unless its body runs, or its test saves later."""
        if self.closed or self.is_body(error):
            return
        self.closed = True
        left = isinstance(error, asyncio.CancelledError) and self.changes is not None
        failed = self.failed or (error is not None and not left)
        if self.changes is None and not failed:
            if not self.websocket:
                return
            self.cycle.never_start(self)
        await self.end(failed=failed)

    async def end(self, *, failed: bool = False) -> None:
        """Save what changed late; a later change raises."""
        await self.shell.end(self, failed=failed)


class _Body(ResponseBody):
    """A body that code makes, with the last save at its end."""

    def __init__(self, body: ResponseBody, visit: _Visit) -> None:
        self._body = body
        self._visit = visit
        self._failed = False

    async def __aenter__(self) -> AsyncIterable[Any]:
        self._visit.body_begun = True
        try:
            self._parts = self._watched(await self._body.__aenter__())
        except BaseException:
            await self._visit.end(failed=True)
            raise
        return self._parts

    async def __aexit__(self, *raised: Any) -> None:  # noqa: PYI036 - handed on as it comes
        try:
            await self._parts.aclose()
            await self._body.__aexit__(*raised)
        except Exception:
            self._failed = True
            raise
        finally:
            await self._visit.end(failed=self._failed)

    async def _watched(self, parts: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
        """Yield the parts, and note if making one fails; if sending one fails, the client left."""
        try:
            async for part in parts:
                yield part
        except Exception:
            self._failed = True
            raise
