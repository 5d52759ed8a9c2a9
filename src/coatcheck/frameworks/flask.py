"""
Sessions in Flask: `flask.session` is a coatcheck session.

    app.session_interface = SessionInterface(cookie, storage)

Flask reads a session when it enters the context of a request, and saves it with the response. What
changes later is saved when Flask leaves that context, or, if code makes the body, at its end.

An environ may serve many requests: Flask-SocketIO enters a context for each event of a socket. Each
reads the session again, once the one before was saved or left. An event has no headers, so a change
that needs a cookie raises `ResponseStarted`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, TypeVar, Unpack, cast
from weakref import WeakSet

import flask
from flask.sessions import SessionInterface as FlaskInterface
from flask.sessions import SessionMixin
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.wsgi import FileWrapper

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.bound_guard import refusal
from coatcheck._request.cycle import FAILED, Cycle
from coatcheck._request.options import Options, check_seconds, fresh_challenge
from coatcheck._request.shell import Shell
from coatcheck._request.visit import NOTHING
from coatcheck._session.sign_in import SignIn
from coatcheck.errors import ConfigurationError
from coatcheck.frameworks.flask_session import FlaskSession
from coatcheck.frameworks.flask_settings import cookie_from, line_of_caller, warn_of_ignored
from coatcheck.frameworks.flask_visit import WerkzeugVisit, let_pass, sent_at_once
from coatcheck.storage.arguments import Duration
from coatcheck.storage.protocol import SessionStorage

__all__ = [
    "FlaskSession",
    "SessionInterface",
    "cookie_from",
    "require_auth",
    "require_bound",
    "require_fresh",
    "session",
]

View = TypeVar("View", bound=Callable[..., Any])

session = cast("FlaskSession[Any]", flask.session)
"""`flask.session`, for type checkers: it has `flash`, `apply`, `regenerate_id` and `destroy`."""


def require_auth(on_failure: Callable[[], Any] | None = None) -> Callable[[View], View]:
    """
    Return a decorator for views of users who signed in by `session.sign_in`.

        @app.get("/account")
        @require_auth(lambda: redirect(url_for("sign_in")))
        def account(): ...

    Args:
        on_failure: Returns the response to all others; None: 401.
    """
    return _only_if(bool, on_failure, "Session")


def require_fresh(
    seconds: Duration, *, on_stale: Callable[[], Any] | None = None
) -> Callable[[View], View]:
    """
    Return a decorator for views of users who signed in or confirmed a short time ago.

    Args:
        seconds: How long a sign-in or `session.confirm()` counts, in seconds or as a timedelta.
        on_stale: Returns the response to all others, such as a redirect to the page that asks for
            the password again; None: 401.

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
        def transfer(): ...
    """

    def decorated(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            answer = refusal(session, flask.request.method)
            if answer is None:
                return flask.current_app.ensure_sync(view)(*args, **kwargs)
            headers = list(answer.headers)
            return flask.current_app.response_class(answer.body, answer.status, headers)

        return cast("View", guarded)

    return decorated


def _only_if(
    passes: Callable[[SignIn], bool], refuse: Callable[[], Any] | None, challenge: str
) -> Callable[[View], View]:
    """Return a decorator for views that users may see whose sign-in *passes*."""

    def decorated(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            signed_in = _ours().signed_in
            if signed_in is not None and passes(signed_in):
                return flask.current_app.ensure_sync(view)(*args, **kwargs)
            if refuse is not None:
                return refuse()
            raise Unauthorized(www_authenticate=WWWAuthenticate.from_header(challenge))

        return cast("View", guarded)

    return decorated


def _ours() -> FlaskSession[Any]:
    """Return the session of a request, which tells who is signed in."""
    if not isinstance(session, FlaskSession):
        raise ConfigurationError(
            f"flask.session must be one of coatcheck, got {session.__class__.__name__}: "
            "set app.session_interface = SessionInterface(cookie, storage)"
        )
    return session


class SessionInterface(FlaskInterface):
    """
    The session interface: assign it to `app.session_interface`.

    The arguments are those of `coatcheck.session`. Flask's own settings, SESSION_COOKIE_*,
    PERMANENT_SESSION_LIFETIME and SECRET_KEY, have no effect, except through `cookie_from`. A
    warning names those that say something else than the cookie.

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
        self._cookie, self._line = cookie, line_of_caller()
        self._shell = Shell(Cycle(cookie, storage, **options))
        self._place = f"coatcheck.flask.{cookie.name}"
        self._apps: WeakSet[flask.Flask] = WeakSet()
        flask.request_started.connect(self._begin)
        flask.request_tearing_down.connect(self._tear_down)

    def get_cookie_name(self, app: flask.Flask) -> str:  # noqa: ARG002 - Flask passes it
        """Return the name of the cookie, for extensions that ask."""
        return self._cookie.name

    def open_session(self, app: flask.Flask, request: flask.Request) -> SessionMixin:
        """Return the session of a request; Flask's test client asks twice."""
        if app not in self._apps:
            self._apps.add(app)
            warn_of_ignored(app, self._cookie, self._line)
        visit = self._visit(request)
        if visit is None or visit.closed or visit.changes is not None:
            visit = _Visit(self._shell, request, visit.session if visit else None)
            visit.read(app)
            request.environ[self._place] = visit
        return cast("SessionMixin", visit.session)

    def save_session(
        self,
        app: flask.Flask,  # noqa: ARG002
        session: SessionMixin | None,
        response: flask.Response,
    ) -> None:
        """Save the session, and tell the client by *response*."""
        visit = self._visit(flask.request)
        if session is not None and visit:  # Flask has none after an error in open_session
            visit.leave(session, response)

    def _begin(self, app: flask.Flask, **_: object) -> None:
        """Send an answer in place of the application's: no handler or hook of it has run yet."""
        visit = self._visit(flask.request)
        if visit and visit.refusal:
            let_pass(app, flask.request.blueprints, visit.refusal)
            raise visit.refusal

    def _tear_down(self, _: flask.Flask, exc: BaseException | None = None, **__: object) -> None:
        """Save what changed late, unless a body is still to run."""
        visit = self._visit(flask.request)
        if visit:
            visit.tear_down(exc)

    def _visit(self, request: flask.Request) -> "_Visit | None":
        """Return the last visit on an environ; None: there was none with these sessions."""
        visit: _Visit | None = request.environ.get(self._place)
        return visit if visit and visit.shell is self._shell else None


class _Visit(WerkzeugVisit):
    """One context of a request, and the response that it has."""

    where = "environ"

    def __init__(self, shell: Shell, request: flask.Request, former: object) -> None:
        super().__init__(shell.cycle, request, former)
        self.shell = shell
        self.cookies = request.environ.get("HTTP_COOKIE")

    def read(self, app: flask.Flask) -> None:
        """Read the session."""
        answer = self.shell.read(self)
        if answer is not None:
            self.refuse(sent_at_once(answer, app.response_class), self.cycle.late_visitor)

    def leave(self, session: object, response: flask.Response) -> None:
        """Save, if that is still to be done, and give *response* the headers."""
        self.given = session
        if hasattr(self.request, "sid"):  # set by Flask-SocketIO, which sends no response
            self._leave_event()
            return
        if self.changes is None:  # an error page comes after a response that was saved
            failed = response.status_code >= FAILED
            self.changes = self.shell.leave(self, failed=failed, headers=response.headers)
            if self.changes.instead is not None:
                self.put_instead(response, self.changes.instead)
        self.streams = _runs(response, self.place)
        self.amend(response.headers, streams=self.streams)
        if self.streams:
            response.response = _Body(cast("Iterable[Any]", response.response), self)

    def _leave_event(self) -> None:
        """Save what an event changed, without a cookie."""
        self.changes = NOTHING
        self.cycle.never_start(self, "a change in an event of a socket")
        self.end()

    def tear_down(self, error: BaseException | None) -> None:
        """End the request, unless its body runs, or its test saves later."""
        self.closed = True
        left = error is not None or self.changes is not None
        if left and not self.is_body(error):
            self.end(failed=error is not None)

    def end(self, *, failed: bool = False) -> None:
        """Save what changed late; a later change raises."""
        self.shell.end(self, failed=failed)


class _Body:
    """A body that code makes, with the last save at its end."""

    def __init__(self, parts: Iterable[Any], visit: _Visit) -> None:
        self._given = parts
        self._parts = iter(parts)
        self._visit = visit
        self._failed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._visit.body_begun = True
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException:
            self._failed = True
            raise

    def close(self) -> None:
        """End the request: Werkzeug calls it once, also when the client leaves."""
        self._visit.body_begun = True
        try:
            if hasattr(self._given, "close"):
                self._given.close()
        except BaseException:
            self._failed = True
            raise
        finally:
            self._visit.end(failed=self._failed)


def _runs(response: flask.Response, environ: Mapping[str, Any]) -> bool:
    """Tell whether code makes the body while it is sent: not that of a list, nor of a file."""
    if not response.is_streamed or not response.direct_passthrough:
        return response.is_streamed
    file = environ.get("wsgi.file_wrapper", FileWrapper)
    return response.content_length is None and type(response.response) is not file
