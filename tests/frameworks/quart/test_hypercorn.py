"""Quart: over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import create_server

import httpx
import quart
from hypercorn.asyncio import serve
from hypercorn.config import Config
from websockets.asyncio.client import connect

from coatcheck.frameworks.quart import session
from coatcheck.storage import SqliteStorage
from tests.frameworks.quart.pages import PAGES, application
from tests.frameworks.visits import add


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
