"""Quart: streams, and changes that come late."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import quart
from quart.wrappers.response import ResponseBody

from coatcheck import ResponseStarted, Session
from coatcheck.frameworks.quart import session
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, MemoryStorage, SessionStorage
from tests.applications import Awaited, move
from tests.frameworks.quart.pages import PAGES, application, names_of, play, sets, stream_of
from tests.frameworks.quart.sockets import read, socket_scope


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


def test_a_body_that_may_still_read_says_so() -> None:
    """Its headers leave before its parts run; for visitors who have no session, too."""

    async def scene(client: Any) -> None:
        for _ in range(2):
            assert (await client.get("/")).headers["Vary"] == "Cookie"
            await client.get("/add?item=coat")

    pages = {"/": stream_of(lambda: None, lambda: session.get("cart")), **PAGES}
    play(application(MemoryStorage(), pages), scene)


def test_a_body_that_is_there_already_says_nothing(tmp_path: Path) -> None:
    """A text or a file cannot read the session, so any cache may keep the response."""
    (tmp_path / "file").write_text("file")

    async def text() -> str:
        return "text"

    async def some_file() -> quart.Response:
        return await quart.send_file(tmp_path / "file")

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        for path in ("/text", "/file"):
            assert "Vary" not in (await client.get(path)).headers

    play(application(MemoryStorage(), {"/text": text, "/file": some_file, **PAGES}), scene)


def test_a_server_that_cannot_send_says_that_the_client_left() -> None:
    """It raises OSError from its send (ASGI 2.4), which is no failure of the stream."""

    async def scene(client: Any) -> None:
        header = (await client.get("/add?item=coat")).headers["Set-Cookie"].partition(";")[0]
        scope = {
            **socket_scope(header, None),
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/",
        }
        bodies: list[bytes] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                bodies.append(message["body"])
            if len(bodies) == 2:
                raise OSError("the client has left")

        with pytest.raises(OSError, match="has left"):
            await app(scope, receive, send)  # type: ignore[arg-type]
        assert await read(app, header) == {"cart": ["coat", "hat"]}

    steps = [lambda: None, sets(cart=["coat", "hat"]), sets(cart=["lost"])]
    app = application(MemoryStorage(), {"/": stream_of(*steps), **PAGES})
    play(app, scene)


@pytest.mark.parametrize("breaks", ["/broken", "/stream", "/body"])
def test_a_request_that_failed_takes_no_more_changes(breaks: str) -> None:
    """Whoever still holds its session is told: destroy() would have no effect, nor any change."""
    held: list[Session] = []

    def hold() -> None:
        held.append(quart.session._get_current_object())  # type: ignore[attr-defined]

    def break_it() -> None:
        raise LookupError

    async def broken() -> None:
        hold()
        break_it()

    class Broken(Closing):
        async def __aenter__(self) -> AsyncIterable[bytes]:
            raise LookupError

    async def body() -> quart.Response:
        hold()
        return quart.Response(Broken())

    pages = {**PAGES, "/broken": broken, "/stream": stream_of(hold, break_it), "/body": body}
    app = application(MemoryStorage(), pages)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    async def scene(client: Any) -> None:
        await client.get("/add?item=coat")
        with pytest.raises(LookupError):
            await client.get(breaks)
        with pytest.raises(ResponseStarted):
            held[0]["late"] = True
        with pytest.raises(ResponseStarted):
            held[0].destroy()
        assert await (await client.get("/cart")).json == ["coat"]

    play(app, scene)
