"""Ask an ASGI application: like a browser, or message by message."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
from starlette.types import ASGIApp, Message

URL = "http://shop.test"


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    cookies: httpx.Cookies | None = None,
    **options: Any,
) -> httpx.Response:
    """Return the answer to one request; the jar *cookies* is filled as a browser's would be."""

    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL, cookies=cookies) as client:
            response = await client.request(method, path, **options)
            if cookies is not None:
                cookies.clear()
                cookies.update(client.cookies)
            return response

    return asyncio.run(asking())


class Exchange:
    """
    One request whose messages the test makes itself.

    Args:
        body: The chunks of the body; None among them is a client that leaves.
        headers: By name, in lower case.
    """

    def __init__(
        self,
        body: Iterable[bytes | None] = (b"",),
        *,
        method: str = "POST",
        path: str = "/",
        type: str = "http",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": type,
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [
                (name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()
            ],
        }
        self.coming = list(body)
        self.taken = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """Give the application the next chunk, or tell it that the client left."""
        if self.taken == len(self.coming) or self.coming[self.taken] is None:
            return {"type": "http.disconnect"}
        chunk = self.coming[self.taken]
        self.taken += 1
        return {
            "type": "http.request",
            "body": chunk,
            "more_body": self.taken < len(self.coming),
        }

    async def send(self, message: Message) -> None:
        """Take what the application sends."""
        self.sent.append(message)

    def with_app(self, app: ASGIApp) -> "Exchange":
        """Let the application answer."""
        asyncio.run(self._run(app))
        return self

    async def _run(self, app: ASGIApp) -> None:
        await app(self.scope, self.receive, self.send)

    @property
    def status(self) -> int:
        """The status of the answer."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def text(self) -> str:
        """The body of the answer."""
        return b"".join(message.get("body", b"") for message in self.sent).decode()
