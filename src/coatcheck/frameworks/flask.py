"""
Sessions in Flask: `flask.session` is a coatcheck session.

    app.session_interface = SessionInterface(cookie, storage)

Flask reads a session before its handlers and saves it after them, with nothing in between that a
WSGI middleware could wrap. So the shell of `coatcheck.wsgi` runs an application that stands still
meanwhile: a generator, which gets to its first part when Flask has a response.

What a body that Flask streams changes is saved at its end, if the storage can still do it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, Unpack, cast

import flask
from flask.sessions import SessionInterface as FlaskInterface
from flask.sessions import SessionMixin
from werkzeug.datastructures import Headers

from coatcheck import wsgi
from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import amended
from coatcheck._request.options import Options
from coatcheck._request.wsgi_types import Write
from coatcheck._session.session import Data, Session, Value
from coatcheck._session.values import encode
from coatcheck.frameworks.flask_messages import Leave, Take, listed
from coatcheck.storage.protocol import SessionStorage

FLASHES = "_flashes"
"""Where Flask's own `flash()` keeps its messages."""

PERMANENT = "_permanent"

_VISIT = "coatcheck.visit"


class FlaskSession(Session[Data]):
    """A `Session` with the attributes of Flask's sessions."""

    __slots__ = ()

    @property
    def permanent(self) -> bool:
        """What was assigned; how long a session lasts is said by the cookie and by *idle*."""
        return bool(self.get(PERMANENT, default=False))

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        if permanent:
            self[PERMANENT] = True
        else:
            self.unset(PERMANENT)

    @property
    def new(self) -> bool:
        """Whether nothing was stored before this request: Flask's word for `is_new`."""
        return self.is_new

    @property
    def modified(self) -> bool:
        """Whether this request changed anything; assigning it is allowed, and changes nothing."""
        return super().modified

    @modified.setter
    def modified(self, _: bool) -> None:
        pass  # changes are seen by themselves, nested ones too

    def __getitem__(self, key: str) -> Value:
        value = super().__getitem__(key)
        if key == FLASHES and isinstance(value, list):
            value[:] = map(tuple, value)  # as Flask promises them; stored they are lists
        return value

    def set(self, key: str, value: Value) -> None:
        if key == FLASHES and isinstance(value, list | tuple):
            kept, given = self._messages(), list(map(_pair, value))
            if len(given) > len(kept) and given[: len(kept)] == kept:
                self.draft.write(Leave(key, encode(key, given[len(kept) :])))
                self.draft.live.pop(key, None)
                return
        super().set(key, value)

    def __delitem__(self, key: str) -> None:
        if key == FLASHES and (kept := self._messages()):
            self.draft.write(Take(key, encode(key, kept)))
            self.draft.live.pop(key, None)
        else:
            super().__delitem__(key)

    def _messages(self) -> list[Any]:
        """Return Flask's messages as they are kept, whatever became of the list handed out."""
        self.accessed = True
        return listed(self.draft.contents.values.get(FLASHES))


def _pair(message: object) -> object:
    """Return a message as a record holds it."""
    return list(message) if isinstance(message, tuple) else message


SessionMixin.register(FlaskSession)

session = cast("FlaskSession[Any]", flask.session)
"""`flask.session`, for type checkers: it has `flash`, `apply`, `regenerate_id` and `destroy`."""


class SessionInterface(FlaskInterface):
    """
    What to assign to `app.session_interface`.

    The arguments are those of `coatcheck.session`. Flask's own settings, SESSION_COOKIE_*,
    PERMANENT_SESSION_LIFETIME and SECRET_KEY, are not used.

    Raises:
        ConfigurationError: The storage is asynchronous, the cookie is not sealed, or an option
            makes no sense.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        **options: Unpack[Options],
    ) -> None:
        self._cookie = cookie
        self._shell = wsgi.SessionMiddleware(_serve, cookie, storage, **options)

    def get_cookie_name(self, app: flask.Flask) -> str:  # noqa: ARG002 - Flask passes it
        """Return the name of the cookie, for extensions that ask."""
        return self._cookie.name

    def open_session(self, app: flask.Flask, request: flask.Request) -> SessionMixin:  # noqa: ARG002
        """Return the session of a request; Flask's test client asks twice."""
        environ = request.environ
        visit = environ.get(_VISIT)
        if visit is None or visit.shell is not self._shell:
            visit = environ[_VISIT] = _Visit(self._shell, environ)
        return cast("SessionMixin", visit.session)

    def save_session(
        self,
        app: flask.Flask,  # noqa: ARG002
        session: SessionMixin | None,
        response: flask.Response,
    ) -> None:
        """Save the session, and tell the client by *response*."""
        if session is not None:  # Flask asks so for the answer to an error in open_session
            flask.request.environ[_VISIT].save(session, response)


class _Body(Protocol):
    """What the shell returns."""

    def __iter__(self) -> Iterator[bytes]: ...

    def __next__(self) -> bytes: ...

    def close(self) -> None: ...


class _Visit:
    """One request on its way through the shell."""

    def __init__(self, shell: wsgi.SessionMiddleware, environ: wsgi.Environ) -> None:
        self.shell = shell
        self.status: int | None = None
        self.parts: Iterable[Any] = ()
        self._environ = environ
        self._added: wsgi.Headers = []
        self._body = cast("_Body", shell(environ, self._start))
        self.session: Session = environ[wsgi.PLACE]
        # Not a copy: what the shell looks at in the end is what the handler has changed.
        self.session.__class__ = FlaskSession

    def save(self, session: object, response: flask.Response) -> None:
        """Save, if that is still to be done, and give *response* the headers."""
        runs = response.is_streamed and not response.direct_passthrough
        self.parts = cast("Iterable[Any]", response.response) if runs else ()
        if self.status is None:  # an error page comes after a response that was saved or failed to
            self.status = response.status_code
            self._environ[wsgi.PLACE] = session
            next(self._body)
        set_cookie = dict(self._added).get("Set-Cookie")
        may_read = runs and self.session.blank is None  # a part of the body, too late to say so
        if set_cookie or self.session.accessed or may_read:
            amend(response.headers, set_cookie)
        if runs:
            response.response = self._body
        elif response.direct_passthrough:  # a file, which the server closes itself
            self._ends_here()
        else:
            response.call_on_close(self._body.close)

    def _ends_here(self) -> None:
        """Let a later change raise, since nothing would save it."""
        if self.session.blank is None:
            self.session.draft.reach = "nothing"

    def _start(self, _: str, headers: wsgi.Headers, __: wsgi.ExcInfo | None = None) -> Write:
        """Keep what the shell adds to the headers."""
        self._added = headers
        return len


def _serve(environ: wsgi.Environ, start_response: wsgi.StartResponse) -> Iterator[Any]:
    """Answer as Flask has: this is the application in the shell."""
    visit = environ[_VISIT]
    start_response(f"{visit.status:03} ", [])
    try:
        yield b""
        yield from visit.parts
    finally:
        if hasattr(visit.parts, "close"):
            visit.parts.close()


def amend(headers: Headers, set_cookie: str | None) -> None:
    """Add to a response's headers what the session says."""
    given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    changed = amended(given, set_cookie)
    headers.clear()
    for name, value in changed:
        spelled = name.decode("latin-1")
        headers.add(spelled.title() if name.islower() else spelled, value.decode("latin-1"))
