"""Conversations over a WebSocket, message by message."""

import asyncio
from typing import Any

import quart

from coatcheck.frameworks.quart import session
from tests.frameworks.visits import add
from tests.hosts import Sent


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
