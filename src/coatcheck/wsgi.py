"""
Sessions for WSGI applications.

    app.wsgi_app = SessionMiddleware(app.wsgi_app, cookie, storage)

Requests get `environ["coatcheck.session"]`. The headers are held back until the application has
returned, or, if it is a generator, until it yields its first bytes; then the session is saved, and
once more at the end if a storage can still take what changed since.
"""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Unpack

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.cycle import FAILED, Cycle, middleware_of
from coatcheck._request.options import Options
from coatcheck._request.shell import Shell
from coatcheck._request.text_headers import amended_text
from coatcheck._request.visit import NOTHING, Answer, Visit
from coatcheck._request.wsgi_types import Environ, ExcInfo, Headers, StartResponse, Write, WSGIApp
from coatcheck._session.session import Session, showing
from coatcheck.context import Context
from coatcheck.storage.protocol import SessionStorage

__all__ = [
    "Environ",
    "ExcInfo",
    "Headers",
    "SessionMiddleware",
    "StartResponse",
    "WSGIApp",
    "reload",
    "save",
]

_BARE = ("CONTENT_LENGTH", "CONTENT_TYPE")  # PEP 3333: what an environ calls by another rule

PLACE = "coatcheck.session"
"""The key of the session in an environ."""

_WHOLE = (list, tuple)
"""Bodies that no code makes while they are sent."""


class SessionMiddleware:
    """
    A WSGI application with sessions.

    The arguments are those of `coatcheck.asgi.SessionMiddleware`; the storage must be a plain one.

    Raises:
        ConfigurationError: The storage is asynchronous, the cookie is not sealed, or an option
            makes no sense.
    """

    def __init__(
        self,
        app: WSGIApp,
        cookie: Cookie,
        storage: SessionStorage,
        **options: Unpack[Options],
    ) -> None:
        self._set_up(app, Cycle(cookie, storage, **options))

    @classmethod
    def _of(cls, app: WSGIApp, cycle: Cycle) -> "SessionMiddleware":
        """Return *app* with the sessions of *cycle*: for `coatcheck.session`."""
        middleware = cls.__new__(cls)
        cls._set_up(middleware, app, cycle)
        return middleware

    def _set_up(self, app: WSGIApp, cycle: Cycle) -> None:
        self.app = app
        self._shell = Shell(cycle)
        self._visitor = cycle.visitor
        self._begins_empty = cycle.begins_empty

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if PLACE in environ:
            self._shell.cycle.check_outer(environ[PLACE])
            environ = dict(environ)  # an outer middleware goes on with its own session
        response = Response(self._shell, environ, start_response)
        del environ  # it holds an id, and error reporters print the locals of a frame
        if response.cookies is None and self._begins_empty:
            response.session = response.environ[PLACE] = showing(self._visitor)
        elif (answer := self._shell.read(response)) is not None:
            return _answered(start_response, answer)
        try:
            body = self.app(response.environ, response.start)
        except BaseException:
            response.end(failed=True)
            raise
        return response.body_of(body)


def path_of(environ: Environ) -> str:
    """Return the path of a request, as the browser wrote it: also below a mount."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode(errors="replace")


class Response(Visit):
    """A request, as its environ tells of it, and the start of its response until the save."""

    def __init__(self, shell: Shell, environ: Environ, start_response: StartResponse) -> None:
        self.shell = shell
        self.environ = environ
        self.cookies = environ.get("HTTP_COOKIE")
        self._start_response = start_response
        self._held: tuple[str, Headers, ExcInfo | None] | None = None
        self.sent = self._ended = False
        self._write: Write | None = None
        self.instead: list[bytes] | None = None

    @property
    def method(self) -> str:
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def path(self) -> str:
        return path_of(self.environ)

    @property
    def scheme(self) -> str:
        return str(self.environ.get("wsgi.url_scheme", ""))

    @property
    def host(self) -> str:
        return str(self.environ.get("HTTP_HOST", ""))

    def header(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        return str(self.environ.get(key if key in _BARE else f"HTTP_{key}", ""))

    def attach(self) -> None:
        self.environ[PLACE] = self.session

    def replaced(self) -> bool:
        return self.environ.get(PLACE) is not self.session

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        """Hold the headers back: this is the application's start_response."""
        if self.sent:
            return self._start_response(status, headers, exc_info)
        self._held = status, headers, exc_info
        return self.write

    def write(self, data: bytes) -> object:
        """Send *data* at once: this is what the application's start_response returns."""
        write = self.send_headers(streams=True)
        return write(data) if write else None

    def body_of(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body for the server: as it is, if nothing of it can change the session."""
        if self._held is None:
            return _Body(body, self)
        still = type(body) in _WHOLE or type(body) is self.environ.get("wsgi.file_wrapper")
        try:
            self.send_headers(streams=not still and not _has_length(self._held[1]))
        except BaseException:
            _close(body)
            raise
        if self.instead is not None:
            _close(body)
            self.end()
            return self.instead
        draft = self.session._draft
        if not still and not draft.shared:
            return _Body(body, self)
        if draft is not self.shell.cycle.late_visitor:
            self.end()
        return body  # the server may know its length, and nothing is saved later

    def send_headers(self, *, streams: bool = False) -> Write | None:
        """
        Save the session and give the headers to the server, if that is still to be done.

        Args:
            streams: The code that makes the body may still read the session.
        """
        if not self.sent and self._held is not None:
            status, headers, exc_info = self._held
            session, cycle = self.session, self.shell.cycle
            if session._draft is cycle.visitor and not session._accessed and not self.replaced():
                session._draft, changes = cycle.late_visitor, NOTHING
            else:
                failed = exc_info is not None or int(status[:3]) >= FAILED
                changes = self.shell.leave(self, failed=failed, headers=headers)
            if changes.instead is not None:
                self._send_instead(changes.instead)
                return self._write
            if streams and not changes.vary:
                changes = changes._replace(vary=True)
            headers = headers if changes is NOTHING else amended_text(headers, changes)
            given = (status, headers) if exc_info is None else (status, headers, exc_info)
            self._write = self._start_response(*given)
            self.sent = True
        return self._write

    def _send_instead(self, answer: Answer) -> None:
        """Send another response than the application's, of which nothing more is sent."""
        self.instead = _answered(self._start_response, answer)
        self._write, self.sent = _drop, True

    def end(self, *, failed: bool = False) -> None:
        """Save what changed after the headers had left; a later change raises."""
        if not self._ended:
            self._ended = True
            self.shell.end(self, failed=failed)


def save(environ: Environ) -> None:
    """
    Save what the request did to its session so far, before the response.

    A cookie that this makes due leaves with the response, also with one that failed. What is saved
    stays saved, whatever becomes of the request.

    Args:
        environ: Of the request, such as Flask's `request.environ`.

    Raises:
        BackendError, SessionConflict, UnstorableValue, RecordTooLarge: The changes are not kept
            yet; the end of the request saves them, if it can.
        ConfigurationError: There is no session in *environ*, or its storage is awaited.
    """
    session = Context(environ).get(Session)
    Shell(middleware_of(session)).save(session)


def reload(environ: Environ) -> None:
    """
    Read the session again, after what changed so far is saved.

    If the session ended meanwhile, it is new and empty afterwards. In a response that has begun, a
    change to such a session raises `ResponseStarted`.

    Args:
        environ: Of the request, such as Flask's `request.environ`.

    Raises:
        BackendError: The session stays as it is; else as `save`.
        ConfigurationError: There is no session in *environ*, or its storage is awaited.
    """
    session = Context(environ).get(Session)
    Shell(middleware_of(session)).reload(session)


class _Body:
    """The application's body; its first part waits for the headers, its end for the last save."""

    def __init__(self, body: Iterable[bytes], response: Response) -> None:
        self._body = body
        self._parts = iter(body)
        self._response = response
        self._failed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            part = next(self._parts)
        except StopIteration:
            if not self._response.sent:
                self._response.send_headers()
            if self._response.instead:
                return self._last()
            raise
        except BaseException:
            self._failed = True
            raise
        if not self._response.sent:
            self._response.send_headers(streams=True)
        if self._response.instead is not None:
            return self._last()
        return part

    def _last(self) -> bytes:
        """Return the next part of the answer that took the place of the application's."""
        if not self._response.instead:
            raise StopIteration
        return self._response.instead.pop()

    def close(self) -> None:
        """End the request: servers call it once, however the request ended."""
        try:
            _close(self._body)
        except BaseException:
            self._failed = True
            raise
        finally:
            self._response.end(failed=self._failed)


def _has_length(headers: Headers) -> bool:
    """Tell whether a response says how long its body is, so that the body is there already."""
    for name, _ in headers:  # noqa: SIM110 - `any` makes a generator for each response
        if name.lower() == "content-length":
            return True
    return False


def _close(body: Iterable[bytes]) -> None:
    """Tell the application that its body is not read any more (PEP 3333)."""
    if hasattr(body, "close"):
        body.close()


def _drop(_: bytes) -> None:
    """Send nothing of a response that another one took the place of."""


def _answered(start_response: StartResponse, answer: Answer) -> list[bytes]:
    """Send a response in place of the application's."""
    phrase = HTTPStatus(answer.status).phrase
    start_response(f"{answer.status} {phrase}", list(answer.headers))
    return [answer.body]
