"""Quart: streams, and changes that come late."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

import pytest
import quart
from quart.wrappers.response import ResponseBody

from coatcheck import ResponseStarted
from coatcheck.frameworks.quart import session
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, MemoryStorage, SessionStorage
from tests.applications import Awaited, move
from tests.frameworks.quart.pages import PAGES, application, names_of, play, sets, stream_of


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
