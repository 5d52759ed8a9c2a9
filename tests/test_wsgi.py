"""The synchronous shell, watched from both sides by the validator of the standard library."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NoReturn
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from coatcheck import (
    BackendError,
    ConfigurationError,
    Context,
    Cookie,
    ResponseStarted,
    Session,
    session,
)
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck._request.wsgi_types import Write
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from coatcheck.wsgi import Environ, Response, SessionMiddleware, StartResponse, WSGIApp
from tests.hosts import COOKIE, Answer, environ_of, served, wsgi_app

PLAIN = [("Content-Type", "text/plain")]


@pytest.fixture
def memory() -> KeyedStorage:
    """A storage of our own process."""
    return MemoryStorage()


def fill(storage: KeyedStorage | CookieStorage, **values: Any) -> str:
    """Return the Cookie header of a session that holds *values*."""
    stored = storage.read(None)
    stored.update(values)
    value = storage.save(stored)
    assert value
    return COOKIE.serialize(value).partition(";")[0]


def look(storage: KeyedStorage | CookieStorage, header: str | None) -> Session:
    """Return what is stored for a Cookie header."""
    return storage.read(COOKIE.parse(header))


def run(app: WSGIApp, storage: KeyedStorage | CookieStorage, header: str | None = None) -> Answer:
    """Serve one request of *app* with sessions."""
    return served(validator(session(COOKIE, storage).wsgi(validator(app))), environ_of(header))


def session_of(environ: Environ) -> Session:
    found = environ["coatcheck.session"]
    assert isinstance(found, Session)
    return found


# The session in its place


def test_the_session_is_in_the_environ_and_in_the_context(memory: KeyedStorage) -> None:
    """`environ["coatcheck.session"]` and `context.get(Session)` are one."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert Context(environ).get(Session) is session_of(environ)
        start_response("204 No Content", [])
        return []

    assert run(app, memory).status == 204


def test_a_middleware_runs_once_a_request(memory: KeyedStorage) -> None:
    """session() inside session() is refused."""
    inner = session(COOKIE, memory).wsgi(wsgi_app)
    with pytest.raises(ConfigurationError, match="runs twice"):
        run(inner, memory)


def test_a_session_that_was_replaced_is_not_saved(memory: KeyedStorage) -> None:
    """What another middleware put in its place would be lost, so nothing is sent."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["coatcheck.session"] = {"user": 1}
        start_response("200 OK", PLAIN)
        return [b""]

    with pytest.raises(ConfigurationError, match="something replaced"):
        run(app, memory)


# start_response


def test_changes_after_start_response_are_saved(memory: KeyedStorage) -> None:
    """The headers wait until the application has returned."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        session_of(environ)["user"] = 1
        return [b"done"]

    answer = run(app, memory)
    assert answer.body == b"done"
    header = answer.all("set-cookie")[0].partition(";")[0]
    assert look(memory, header)["user"] == 1


def test_the_session_is_saved_before_the_headers_leave(memory: KeyedStorage) -> None:
    """When the server gets the cookie, the record is there."""
    seen: list[object] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        session_of(environ)["user"] = 1
        start_response("200 OK", PLAIN)
        return [b""]

    def start_response(_: str, headers: list[tuple[str, str]], __: object = None) -> Write:
        header = dict(headers)["Set-Cookie"].partition(";")[0]
        seen.append(look(memory, header)["user"])
        return seen.append

    list(session(COOKIE, memory).wsgi(app)(environ_of(), start_response))
    assert seen == [1]


def test_headers_keep_their_spelling(memory: KeyedStorage) -> None:
    """Ours are spelled as WSGI servers and their users are used to; others as they came."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        session_of(environ)["user"] = 1
        start_response("200 OK", [*PLAIN, ("x-CUSTOM", "é"), ("vary", "Accept")])
        return [b""]

    names: list[str] = []

    def start_response(_: str, headers: list[tuple[str, str]], __: object = None) -> Write:
        names.extend(name for name, _ in headers)
        return names.clear  # type: ignore[return-value]

    list(session(COOKIE, memory).wsgi(app)(environ_of(), start_response))
    assert names == ["Content-Type", "x-CUSTOM", "Vary", "Cache-Control", "Set-Cookie"]


# Bodies


@pytest.mark.parametrize("make", [list, tuple, lambda parts: FileWrapper(io.BytesIO(parts[0]))])
def test_a_body_that_runs_no_code_is_returned_as_it_is(
    memory: KeyedStorage, make: Callable[[list[bytes]], Iterable[bytes]]
) -> None:
    """The server may know its length, or hand the file to the kernel."""
    body = make([b"part"])

    def app(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return body

    environ = environ_of(None, {"wsgi.file_wrapper": FileWrapper})
    sessions = session(COOKIE, memory).wsgi(app)
    assert sessions(environ, lambda *_: lambda _: None) is body


def test_a_generator_may_change_the_session_before_its_first_part(memory: KeyedStorage) -> None:
    """The headers wait for the first bytes of an application that is a generator."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        session_of(environ)["user"] = 1
        start_response("200 OK", PLAIN)
        session_of(environ)["cart"] = []
        yield b"one"
        yield b"two"

    answer = run(app, memory)
    assert answer.body == b"onetwo"
    header = answer.all("set-cookie")[0].partition(";")[0]
    assert dict(look(memory, header)) == {"user": 1, "cart": []}


@pytest.mark.parametrize("length", [True, False])
def test_a_body_of_a_known_length_reads_no_session(memory: KeyedStorage, *, length: bool) -> None:
    """Code that makes a body of another length may still read the session: caches are told."""

    def app(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "3")] if length else PLAIN)
        return iter((b"one",))

    answer = run(app, memory)
    assert (answer.body, answer.all("vary")) == (b"one", [] if length else ["Cookie"])


def test_a_generator_without_parts_sends_its_headers(memory: KeyedStorage) -> None:
    """They leave when it ends."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        session_of(environ)["user"] = 1
        start_response("200 OK", PLAIN)
        yield from ()

    assert len(run(app, memory).all("set-cookie")) == 1


def late(change: Callable[[Session], object]) -> WSGIApp:
    """Return an application that makes a change between two parts of its body."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"one"
        change(session_of(environ))
        yield b"two"

    return app


def test_a_late_change_is_saved_where_the_client_holds_the_id(memory: KeyedStorage) -> None:
    """A generator that goes on working is saved when the server closes it."""
    header = fill(memory, cart=[])
    answer = run(late(lambda session: session["cart"].append("coat")), memory, header)
    assert answer.body == b"onetwo"
    assert look(memory, header)["cart"] == ["coat"]


def test_a_change_after_the_request_is_loud(memory: KeyedStorage) -> None:
    """A thread that outlives its request is told that nobody saves what it does."""
    kept: list[Session] = []

    def keep(session: Session) -> None:
        session.get("user")
        kept.append(session)

    run(late(keep), memory, fill(memory, user=1))
    with pytest.raises(ResponseStarted):
        kept[0]["late"] = True


def test_a_change_after_a_body_that_stands_still_is_loud(memory: KeyedStorage) -> None:
    """A list is the whole body: what changes once it is returned is saved by nobody."""
    kept: list[Session] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(environ["coatcheck.session"])
        kept[0].get("user")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    run(app, memory, fill(memory, user=1))
    with pytest.raises(ResponseStarted):
        kept[0]["late"] = True


def test_headers_are_given_once_whatever_the_server_returns(memory: KeyedStorage) -> None:
    """A gateway whose start_response returns nothing gets one answer, with its cookie."""
    given: list[list[tuple[str, str]]] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["coatcheck.session"]["user"] = 1
        start_response("200 OK", [])
        yield b"done"

    def careless(_: str, headers: list[tuple[str, str]], __: object = None) -> Any:
        given.append(headers)

    body = session(COOKIE, memory).wsgi(app)(environ_of(None, {}), careless)
    assert b"".join(body) == b"done"
    body.close()  # type: ignore[attr-defined]
    assert [dict(headers).get("Set-Cookie", "")[:9] for headers in given] == ["__session"]


def test_a_late_change_is_loud_where_it_reaches_nothing(memory: KeyedStorage) -> None:
    """A new session, or one in a cookie: the line that changes raises."""
    cookies = CookieStorage()
    change = late(lambda session: session.update(user=2))
    with pytest.raises(ResponseStarted):
        run(change, memory)
    with pytest.raises(ResponseStarted):
        run(change, cookies, fill(cookies, user=1))


def test_a_late_change_inside_a_value_in_a_cookie_is_loud_at_the_end() -> None:
    """No line of ours runs when a list grows; close() tells."""
    cookies = CookieStorage()
    with pytest.raises(ResponseStarted):
        run(late(lambda session: session["cart"].append(1)), cookies, fill(cookies, cart=[]))


class Closing:
    """A body that notes when it is closed."""

    def __init__(self, environ: Environ, parts: Iterable[bytes] = (b"part",)) -> None:
        self._session = session_of(environ)
        self._parts = iter(parts)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self.closed += 1
        self._session["closed"] = self.closed


def test_what_close_changes_is_saved(memory: KeyedStorage) -> None:
    """The application's close() runs once, and before the last save."""
    header = fill(memory, user=1)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Closing(environ)

    run(app, memory, header)
    assert look(memory, header)["closed"] == 1


def test_a_client_that_goes_away_loses_no_change(memory: KeyedStorage) -> None:
    """The server closes a body that it did not read to its end; what was done is saved."""
    header = fill(memory, user=1)
    app = session(COOKIE, memory).wsgi(late(lambda session: session.update(late=2)))
    body = app(environ_of(header), lambda *_: lambda _: None)
    parts = iter(body)
    assert [next(parts), next(parts)] == [b"one", b"two"]
    body.close()  # type: ignore[attr-defined]
    assert look(memory, header)["late"] == 2


def test_a_body_that_is_never_read_saves_nothing(memory: KeyedStorage) -> None:
    """No headers have left, so the request has not answered."""
    header = fill(memory, user=1)
    app = session(COOKIE, memory).wsgi(late(lambda session: session.update(late=2)))
    app(environ_of(header), lambda *_: lambda _: None).close()  # type: ignore[attr-defined]
    assert dict(look(memory, header)) == {"user": 1}


# The callable of old


def test_write_sends_the_headers_first(memory: KeyedStorage) -> None:
    """The session is saved by then; what comes later is saved at the end."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        session_of(environ)["user"] = 1
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"two ")
        session_of(environ)["late"] = 2
        return [b"three"]

    answer = run(app, memory)
    assert answer.body == b"one two three"
    header = answer.all("set-cookie")[0].partition(";")[0]
    assert dict(look(memory, header)) == {"user": 1, "late": 2}


# What goes wrong


def test_a_handler_that_raises_saves_nothing(memory: KeyedStorage) -> None:
    """No change is kept, no flash consumed; start_response is never called."""
    stored = memory.read(None)
    stored.flash("notice", "Saved.")
    header = COOKIE.serialize(memory.save(stored) or "").partition(";")[0]

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert session_of(environ)["notice"] == "Saved."
        session_of(environ)["user"] = 1
        start_response("200 OK", PLAIN)
        return raises(session_of(environ))

    with pytest.raises(LookupError):
        session(COOKIE, memory).wsgi(app)(environ_of(header), _never)
    assert look(memory, header).get("notice") == "Saved."
    assert "user" not in look(memory, header)


def raises(session: Session) -> NoReturn:
    session["user"] = 2
    raise LookupError


def _never(*_: object) -> Write:
    raise AssertionError


def test_a_generator_that_raises_saves_nothing_more(memory: KeyedStorage) -> None:
    """What came before the headers is saved, what came after is not, and close() stays quiet."""
    header = fill(memory, user=1)

    with pytest.raises(LookupError):
        run(late(raises), memory, header)
    assert dict(look(memory, header)) == {"user": 1}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("500 Internal Server Error", True),
        ("500 Internal Server Error", False),
        ("404 Not Found", True),
    ],
)
def test_an_error_page_saves_nothing(memory: KeyedStorage, status: str, *, told: bool) -> None:
    """Whether start_response is told of the error, or the status alone says so, as in Flask."""
    header = fill(memory, user=1, cart=[])

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        session_of(environ)["cart"].append("coat")
        try:
            raises(session_of(environ))
        except LookupError:
            error = sys.exc_info() if told else None
            start_response(status, PLAIN, error)
        yield b"sorry"

    answer = served(session(COOKIE, memory).wsgi(app), environ_of(header))
    assert (answer.status, answer.body) == (int(status[:3]), b"sorry")
    assert answer.headers == [("content-type", "text/plain"), ("vary", "Cookie")]
    assert dict(look(memory, header)) == {"user": 1, "cart": []}


def test_an_error_after_the_headers_goes_to_the_server(memory: KeyedStorage) -> None:
    """start_response raises the error again there, because nothing else can be sent (PEP 3333)."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"one"
        try:
            raises(session_of(environ))
        except LookupError:
            start_response("500 Internal Server Error", PLAIN, sys.exc_info())
        yield b"two"

    def start_response(_: str, __: object, exc_info: Any = None) -> Write:
        if exc_info:
            raise exc_info[1]
        return lambda _: None

    header = fill(memory, user=1)
    body = session(COOKIE, memory).wsgi(app)(environ_of(header), start_response)
    with pytest.raises(LookupError):
        list(body)


def test_the_answer_to_a_failed_save_passes_without_another() -> None:
    """An error page is sent as it is: the save is not tried again."""
    attempts: list[int] = []

    class Down(MemoryBackend):
        def swap(self, *_: object) -> None:
            attempts.append(1)
            raise BackendError("the server", "write")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        session_of(environ)["user"] = 1
        try:
            start_response("200 OK", PLAIN)(b"")
        except BackendError:
            start_response("503 Service Unavailable", PLAIN)
        return [b"later"]

    answer = run(app, KeyedStorage(Down(max_records=1, clock=system_clock)))
    assert (answer.status, answer.body, len(attempts)) == (503, b"later", 1)
    assert answer.headers == [("content-type", "text/plain"), ("vary", "Cookie")]


def test_a_body_is_closed_when_the_save_fails(memory: KeyedStorage) -> None:
    """The server never sees the body, so nobody else would close it."""
    bodies: list[Closing] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        bodies.append(Closing(environ))
        environ["coatcheck.session"] = {}
        start_response("200 OK", PLAIN)
        return bodies[0]

    with pytest.raises(ConfigurationError):
        session(COOKIE, memory).wsgi(app)(environ_of(), _never)
    assert bodies[0].closed == 1


def test_a_body_that_cannot_be_closed_is_let_go(memory: KeyedStorage) -> None:
    """A list has no close()."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["coatcheck.session"] = {}
        start_response("200 OK", PLAIN)
        return [b""]

    with pytest.raises(ConfigurationError):
        session(COOKIE, memory).wsgi(app)(environ_of(), _never)


# How it is made


def test_it_is_made_as_wsgi_middleware_is(memory: KeyedStorage) -> None:
    """The application first, options by keyword."""
    app = SessionMiddleware(wsgi_app, COOKIE, memory, idle=60, lifetime=100)
    environ = environ_of(None, {"test.handler": lambda s: s.set("user", 1), "test.headers": ()})
    answer = served(validator(app), environ)
    assert answer.all("vary") == ["Cookie"]
    made = memory.read(COOKIE.parse(answer.all("set-cookie")[0].partition(";")[0]))
    assert made.created_at and made.expires_at
    assert made.expires_at - made.created_at == timedelta(seconds=60)


def test_an_asynchronous_storage_is_refused() -> None:
    """When the middleware is made; the message names the plain form."""

    class Backend:
        async def get(self, _: str) -> None: ...
        async def swap(self, *_: object) -> None: ...
        async def delete(self, _: str) -> None: ...

    storage = AsyncKeyedStorage(Backend())
    with pytest.raises(ConfigurationError, match=r"RedisStorage\(redis.Redis\(...\)\)"):
        session(COOKIE, storage).wsgi(wsgi_app)


def test_a_cookie_without_secrets_is_refused(memory: KeyedStorage) -> None:
    """When the middleware is made, not when the first request comes."""
    with pytest.raises(ConfigurationError, match="no secrets"):
        SessionMiddleware(wsgi_app, Cookie("plain"), memory)


def test_a_visit_knows_the_fields_that_an_environ_names_in_another_way() -> None:
    """The two that have no HTTP_ before them (PEP 3333)."""
    shell = Shell(Cycle(COOKIE, MemoryStorage()))
    environ = {"CONTENT_LENGTH": "5", "CONTENT_TYPE": "text/plain", "HTTP_X_OTHER": "x"}
    visit = Response(shell, environ, lambda *_: lambda _: None)
    names = ("content-length", "content-type", "x-other", "x-none")
    assert [visit.header(name) for name in names] == ["5", "text/plain", "x", ""]


def test_sessions_of_two_cookies_live_side_by_side(memory: KeyedStorage) -> None:
    """The outer middleware goes on with its own, whatever the inner one attaches."""
    other = Cookie("other", secrets=["another secret of 32 characters.."])

    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        session_of(environ)["inner"] = 1
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    inner = SessionMiddleware(app, other, memory)
    answer = served(SessionMiddleware(inner, COOKIE, memory), environ_of(None))
    assert [line.partition("=")[0] for line in answer.all("set-cookie")] == ["other"]


class Breaking:
    """A body whose `close` fails, and that servers may close twice."""

    def __init__(self) -> None:
        self.fails = True

    def __iter__(self) -> Iterator[bytes]:
        yield b"a part"

    def close(self) -> None:
        if self.fails:
            self.fails = False
            raise OSError("of the application")


def test_a_body_whose_close_fails_ends_the_request_once(memory: KeyedStorage) -> None:
    """Its error is the server's to see; a second close does nothing more."""
    kept: list[Session] = []

    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        kept.append(session_of(environ))
        start("200 OK", [("Content-Type", "text/plain")])
        return Breaking()

    body: Any = SessionMiddleware(app, COOKIE, memory)(environ_of(fill(memory, a=1)), starts)
    assert list(body) == [b"a part"]
    with pytest.raises(OSError, match="of the application"):
        body.close()
    body.close()
    with pytest.raises(ResponseStarted):
        kept[0]["late"] = 1


def starts(*_: object) -> Write:
    """Start a response, as a server does."""
    return lambda _: None
