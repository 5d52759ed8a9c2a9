"""Quart: `quart.session` is a coatcheck session, at requests, streams and WebSockets."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from socket import create_server
from typing import Any

import httpx
import pytest
import quart
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart.sessions import SessionMixin
from quart.testing.connections import WebsocketResponseError
from quart.wrappers.response import ResponseBody
from websockets.asyncio.client import connect

from coatcheck import (
    BackendError,
    ConfigurationError,
    Context,
    Cookie,
    ResponseStarted,
    Session,
    UnstorableValue,
)
from coatcheck import session as session_of_asgi
from coatcheck.frameworks.quart import SessionInterface, session
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    SessionStorage,
    SqliteStorage,
    storage_from_url,
)
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import Clock, SessionKit
from tests.applications import Awaited, move
from tests.frameworks.visits import ITEM, add
from tests.hosts import SECRET, Sent

COOKIE = Cookie("session", secrets=[SECRET], secure=False, max_age=1000)

Page = Callable[[], Any]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Quart logs what handlers raise."""
    caplog.set_level(logging.CRITICAL, __name__)


@pytest.fixture(params=["cookie", "memory", "sqlite", "redis"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStorage:
    """One of each family: in the cookie, in the process, on the disk, on a server."""
    if request.param == "sqlite":
        return SqliteStorage(tmp_path / "db")
    if request.param == "redis":
        return storage_from_url(f"unix://{request.getfixturevalue('redis_socket')}")
    return CookieStorage() if request.param == "cookie" else MemoryStorage()


def application(
    storage: SessionStorage, pages: dict[str, Page] | None = None, **options: Any
) -> quart.Quart:
    """Return an application with these pages; it has no SECRET_KEY."""
    app = quart.Quart(__name__)
    interface = SessionInterface(COOKIE, storage, **options)
    app.session_interface = interface  # type: ignore[assignment] # Quart's own type is too narrow
    app.after_serving(interface.close)
    for path, page in (pages or {}).items():
        if path.startswith("/ws"):
            app.add_websocket(path, path, page)
        else:
            app.add_url_rule(path, path, page)
    return app


def play(app: quart.Quart, scene: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Play a scene with a client, from the start of the application to its end."""

    async def played() -> None:
        async with app.test_app() as served:
            await scene(served.test_client())

    asyncio.run(played())


def names_of(answer: Any) -> list[str]:
    """Return the names of the cookies that a response sets."""
    return [line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie")]


async def cart_page() -> Any:
    return quart.jsonify(session.get("cart"))


async def add_page() -> Any:
    return quart.jsonify(add(quart.session, quart.request.args["item"]))


async def failing_page() -> Any:
    session["lost"] = True
    raise LookupError


PAGES: dict[str, Page] = {"/cart": cart_page, "/add": add_page, "/fail": failing_page}


# HTTP


def test_a_visit(storage: SessionStorage) -> None:
    """Nothing is kept for who looks; a cart is filled, shown, kept through an error, and left."""

    async def template() -> str:
        return str(ITEM.render(session=quart.session))

    async def out() -> str:
        session.destroy()
        return ""

    async def scene(client: Any) -> None:
        answer = await client.get("/cart")
        assert await answer.json is None
        assert names_of(answer) == []
        assert await (await client.get("/add?item=coat")).json == ["coat"]
        assert await (await client.get("/add?item=hat")).json == ["coat", "hat"]
        shown = await (await client.get("/template")).get_data(as_text=True)
        assert shown == "cart=['coat', 'hat'];"
        failed = await client.get("/fail")
        assert failed.status_code == 500
        assert names_of(failed) == []
        async with client.session_transaction() as held:
            assert dict(held) == {"cart": ["coat", "hat"]}
        assert "Max-Age=0" in (await client.get("/out")).headers["Set-Cookie"]
        assert await (await client.get("/cart")).json is None

    play(application(storage, {**PAGES, "/template": template, "/out": out}), scene)


def test_quarts_session_is_the_session_itself(storage: SessionStorage) -> None:
    """Not a copy: `Session` and Quart's own type, with the members of both."""

    async def page() -> str:
        held = quart.session
        assert isinstance(held, Session)
        assert isinstance(held, SessionMixin)
        assert Context(dict(quart.request.scope)).get(Session) == held
        assert held.new
        held["cart"] = []
        assert held.modified
        held.modified = held.permanent = True
        held.flash("notice", "Saved.")
        await quart.flash("Sent.", "news")
        return ""

    async def again() -> str:
        assert session.permanent
        before = session.id
        session.regenerate_id()
        assert session.id != before
        messages = quart.get_flashed_messages(with_categories=True)
        return repr((session.get("notice"), messages))

    async def scene(client: Any) -> None:
        assert (await client.get("/")).status_code == 200
        answer = await client.get("/again")
        assert await answer.get_data(as_text=True) == repr(("Saved.", [("news", "Sent.")]))
        assert names_of(answer) == ["session"]
        answer = await client.get("/again")
        assert await answer.get_data(as_text=True) == repr((None, []))

    play(application(storage, {"/": page, "/again": again}), scene)


def test_a_response_that_depends_on_the_session_says_so() -> None:
    """One that does not carries none of our headers."""

    async def plain() -> quart.Response:
        response = quart.Response("")
        response.set_cookie("other", "1")
        return response

    async def own() -> quart.Response:
        session["user"] = "ada"
        response = quart.Response("", headers={"Vary": "Accept", "Cache-Control": "max-age=60"})
        response.set_cookie("other", "1")
        return response

    async def scene(client: Any) -> None:
        answer = await client.get("/plain")
        assert "Vary" not in answer.headers
        assert names_of(answer) == ["other"]
        assert (await client.get("/cart")).headers["Vary"] == "Cookie"
        answer = await client.get("/own")
        assert answer.headers.getlist("Vary") == ["Accept, Cookie"]
        assert answer.headers.getlist("Cache-Control") == ["max-age=60, private"]
        assert sorted(names_of(answer)) == ["other", "session"]

    play(application(MemoryStorage(), {"/plain": plain, "/own": own, **PAGES}), scene)


@pytest.mark.parametrize("answer", [lambda: quart.redirect("/cart"), lambda: quart.abort(404)])
def test_every_kind_of_answer_saves(storage: SessionStorage, answer: Page) -> None:
    """An error below 500 is a response of Werkzeug's, not of Quart's."""

    async def sign_in() -> Any:
        session["cart"] = ["coat"]
        return answer()

    async def scene(client: Any) -> None:
        assert names_of(await client.get("/in")) == ["session"]
        assert await (await client.get("/cart")).json == ["coat"]

    play(application(storage, {"/in": sign_in, **PAGES}), scene)


class Noted(CookieStorage):
    """A storage that notes in which thread it is called."""

    threads: list[int]

    def read(self, value: str | None) -> Session:
        if value:
            self.threads.append(threading.get_ident())
        return super().read(value)

    def save(self, session: Session) -> str | None:
        self.threads.append(threading.get_ident())
        return super().save(session)


@pytest.mark.parametrize("waits", [True, False])
def test_a_storage_that_waits_is_called_in_a_thread(waits: bool) -> None:
    """One that says it never does is called in place."""
    noted = Noted()
    noted.waits, noted.threads = waits, []

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        await client.get("/add?item=hat")

    play(application(noted, PAGES), scene)
    assert len(noted.threads) == 3
    assert {thread == threading.get_ident() for thread in noted.threads} == {not waits}


# What must not happen


def test_two_middlewares_on_one_request_are_refused() -> None:
    """session() around the application, beside the interface, is a mistake that is told."""
    app = application(MemoryStorage(), PAGES)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.asgi_app = session_of_asgi(COOKIE, MemoryStorage())(app.asgi_app)  # type: ignore[method-assign, arg-type, assignment]

    async def scene(client: Any) -> None:
        with pytest.raises(ConfigurationError, match="runs twice"):
            await client.get("/cart")

    play(app, scene)


def test_a_session_that_was_replaced_is_not_saved() -> None:
    """What an extension puts in its place would be lost, so nothing is sent."""
    app = application(MemoryStorage(), PAGES)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.after_request
    async def replace(response: quart.Response) -> quart.Response:
        quart.globals.request_ctx.session = {"user": 1}  # type: ignore[assignment]
        return response

    async def scene(client: Any) -> None:
        with pytest.raises(ConfigurationError, match="something replaced"):
            await client.get("/cart")

    play(app, scene)


def test_a_value_that_cannot_be_stored_answers_500() -> None:
    """The page of the error is sent without a session, and nothing else of it is kept."""

    async def page() -> str:
        session["cart"] = held = ["coat"]
        held.append(object())  # type: ignore[arg-type]
        return ""

    app = application(MemoryStorage(), {**PAGES, "/page": page})

    @app.errorhandler(500)
    async def failed(error: Any) -> tuple[str, int]:
        assert type(error.original_exception) is UnstorableValue
        return "sorry", 500

    async def scene(client: Any) -> None:
        answer = await client.get("/page")
        assert (answer.status_code, await answer.get_data(as_text=True)) == (500, "sorry")
        assert answer.headers["Vary"] == "Cookie"
        assert names_of(answer) == []
        assert await (await client.get("/cart")).json is None

    play(app, scene)


def test_an_error_after_the_save_loses_no_new_id() -> None:
    """The record lies under the new id already, so the page of the error carries it."""

    async def sign_in() -> str:
        session["cart"] = ["coat"]
        session.regenerate_id()
        return ""

    app = application(MemoryStorage(), {**PAGES, "/in": sign_in})

    async def fail(_: quart.Quart, **__: object) -> None:
        raise LookupError

    @app.teardown_request
    async def late(_: BaseException | None) -> None:
        if quart.request.path == "/in":
            session["late"] = True

    async def scene(client: Any) -> None:
        await client.get("/add?item=hat")
        with quart.request_finished.connected_to(fail, app):
            answer = await client.get("/in")
        async with client.session_transaction() as held:
            assert held["late"]
        assert answer.status_code == 500
        assert names_of(answer) == ["session"]
        assert await (await client.get("/cart")).json == ["coat"]

    play(app, scene)


def test_a_cookie_that_browsers_lose_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As by the middleware: Secure, over plain http."""
    caplog.set_level(logging.WARNING, "coatcheck")
    app = application(MemoryStorage(), PAGES)
    secure = SessionInterface(Cookie("session", secrets=[SECRET]), MemoryStorage())
    app.session_interface = secure  # type: ignore[assignment] # as above

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat", headers={"host": "example.org"})

    play(app, scene)
    assert "cookie 'session' will be lost: it is Secure" in caplog.text


# Servers that fail


class Down(MemoryBackend):
    """A server that takes no reads, or no writes."""

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=system_clock)
        self.reads = self.writes = True

    def get(self, key: str) -> Any:
        if not self.reads:
            raise BackendError("the server", "read")
        return super().get(key)

    def swap(self, *given: Any) -> Any:
        if not self.writes:
            raise BackendError("the server", "write")
        return super().swap(*given)


@pytest.mark.parametrize("fails", ["reads", "writes"])
def test_a_store_that_is_down_is_for_the_application_to_answer(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handler of status 500 gets the error, whether a read failed or a save."""
    caplog.set_level(logging.ERROR, __name__)
    backend = Down()
    app = application(KeyedStorage(backend), PAGES)

    @app.errorhandler(500)
    async def failed(error: Any) -> tuple[str, int]:
        assert isinstance(error.original_exception, BackendError)
        return "later", 503

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        setattr(backend, fails, False)
        assert (await client.get("/add?item=hat")).status_code == 503
        assert (await client.get("/cart")).status_code == (503 if fails == "reads" else 200)
        logged = {record.getMessage() for record in caplog.records if record.name == __name__}
        assert "Request finalizing errored" not in logged
        with pytest.raises(BackendError):
            async with client.session_transaction() as held:
                held["cart"] = ["lost"]
        setattr(backend, fails, True)
        assert await (await client.get("/cart")).json == ["coat"]

    play(app, scene)


def test_a_websocket_is_refused_while_the_store_is_down() -> None:
    """Its handler does not run."""
    backend = Down()
    ran: list[str] = []

    async def page() -> None:
        ran.append(str(session.get("cart")))
        await quart.websocket.send("hello")

    app = application(KeyedStorage(backend), {**PAGES, "/ws": page})

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        async with client.websocket("/ws") as socket:
            assert await socket.receive() == "hello"
        backend.reads = False
        with pytest.raises(WebsocketResponseError) as refused:
            async with client.websocket("/ws") as socket:
                await socket.receive()
        assert refused.value.response.status_code == 500

    play(app, scene)
    assert ran == ["['coat']"]


def test_an_outage_may_be_served_without_sessions() -> None:
    """With on_outage="anonymous": an empty session that is never written."""
    backend = Down()

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        backend.reads = False
        answer = await client.get("/add?item=hat")
        assert await answer.json == ["hat"]
        assert names_of(answer) == []
        backend.reads = True
        assert await (await client.get("/cart")).json == ["coat"]

    play(application(KeyedStorage(backend), PAGES, on_outage="anonymous"), scene)


def test_an_application_with_other_sessions_is_left_alone() -> None:
    """Quart's signals tell of every application of the process."""
    mine = application(MemoryStorage(), PAGES)
    other = quart.Quart(__name__)
    other.secret_key = "a key"

    @other.get("/")
    async def page() -> str:
        quart.session["user"] = "ada"
        return ""

    async def talk() -> None:
        await quart.websocket.send("hello")

    other.add_websocket("/ws", "ws", talk)

    async def scene(client: Any) -> None:
        assert (await client.get("/")).status_code == 200
        async with client.websocket("/ws") as socket:
            assert await socket.receive() == "hello"

    play(other, scene)
    assert mine.session_interface


# Streams and late changes


def stream_of(*steps: Callable[[], object]) -> Page:
    """Return a page that streams between its steps, the first of which runs in the handler."""

    async def page() -> quart.Response:
        steps[0]()

        @quart.stream_with_context
        async def parts() -> AsyncIterator[str]:
            for step in steps[1:]:
                yield "part;"
                said = step()
                if isawaitable(said):
                    await said

        return quart.Response(parts())

    return page


def sets(**values: Any) -> Callable[[], object]:
    return lambda: session.update(values)


@pytest.mark.parametrize("make", [MemoryStorage, lambda: AsyncKeyedStorage(Awaited())])
def test_a_stream_is_saved_before_its_headers_and_at_its_end(
    make: Callable[[], SessionStorage],
) -> None:
    """A server-side session that the client holds an id of takes late changes."""

    async def scene(client: Any) -> None:
        answer = await client.get("/")
        assert names_of(answer) == ["session"]
        assert await answer.get_data(as_text=True) == "part;part;"
        async with client.session_transaction() as held:
            assert dict(held) == {"cart": ["coat", "hat"], "late": 1}

    steps = sets(cart=["coat"]), sets(cart=["coat", "hat"]), sets(late=1)
    play(application(make(), {"/": stream_of(*steps), **PAGES}), scene)


def test_a_stream_whose_client_left_is_no_failure() -> None:
    """Quart cancels it; what was changed by then is saved, as events that were sent are."""

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        async with client.request("/") as connection:
            await connection.send_complete()
            assert await connection.receive() == b"part;"
            assert await connection.receive() == b"part;"
            await connection.disconnect()
        assert await (await client.get("/cart")).json == ["coat", "hat"]

    steps = [lambda: None, sets(cart=["coat", "hat"]), lambda: asyncio.Event().wait()]
    play(application(MemoryStorage(), {"/": stream_of(*steps), **PAGES}), scene)


class Closing(ResponseBody):
    """A body that notes how it was left."""

    left: list[object]

    async def __aenter__(self) -> AsyncIterable[bytes]:
        async def parts() -> AsyncIterator[bytes]:
            yield b"part"

        return parts()

    async def __aexit__(self, *raised: object) -> None:
        self.left = list(raised)


def test_a_body_is_left_as_it_was_entered() -> None:
    """What it opened, it can close."""
    body = Closing()

    async def page() -> quart.Response:
        return quart.Response(body)

    async def scene(client: Any) -> None:
        assert await (await client.get("/")).get_data() == b"part"

    play(application(MemoryStorage(), {"/": page}), scene)
    assert body.left == [None, None, None]


def test_a_stream_that_breaks_keeps_what_left_with_its_headers() -> None:
    """And nothing that came after."""

    def breaks() -> None:
        session["cart"] = ["lost"]
        raise LookupError

    async def scene(client: Any) -> None:
        await client.get("/add?item=hat")
        with pytest.raises(LookupError):
            await client.get("/")
        assert await (await client.get("/cart")).json == ["coat"]

    play(
        application(MemoryStorage(), {"/": stream_of(sets(cart=["coat"]), breaks), **PAGES}), scene
    )


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_change_that_comes_too_late_fails_at_its_line(
    make: Callable[[], SessionStorage],
) -> None:
    """The headers of a new session, or of one in the cookie, have left."""
    raised: list[ResponseStarted] = []

    def late() -> None:
        with pytest.raises(ResponseStarted) as error:
            session["late"] = True
        raised.append(error.value)

    async def scene(client: Any) -> None:
        await client.get("/")
        if make is CookieStorage:
            await client.get("/add?item=coat")
            await client.get("/")

    play(application(make(), {"/": stream_of(lambda: None, late), **PAGES}), scene)
    assert len(raised) == (2 if make is CookieStorage else 1)


def test_a_change_in_a_teardown_is_saved() -> None:
    """It runs after the save, before the body of one of Quart's responses, after Werkzeug's."""

    async def away() -> Any:
        session.get("cart")
        quart.abort(404)

    app = application(MemoryStorage(), {**PAGES, "/away": away})

    @app.teardown_request
    async def late(_: BaseException | None) -> None:
        if quart.request.path in ("/add", "/away"):
            session["cart"] = [quart.request.path]

    async def scene(client: Any) -> None:
        async with client.session_transaction() as held:
            held["user"] = "ada"
        for path in ("/add", "/away"):
            await client.get(f"{path}?item=coat")
            assert await (await client.get("/cart")).json == [path]

    play(app, scene)


def test_a_save_goes_on_to_its_end_when_the_request_is_cancelled() -> None:
    """A new id is never left half moved: its record there, and nothing at the old one."""
    backend = Awaited()
    backend.stops_at = lambda version: version is not None

    async def page() -> str:
        move(session)
        return ""

    app = application(AsyncKeyedStorage(backend), {**PAGES, "/": page})

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        asking = asyncio.ensure_future(client.get("/"))
        await backend.reached.wait()
        asking.cancel()
        await asyncio.sleep(0)
        backend.released.set()
        await asyncio.wait([asking])
        assert len(backend.memory) == 2
        assert await (await client.get("/cart")).json is None  # the old id leads nowhere

    play(app, scene)


# WebSockets


async def talk(
    app: quart.Quart,
    header: str | None,
    *messages: str,
    extensions: dict[str, Any] | None = None,
    left: asyncio.Event | None = None,
    sent: Sent | None = None,
) -> Sent:
    """Hold a conversation at /ws, message by message; it ends with "bye", or the client leaves."""
    sent = sent or Sent()
    coming = iter(
        [
            {"type": "websocket.connect"},
            *({"type": "websocket.receive", "text": text} for text in messages),
        ]
    )
    left = left or asyncio.Event()

    async def receive() -> Any:
        message = next(coming, None)
        if message is None:
            await left.wait()
            return {"type": "websocket.disconnect", "code": 1001}
        return message

    async def send(message: Any) -> None:
        await sent(message)
        if message.get("text") == "bye" or message["type"] == "websocket.close":
            left.set()

    await app(socket_scope(header, extensions), receive, send)  # type: ignore[arg-type]
    return sent


def socket_scope(header: str | None, extensions: dict[str, Any] | None) -> dict[str, Any]:
    headers = [(b"host", b"localhost")]
    if header:
        headers.append((b"cookie", header.encode()))
    return {
        "type": "websocket",
        "asgi": {"spec_version": "2.3"},
        "extensions": extensions,
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/ws",
        "raw_path": b"/ws",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "subprotocols": [],
    }


def cookie_of(sent: Sent) -> str:
    """Return the Cookie header after a WebSocket was accepted."""
    headers = dict(sent.messages[0]["headers"])
    return str(headers[b"set-cookie"].decode().partition(";")[0])


async def read(app: quart.Quart, header: str) -> dict[str, Any]:
    """Return what the session of a Cookie header holds."""
    client = app.test_client()
    name, _, value = header.partition("=")
    client.set_cookie("localhost", name, value)
    async with client.session_transaction() as held:
        return dict(held)


async def chat() -> None:
    """Change the session before the accept, and by what the client says."""
    add(session, "coat")
    while True:
        add(session, str(await quart.websocket.receive()))
        await quart.websocket.send("bye")


def test_a_websocket_is_saved_when_accepted_and_when_its_client_left() -> None:
    """The cookie comes with the handshake; Quart cancels the handler, which is no failure."""
    app = application(MemoryStorage(), {"/ws": chat})

    async def scene(_: Any) -> None:
        sent = await talk(app, None, "hat")
        assert [message["type"] for message in sent.messages] == [
            "websocket.accept",
            "websocket.send",
        ]
        assert (b"vary", b"Cookie") in sent.messages[0]["headers"]
        assert await read(app, cookie_of(sent)) == {"cart": ["coat", "hat"]}

    play(app, scene)


def test_a_websocket_of_every_storage(storage: SessionStorage) -> None:
    """The session is read from the handshake's cookie, and its changes leave with the accept."""

    async def count() -> None:
        session["visits"] = session.get("visits", 0) + 1
        await quart.websocket.accept(headers={"x-own": "1"})
        await quart.websocket.send(str(session["visits"]))

    app = application(storage, {"/ws": count})

    async def scene(_: Any) -> None:
        first = await talk(app, None)
        assert (b"x-own", b"1") in first.messages[0]["headers"]
        second = await talk(app, cookie_of(first))
        assert [message.get("text") for message in second.messages] == [None, "2", None]

    play(app, scene)


@pytest.mark.parametrize("extensions", [None, {"websocket.http.response": {}}])
def test_a_websocket_that_fails_drops_what_came_late(extensions: dict[str, Any] | None) -> None:
    """An error while the client is there is a failure."""

    async def page() -> None:
        add(session, "coat")
        await quart.websocket.accept()
        add(session, "hat")
        raise LookupError

    app = application(MemoryStorage(), {"/ws": page})

    async def scene(_: Any) -> None:
        sent = await talk(app, None, extensions=extensions)
        assert await read(app, cookie_of(sent)) == {"cart": ["coat"]}

    play(app, scene)


def test_two_tasks_of_a_websocket_accept_it_once() -> None:
    """The second to speak waits until the session is saved, and the cookie has left."""
    backend = Awaited()
    backend.stops_at = lambda _: True

    async def page() -> None:
        add(session, "coat")
        await asyncio.gather(quart.websocket.send("one"), quart.websocket.send("two"))

    app = application(AsyncKeyedStorage(backend), {"/ws": page})

    async def scene(_: Any) -> None:
        sent = Sent()
        talking = asyncio.ensure_future(talk(app, None, sent=sent))
        await backend.reached.wait()
        for _turn in range(20):
            await asyncio.sleep(0)
        assert sent.messages == []
        backend.released.set()
        await talking
        assert await read(app, cookie_of(sent)) == {"cart": ["coat"]}
        assert [message.get("text") for message in sent.messages[1:3]] == ["one", "two"]

    play(app, scene)


def test_a_websocket_that_ends_by_itself_is_saved() -> None:
    """When the handler returns."""

    async def page() -> None:
        add(session, "coat")
        await quart.websocket.accept()
        add(session, "hat")

    app = application(MemoryStorage(), {"/ws": page})

    async def scene(_: Any) -> None:
        sent = await talk(app, None)
        assert await read(app, cookie_of(sent)) == {"cart": ["coat", "hat"]}

    play(app, scene)


def test_a_client_that_leaves_before_it_was_accepted_is_no_error() -> None:
    """Its handler is cancelled, and what it did is dropped: nobody waits for an answer."""
    changed = asyncio.Event()

    async def page() -> None:
        add(session, "coat")
        changed.set()
        await asyncio.Event().wait()

    app = application(MemoryStorage(), {"/ws": page})

    async def scene(_: Any) -> None:
        assert (await talk(app, None, left=changed)).messages == []

    play(app, scene)
    assert changed.is_set()


def test_a_refused_websocket_saves_with_its_answer() -> None:
    """Where the server can send one; Quart's test client can."""

    async def page() -> Any:
        add(session, "coat")
        quart.abort(403)

    async def scene(client: Any) -> None:
        with pytest.raises(WebsocketResponseError) as refused:
            async with client.websocket("/ws") as socket:
                await socket.receive()
        assert refused.value.response.status_code == 403
        assert names_of(refused.value.response) == ["session"]
        line = refused.value.response.headers["Set-Cookie"]
        assert await read(app, line.partition(";")[0]) == {"cart": ["coat"]}

    app = application(MemoryStorage(), {"/ws": page})
    play(app, scene)


def test_a_refused_websocket_without_an_answer_is_loud_where_nothing_can_be_saved() -> None:
    """A new session has no headers to leave with; one that the client has is saved."""

    async def page() -> Any:
        add(session, "coat")
        quart.abort(403)

    app = application(MemoryStorage(), {"/ws": page, **PAGES})

    async def scene(client: Any) -> None:
        with pytest.raises(ResponseStarted, match="never accepted"):
            await talk(app, None)
        answer = await client.get("/add?item=hat")
        header = answer.headers["Set-Cookie"].partition(";")[0]
        assert [m["type"] for m in (await talk(app, header)).messages] == ["websocket.close"]
        assert await read(app, header) == {"cart": ["hat", "coat"]}

    play(app, scene)


# Tests of an application


def test_session_transaction(storage: SessionStorage) -> None:
    """Quart's test client reads the session that it holds, and stores it back."""

    async def scene(client: Any) -> None:
        async with client.session_transaction() as held:
            assert held.new
            held["cart"] = ["coat"]
        assert await (await client.get("/add?item=hat")).json == ["coat", "hat"]
        async with client.session_transaction() as held:
            held.clear()
        assert await (await client.get("/cart")).json is None
        async with client.session_transaction() as held:
            assert dict(held) == {}

    play(application(storage, PAGES), scene)


def test_the_test_kit_speaks_to_quarts_client(storage: SessionStorage) -> None:
    """What `SessionKit` puts there `quart.session` finds, and the other way round."""
    kit = SessionKit(COOKIE, storage)

    async def scene(client: Any) -> None:
        async with kit.session(client) as held:
            held["cart"] = ["coat"]
        assert await (await client.get("/add?item=hat")).json == ["coat", "hat"]
        async with kit.session(client) as held:
            assert held["cart"] == ["coat", "hat"]

    play(application(storage, PAGES), scene)


def test_the_terms_are_the_ones_of_session() -> None:
    """idle, lifetime and refresh are carried through."""
    clock = Clock()

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        clock.advance(40)
        assert names_of(await client.get("/cart")) == []
        clock.advance(20)
        assert names_of(await client.get("/cart")) == ["session"]
        clock.advance(80)
        assert await (await client.get("/cart")).json == ["coat"]
        clock.advance(20)
        assert await (await client.get("/cart")).json is None

    storage = MemoryStorage(clock=clock)
    play(application(storage, PAGES, idle=100, lifetime=150, refresh=0.5), scene)


@dataclass
class Visit:
    cart: list[str] = field(default_factory=list)


def test_a_typed_session(storage: SessionStorage) -> None:
    """With data=Visit: `session.data` is one, also at a WebSocket."""

    async def chat() -> None:
        visit: Visit = session.data
        visit.cart.append("coat")
        await quart.websocket.send("bye")

    async def scene(_: Any) -> None:
        header = cookie_of(await talk(app, None))
        assert await read(app, header) == {"cart": ["coat"]}
        if not isinstance(storage, CookieStorage):
            await talk(app, header)
            assert await read(app, header) == {"cart": ["coat", "coat"]}

    app = application(storage, {"/ws": chat}, data=Visit)
    play(app, scene)


class Closed(CookieStorage):
    closed = 0

    async def close(self) -> None:
        self.closed += 1


def test_the_storage_is_closed_with_the_application() -> None:
    """By `app.after_serving(interface.close)`."""
    storage = Closed()

    async def scene(_: Any) -> None:
        assert storage.closed == 0

    play(application(storage), scene)
    assert storage.closed == 1


def test_quarts_own_settings_are_not_used() -> None:
    """Extensions that ask learn the name of the cookie that was given."""
    app = application(MemoryStorage(), PAGES)
    app.config.update(SESSION_COOKIE_NAME="theirs")
    assert app.session_interface.get_cookie_name(app) == "session"

    async def scene(client: Any) -> None:
        assert names_of(await client.get("/add?item=coat")) == ["session"]

    play(app, scene)


# Over a real socket


def test_hypercorn_and_a_real_client(tmp_path: Path) -> None:
    """A cookie with the handshake, a close by the client, and a stream that the client leaves."""
    ended = asyncio.Event()

    async def talk() -> None:
        add(session, "coat")
        try:
            while True:
                add(session, str(await quart.websocket.receive()))
                await quart.websocket.send_json(session["cart"])
        finally:
            ended.set()

    async def events() -> quart.Response:
        @quart.stream_with_context
        async def parts() -> AsyncIterator[str]:
            try:
                yield "data: one\n\n"
                add(session, "tie")
                yield "data: two\n\n"
                await asyncio.Event().wait()
            finally:
                ended.set()

        return quart.Response(parts(), mimetype="text/event-stream")

    app = application(SqliteStorage(tmp_path / "db"), {"/ws": talk, "/events": events, **PAGES})

    async def scene() -> None:
        async with served(app) as address:
            async with connect(f"ws://{address}/ws") as socket:
                assert socket.response is not None
                header = socket.response.headers["Set-Cookie"].partition(";")[0]
                await socket.send("hat")
                assert json.loads(await socket.recv()) == ["coat", "hat"]
            await ended.wait()
            headers = {"Cookie": header}
            async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers) as client:
                ended.clear()
                async with client.stream("GET", "/events") as answer:
                    lines = answer.aiter_lines()
                    while await anext(lines) != "data: two":
                        pass
                await ended.wait()
                cart = (await client.get("/cart")).json()
                while cart != ["coat", "hat", "tie"]:  # the save comes after the handler's end
                    cart = (await client.get("/cart")).json()

    asyncio.run(asyncio.wait_for(scene(), 30))


@asynccontextmanager
async def served(app: quart.Quart) -> AsyncIterator[str]:
    """Serve an application on a free port, and return its address."""
    listening = create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.errorlog = None
    done = asyncio.Event()

    async def stopped() -> None:
        await done.wait()

    serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=stopped))
    try:
        yield address
    finally:
        done.set()
        await serving
