"""Quart: sessions at WebSockets."""

import asyncio
from typing import Any

import pytest
import quart
from quart.testing.connections import WebsocketResponseError

from coatcheck import ResponseStarted
from coatcheck.frameworks.quart import session
from coatcheck.storage import AsyncKeyedStorage, MemoryStorage, SessionStorage
from tests.applications import Awaited
from tests.frameworks.quart.pages import PAGES, application, names_of, play
from tests.frameworks.quart.sockets import chat, cookie_of, read, talk
from tests.frameworks.visits import add
from tests.hosts import Sent


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
