"""The line between an ASGI application and its client, and what is said on it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Line:
    """What a WebSocket's application receives and sends, and whether its client has left."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.closed = False

    async def receive(self) -> Message:
        """Pass a message of the client on."""
        message = await self._receive()
        self.closed = self.closed or message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Pass a message to the client on; servers answer OSError when there is none (ASGI 2.4)."""
        try:
            await self._send(message)
        except OSError:
            self.closed = True
            raise
