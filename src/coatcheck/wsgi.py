"""
The synchronous shell: a WSGI middleware that carries out the cycle.

    app.wsgi_app = SessionMiddleware(app.wsgi_app, cookie, storage)

Requests get `environ["coatcheck.session"]`. The headers are held back until the application has
returned, or, if it is a generator, until it yields its first bytes; then the session is saved, and
once more at the end if a storage can still take what changed since.
"""

from collections.abc import Awaitable, Iterable, Iterator
from typing import Unpack, cast

from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import amended
from coatcheck._cookie.sealing import Opened
from coatcheck._request.cycle import FAILED, Cycle, Due, is_async
from coatcheck._request.options import Options
from coatcheck._request.wsgi_types import Environ, ExcInfo, Headers, StartResponse, Write, WSGIApp
from coatcheck._session.session import Session
from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.protocol import SessionStorage

__all__ = ["Environ", "ExcInfo", "Headers", "SessionMiddleware", "StartResponse", "WSGIApp"]

PLACE = "coatcheck.session"

CHANGED = ("vary", "cache-control")
"""How the names end of the headers that `amended` may change."""


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
    def of(cls, app: WSGIApp, cycle: Cycle) -> "SessionMiddleware":
        """Return *app* with the sessions of *cycle*: for `coatcheck.session`."""
        middleware = cls.__new__(cls)
        cls._set_up(middleware, app, cycle)
        return middleware

    def _set_up(self, app: WSGIApp, cycle: Cycle) -> None:
        _check_plain(cycle.storage)
        self.app = app
        self.cycle = cycle
        self._starts_empty = getattr(cycle.storage, "starts_empty", False)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        header = environ.get("HTTP_COOKIE")
        opened = self.cycle.cookie.open(header) if header else None
        if opened is None and self._starts_empty:
            session = self.cycle.begin(environ, PLACE)
        else:
            session = self.cycle.admit(self._read(opened), environ, PLACE)
        response = _Response(self.cycle, environ, session, opened, start_response)
        body = self.app(environ, response.start)
        if response.begun:
            try:
                response.send_headers()
            except BaseException:
                _close(body)
                raise
            still = type(body) in (list, tuple) or type(body) is environ.get("wsgi.file_wrapper")
            if still or session.blank is not None:
                response.end()
                return body  # as it is: the server may know its length, and nothing is saved later
        return _Body(body, response)

    def _read(self, opened: Opened | None) -> object:
        try:
            return self.cycle.storage.read(opened.text if opened else None)
        except BackendError as error:
            return self.cycle.outages.unread(error)


class _Response:
    """What the application said of its response, held back until the session is saved."""

    def __init__(
        self,
        cycle: Cycle,
        environ: Environ,
        session: Session,
        opened: Opened | None,
        start_response: StartResponse,
    ) -> None:
        self._cycle = cycle
        self._environ = environ
        self._session = session
        self._opened = opened
        self._start_response = start_response
        self._held: tuple[str, Headers, ExcInfo | None] | None = None
        self._sent = False
        self._write: Write | None = None

    @property
    def begun(self) -> bool:
        """Whether the application has called start_response."""
        return self._held is not None

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        """Hold the headers back: this is the application's start_response."""
        if self._sent:
            return self._start_response(status, headers, exc_info)
        self._held = status, headers, exc_info
        return self.write

    def write(self, data: bytes) -> object:
        """Send *data* at once: this is what the application's start_response returns."""
        write = self.send_headers()
        return write(data) if write else None

    def send_headers(self) -> Write | None:
        """Save the session and give the headers to the server, if that is still to be done."""
        if not self._sent and self._held is not None:
            status, headers, exc_info = self._held
            failed = exc_info is not None or int(status[:3]) >= FAILED
            headers = self._with_session(headers, failed=failed)
            given = (status, headers) if exc_info is None else (status, headers, exc_info)
            self._write = self._start_response(*given)
            self._sent = True
        return self._write

    def _with_session(self, headers: Headers, *, failed: bool) -> Headers:
        """Save the session, and return the headers with what it adds to them."""
        session = self._session
        cycle, opened = self._cycle, self._opened
        due = cycle.leaves(session, self._environ, PLACE, opened, failed=failed)
        set_cookie = self._answered(due) if due else None
        if set_cookie and opened is None:
            cycle.drops.in_environ(self._environ)
        if not (session.accessed or set_cookie):
            return headers
        # What the session changes is turned into bytes and back; the rest goes by as it is.
        ours = [pair for pair in headers if pair[0].lower().endswith(CHANGED)]
        given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in ours]
        kept = [pair for pair in headers if pair not in ours] if ours else headers
        changed = amended(given, set_cookie)
        return kept + [(_spelled(name), value.decode("latin-1")) for name, value in changed]

    def _answered(self, due: Due) -> str | None:
        """Do what is due, and return the Set-Cookie header value that the response needs."""
        session, cycle = self._session, self._cycle
        try:
            value = self._save() if due == "save" else None
            set_cookie = cycle.answer(session, value, self._opened)
        except BaseException:
            cycle.abandon(session)  # the answer to this error is sent without a session
            raise
        cycle.started(session)
        return set_cookie

    def _save(self) -> str | None:
        try:
            return _plain(self._cycle.storage.save(self._session))
        except BackendError as error:
            self._cycle.outages.unsaved(self._session, error)
            return None

    def finish(self) -> None:
        """Save what changed after the headers had left."""
        if self._session.blank is None and self._cycle.is_late(self._session):
            self._save()
        self.end()

    def end(self) -> None:
        """Let what changes from here on be loud: nobody would save it."""
        if self._session.blank is None:
            self._session.draft.reach = "nothing"


class _Body:
    """The application's body; its first part waits for the headers, its end for the last save."""

    def __init__(self, body: Iterable[bytes], response: _Response) -> None:
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
            self._response.send_headers()
            raise
        except BaseException:
            self._failed = True
            raise
        self._response.send_headers()
        return part

    def close(self) -> None:
        """End the request: servers call it once, however the request ended."""
        _close(self._body)
        if not self._failed:
            self._response.finish()


def _close(body: Iterable[bytes]) -> None:
    """Tell the application that its body is not read any more (PEP 3333)."""
    if hasattr(body, "close"):
        body.close()


def _spelled(name: bytes) -> str:
    """Return a header's name as WSGI spells it; ours come in lower case, as in ASGI."""
    return name.decode("latin-1").title() if name.islower() else name.decode("latin-1")


def _check_plain(storage: SessionStorage) -> None:
    if is_async(storage):
        raise ConfigurationError(
            "this storage is asynchronous, and WSGI cannot wait for it: make it with the plain "
            "form of its client, for example RedisStorage(redis.Redis(...)), or use KeyedStorage "
            "over a plain backend"
        )


def _plain(value: str | None | Awaitable[str | None]) -> str | None:
    """Return what a plain storage returned; `_check_plain` has refused the others."""
    return cast("str | None", value)
