"""`on_outage="unavailable"`: 503 and Retry-After, in every front end, and one line in the log."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flask
import pytest
import quart
from aiohttp import web

from coatcheck import BackendError, session, wsgi
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck.frameworks import aiohttp
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import KeyedStorage
from coatcheck.testing import Clock
from tests._request.test_outages import DAY, Breakable, get_user, set_user
from tests._request.visits import DictVisit
from tests.applications import ACCEPT, connection, fill
from tests.frameworks.aiohttp.pages import browser_of
from tests.hosts import COOKIE, Asgi, Front, Sent, Wsgi, environ_of, nothing_received, served

RETRY = "10"

SOCKET = {
    "headers": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
}
"""What a client asks that opens a WebSocket."""


@pytest.fixture
def backend(clock: Clock) -> Breakable:
    return Breakable(clock)


@pytest.fixture
def storage(backend: Breakable, clock: Clock) -> KeyedStorage:
    return KeyedStorage(backend, clock=clock)


@pytest.fixture(params=["asgi", "asgi in place", "wsgi"])
def front(
    request: pytest.FixtureRequest, backend: Breakable, clock: Clock, storage: KeyedStorage
) -> Iterator[Front]:
    if request.param == "wsgi":
        yield Wsgi(storage)
        return
    in_place = KeyedStorage(backend, clock=clock, waits=False)
    front = Asgi(in_place if request.param == "asgi in place" else storage)
    with front.runner:
        yield front


def test_a_session_that_cannot_be_read_is_answered(
    front: Front, backend: Breakable, caplog: pytest.LogCaptureFixture
) -> None:
    """By 503, without the application; three requests leave one line, and no traceback."""
    browser = front.browser(on_outage="unavailable")
    browser.ask(set_user)
    backend.reads = False
    for _ in range(3):
        answer = browser.ask(get_user)
        assert (answer.status, answer.all("retry-after")) == (503, [RETRY])
        assert answer.all("set-cookie") == []
    assert [(it.levelno, it.exc_info) for it in caplog.records] == [(logging.ERROR, None)]
    backend.reads = True
    assert browser.ask(get_user).json == 1


def test_a_change_that_cannot_be_saved_is_answered(front: Front, backend: Breakable) -> None:
    """The handler ran, but its response is not sent: it would say that all is well."""
    browser = front.browser(on_outage="unavailable")
    backend.writes = False
    answer = browser.ask(set_user)
    assert (answer.status, answer.all("retry-after")) == (503, [RETRY])
    assert answer.all("set-cookie") == []
    assert answer.body.startswith(b"The service is unavailable")
    backend.writes = True
    browser.ask(set_user)
    assert browser.ask(get_user).json == 1


def test_a_refresh_can_wait(front: Front, backend: Breakable, clock: Clock) -> None:
    """A request that changed nothing has its answer."""
    browser = front.browser(on_outage="unavailable")
    browser.ask(set_user)
    clock.advance(2 * DAY)
    backend.writes = False
    assert browser.ask(get_user).json == 1
    assert browser.ask(lambda _: "untouched").all("set-cookie") == []


def test_of_two_cookies_neither_can_be_read(front: Front, backend: Breakable) -> None:
    """That is the same outage."""
    browser = front.browser(on_outage="unavailable")
    browser.ask(set_user)
    backend.reads = False
    browser.header = f"{browser.header}; {COOKIE.serialize('A' * 40).partition(';')[0]}"
    assert browser.ask(get_user).status == 503


def test_a_change_after_the_headers_is_dropped_with_a_warning(
    backend: Breakable, storage: KeyedStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer can tell it any more, and no traceback is written for each request."""

    def app(environ: wsgi.Environ, start: wsgi.StartResponse) -> Iterator[bytes]:
        environ["coatcheck.session"].get("user")
        start("200 OK", [])
        yield b"first"
        environ["coatcheck.session"]["late"] = 1
        backend.writes = False

    environ = environ_of(fill(storage, user=1))
    answer = served(session(COOKIE, storage, on_outage="unavailable").wsgi(app), environ)
    assert answer.body == b"first"
    assert [it.levelname for it in caplog.records] == ["ERROR", "WARNING"]
    backend.writes = True
    with pytest.raises(BackendError):
        served(session(COOKIE, storage).wsgi(app), environ_of(fill(storage, user=1)))


def yields(environ: wsgi.Environ, start: wsgi.StartResponse) -> Iterator[bytes]:
    start("200 OK", [])
    environ["coatcheck.session"]["user"] = 2
    yield b"a part"
    yield b"another"


def yields_nothing(environ: wsgi.Environ, start: wsgi.StartResponse) -> Iterator[bytes]:
    start("200 OK", [])
    environ["coatcheck.session"]["user"] = 2
    yield from ()


def writes(environ: wsgi.Environ, start: wsgi.StartResponse) -> Iterable[bytes]:
    environ["coatcheck.session"]["user"] = 2
    start("200 OK", [])(b"a part")
    return [b"another"]


@pytest.mark.parametrize("app", [yields, yields_nothing, writes])
def test_nothing_of_the_applications_body_is_sent(
    backend: Breakable, storage: KeyedStorage, app: Callable[..., Iterable[bytes]]
) -> None:
    """However a WSGI application makes it."""
    backend.writes = False
    answer = served(session(COOKIE, storage, on_outage="unavailable").wsgi(app), environ_of())
    assert answer.status == 503
    assert answer.body == b"The service is unavailable for a moment. Please try again.\n"


def test_a_websocket_is_refused(backend: Breakable, storage: KeyedStorage) -> None:
    """What the application goes on to send reaches nobody."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        scope["session"]["user"] = 2
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "hello"})

    backend.writes = False
    sent = Sent()
    middleware = session(COOKIE, storage, on_outage="unavailable")(app)
    asyncio.run(middleware(connection(), nothing_received, sent))
    assert sent.messages == [{"type": "websocket.close", "code": 1013}]


def test_in_flask(backend: Breakable, storage: KeyedStorage) -> None:
    """For a read, a save and a stream."""
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, storage, on_outage="unavailable")
    closed: list[bool] = []

    @app.get("/set")
    def change() -> str:
        flask.session["user"] = 2
        return "changed"

    @app.get("/stream")
    def stream() -> flask.Response:
        flask.session["user"] = 2
        response = flask.Response(iter(["a part"]))
        response.call_on_close(lambda: closed.append(True))
        response.response = _Closing(closed)
        return response

    backend.writes = False
    client = app.test_client()
    for path in ("/set", "/stream"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, RETRY)
        assert answer.text.startswith("The service is unavailable")
        assert "Set-Cookie" not in answer.headers
    assert closed
    backend.reads = False
    answer = client.get("/set", headers={"Cookie": fill_of(storage, backend)})
    assert answer.status_code == 503


class _Closing:
    """A body that is to be closed."""

    def __init__(self, closed: list[bool]) -> None:
        self._closed = closed

    def __iter__(self) -> Iterator[str]:
        yield "a part"

    def close(self) -> None:
        self._closed.append(True)


def fill_of(storage: KeyedStorage, backend: Breakable) -> str:
    """Return the Cookie header of a session that was stored before the outage."""
    before = backend.writes
    backend.writes = True
    try:
        return fill(storage, user=1)
    finally:
        backend.writes = before


def test_in_quart(backend: Breakable, storage: KeyedStorage) -> None:
    """For a save; a WebSocket is refused before it is accepted."""
    app = quart.Quart(__name__)
    app.session_interface = QuartInterface(  # type: ignore[assignment]
        COOKIE, storage, on_outage="unavailable"
    )

    @app.get("/set")
    async def change() -> str:
        quart.session["user"] = 2
        return "changed"

    @app.websocket("/socket")
    async def socket() -> None:
        quart.session["user"] = 2
        await quart.websocket.send("hello")

    async def ask() -> None:
        backend.writes = False
        client = app.test_client()
        answer = await client.get("/set")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, RETRY)
        assert (await answer.get_data(as_text=True)).startswith("The service is unavailable")
        with pytest.raises(quart.testing.connections.WebsocketResponseError) as refused:
            async with client.websocket("/socket") as connected:
                await connected.receive()
        assert refused.value.response.status_code == 503

    asyncio.run(ask())


def test_in_aiohttp(backend: Breakable, storage: KeyedStorage) -> None:
    """For a save, a stream that is prepared, and a read."""

    async def change(request: web.Request) -> web.Response:
        aiohttp.get_session(request)["user"] = 2
        return web.Response(text="changed")

    async def stream(request: web.Request) -> web.StreamResponse:
        aiohttp.get_session(request)["user"] = 2
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"of the stream")
        return response

    async def socket(request: web.Request) -> web.WebSocketResponse:
        aiohttp.get_session(request)["user"] = 2
        response = web.WebSocketResponse()
        await response.prepare(request)
        pytest.fail("prepared")

    app = web.Application()
    aiohttp.setup(app, COOKIE, storage, on_outage="unavailable")
    app.router.add_get("/set", change)
    app.router.add_get("/stream", stream)
    app.router.add_get("/socket", socket)
    backend.writes = False
    said: dict[str, str] = {}
    with browser_of(app) as browser:
        for path in ("/set", "/stream", "/socket"):
            got = browser.get(path, **SOCKET if path == "/socket" else {})
            assert got.status_code == 503
            assert got.answer.headers["Retry-After"] == RETRY
            said[path] = got.text
    assert said["/set"].startswith("The service is unavailable")
    assert said["/socket"] == said["/set"]
    assert said["/stream"] == "of the stream"


def test_what_waits_for_the_server_in_place(backend: Breakable, clock: Clock) -> None:
    """A late change is dropped, and a session that cannot be read again stays as it is."""
    storage = KeyedStorage(backend, clock=clock, waits=False)
    shell = AsyncShell(Cycle(COOKIE, storage, on_outage="unavailable"))

    async def scene() -> None:
        visit = DictVisit(header)
        await shell.read(visit)
        assert visit.session.get("user") == 1
        backend.reads = False
        with pytest.raises(BackendError):
            await shell.reload(visit.session)
        assert visit.session.get("user") == 1
        await shell.leave(visit)
        visit.session["late"] = 1
        backend.writes = False
        await shell.end(visit)

    header = fill(storage, user=1)
    asyncio.run(scene())
    backend.reads = backend.writes = True
    later = DictVisit(header)
    Shell(Cycle(COOKIE, storage)).read(later)
    assert dict(later.session) == {"user": 1}
