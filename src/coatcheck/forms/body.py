"""The body of a request: read while it arrives, kept, and replayed for the application."""

from collections.abc import AsyncGenerator
from tempfile import SpooledTemporaryFile

from starlette.datastructures import Headers, UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from coatcheck.forms.limits import KIBIBYTE, Limits, check_total

IN_MEMORY = 64 * KIBIBYTE
"""Bytes of a body or an upload that stay in memory; a larger one is kept on disk."""


class Body:
    """
    A request body within its limit.

    Args:
        receive: The server's; after the body it tells when the client disconnects.
    """

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._size = self._left = 0
        self._ended = self._replayed = False
        spool = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - close() closes it
        self._kept = UploadFile(spool)  # type: ignore[arg-type]  # Starlette gives it one too

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """
        Yield the chunks that were not read yet, as they arrive, and at the end an empty chunk.

        Starlette's own stream ends with an empty chunk, and some versions of its parsers need it.

        Raises:
            OverLimit: The body has more bytes than its limit.
            ClientDisconnect: The client disconnected before the end.
        """
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            self._ended = not message.get("more_body", False)
            self._size += len(chunk)
            check_total(self._size, self._limits)
            if chunk:
                await self._kept.write(chunk)
                yield chunk
        yield b""

    async def rewind(self) -> None:
        """Read the rest of the body, so that `replay` can begin."""
        async for _ in self.stream():
            pass
        self._left = self._size
        await self._kept.seek(0)

    async def replay(self) -> Message:
        """Receive the body once more: the `receive` that the application gets."""
        if self._replayed:
            return await self._receive()
        chunk = await self._kept.read(IN_MEMORY)
        self._left -= len(chunk)
        self._replayed = self._left == 0
        return {"type": "http.request", "body": chunk, "more_body": not self._replayed}

    def close(self) -> None:
        """Free the kept body, without awaiting, so that a cancelled request frees it too."""
        self._kept.file.close()


def announced_size(headers: Headers) -> int:
    """Return the number in Content-Length, or 0 if the header is missing or is no number."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0
