"""aiohttp: streams, WebSockets, and changes that come late."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from coatcheck import ResponseStarted, Session
from coatcheck.frameworks.aiohttp import get_session
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from tests.frameworks.aiohttp.pages import Handler, application, browser_of
from tests.frameworks.visits import add


def stream_of(*steps: Callable[[web.Request], object]) -> Handler:
    """Return a handler that prepares a stream between its first step and the others."""

    async def page(request: web.Request) -> web.StreamResponse:
        steps[0](request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        for step in steps[1:]:
            step(request)
        await response.write(b"two")
        await response.write_eof()
        return response

    return page


def sets(**values: Any) -> Callable[[web.Request], object]:
    return lambda request: get_session(request).update(values)


def test_a_stream_is_saved_when_it_is_prepared_and_at_its_end() -> None:
    """A server-side session that the client holds an id of takes late changes."""
    pages = {"/stream": stream_of(sets(cart=["coat"]), sets(notice="late"))}
    with browser_of(application(MemoryStorage(), pages)) as browser:
        assert browser.get("/stream").text == "onetwo"
        assert list(browser.cookies) == ["session"]
        assert browser.get("/template").text == "cart=['coat'];notice=late;!late"


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_change_that_comes_too_late_fails_at_its_line(
    make: Callable[[], SessionStorage],
) -> None:
    """The headers of a new session, or of one in the cookie, have left."""
    raised: list[Exception] = []

    def late(request: web.Request) -> None:
        with pytest.raises(ResponseStarted) as error:
            get_session(request)["late"] = True
        raised.append(error.value)

    with browser_of(application(make(), {"/stream": stream_of(lambda _: 0, late)})) as browser:
        assert browser.get("/stream").text == "onetwo"
    assert len(raised) == 1


def test_a_body_that_runs_after_its_handler_cannot_change_the_session() -> None:
    """An iterator as body: a change would be lost, so it raises at its line."""
    raised: list[Exception] = []

    async def page(request: web.Request) -> web.Response:
        add(get_session(request), "coat")

        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            with pytest.raises(ResponseStarted) as error:
                get_session(request)["late"] = True
            raised.append(error.value)

        return web.Response(body=parts())

    with browser_of(application(MemoryStorage(), {"/page": page})) as browser:
        assert browser.get("/page").text == "one"
        assert browser.get("/cart").json() == ["coat"]
    assert len(raised) == 1


def test_a_stream_that_breaks_keeps_what_left_with_its_headers() -> None:
    """And nothing that came after."""

    def breaks(request: web.Request) -> None:
        get_session(request)["cart"] = ["lost"]
        raise LookupError

    with browser_of(
        application(MemoryStorage(), {"/stream": stream_of(sets(cart=["coat"]), breaks)})
    ) as browser:
        with pytest.raises(Exception, match=r"payload|disconnected|not completed"):
            browser.get("/stream")
        assert browser.get("/cart").json() == ["coat"]


async def chat(request: web.Request) -> web.WebSocketResponse:
    add(get_session(request), "coat")
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_json(add(get_session(request), message.data))
    return socket


def test_a_websocket() -> None:
    """The cookie comes with the handshake, and what came later is saved at the close."""

    async def scene(client: Any) -> None:
        async with client.ws_connect("/chat") as socket:
            await socket.send_str("hat")
            assert await socket.receive_json() == ["coat", "hat"]

    with browser_of(application(MemoryStorage(), {"/chat": chat})) as browser:
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat", "hat"]


def test_a_websocket_whose_client_left_is_no_failure() -> None:
    """A handler that still writes gets an error; what it changed before is saved."""
    done = asyncio.Event()

    async def page(request: web.Request) -> web.WebSocketResponse:
        add(get_session(request), "coat")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        add(get_session(request), "hat")
        try:
            await socket.send_str("too late")
        finally:
            done.set()
        return socket

    async def scene(client: Any) -> None:
        async with client.ws_connect("/chat"):
            pass
        await done.wait()

    with browser_of(application(MemoryStorage(), {"/chat": page})) as browser:
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat", "hat"]


def test_a_websocket_that_fails_drops_what_came_late() -> None:
    """An error while the client is there is a failure."""

    async def page(request: web.Request) -> web.WebSocketResponse:
        add(get_session(request), "coat")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        add(get_session(request), "hat")
        raise LookupError

    async def scene(client: Any) -> None:
        async with client.ws_connect("/chat") as socket:
            await socket.receive()

    with browser_of(application(MemoryStorage(), {"/chat": page})) as browser:
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat"]


def test_a_body_that_may_still_read_says_so() -> None:
    """Its headers leave before its parts run; for visitors who have no session, too."""

    async def iterator(request: web.Request) -> web.Response:
        async def parts() -> AsyncIterator[bytes]:
            yield str(get_session(request).get("cart")).encode()

        return web.Response(body=parts())

    pages = {"/iterator": iterator, "/stream": stream_of(lambda _: 0, lambda _: 0)}
    with browser_of(application(MemoryStorage(), pages)) as browser:
        for _ in range(2):
            assert browser.get("/iterator").answer.headers["Vary"] == "Cookie"
            assert browser.get("/stream").answer.headers["Vary"] == "Cookie"
            browser.get("/add/coat")
        assert browser.get("/iterator").text == "['coat', 'coat']"


def test_a_body_that_is_there_already_says_nothing(tmp_path: Path) -> None:
    """A text or a file cannot read the session, so any cache may keep the response."""
    (tmp_path / "file").write_text("file")

    async def text(_: web.Request) -> web.Response:
        return web.Response(text="text")

    async def opened(_: web.Request) -> web.Response:
        return web.Response(body=(tmp_path / "file").open("rb"))

    async def some_file(_: web.Request) -> web.FileResponse:
        return web.FileResponse(tmp_path / "file")

    pages = {"/text": text, "/opened": opened, "/file": some_file}
    with browser_of(application(MemoryStorage(), pages)) as browser:
        browser.get("/add/coat")
        for path in pages:
            assert browser.get(path).status_code == 200
            assert "Vary" not in browser.answer.headers


@pytest.mark.parametrize("cancels", [False, True])
def test_a_stream_whose_client_left_is_no_failure(cancels: bool) -> None:
    """A write raises, or the server cancels the handler; what was changed by then is saved."""
    ended = asyncio.Event()

    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        add(get_session(request), "hat")
        try:
            while True:
                await response.write(b"more" * 1000)
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def scene(client: Any) -> None:
        answer = await client.get("/page")
        await answer.content.readexactly(3)
        answer.close()
        await asyncio.wait_for(ended.wait(), 30)

    app = application(MemoryStorage(), {"/page": page})
    with browser_of(app, cancels=cancels) as browser:
        browser.get("/add/coat")
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat", "hat"]


def test_a_request_that_failed_takes_no_more_changes() -> None:
    """Whoever still holds its session is told: destroy() would have no effect, nor any change."""
    held: list[Session] = []

    def fail(request: web.Request) -> None:
        held.append(get_session(request))
        raise LookupError

    pages = {"/now": stream_of(fail), "/later": stream_of(lambda _: 0, fail)}
    with browser_of(application(MemoryStorage(), pages)) as browser:
        browser.get("/add/coat")
        assert browser.get("/now").status_code == 500
        with pytest.raises(Exception, match=r"payload|disconnected|not completed"):
            browser.get("/later")
        for session in held:
            with pytest.raises(ResponseStarted):
                session["late"] = True
            with pytest.raises(ResponseStarted):
                session.destroy()
        assert browser.get("/cart").json() == ["coat"]
