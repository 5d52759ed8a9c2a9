"""The body of a request: read while it arrives, kept, and replayed for the application."""

from collections.abc import AsyncGenerator
from tempfile import SpooledTemporaryFile

from starlette.datastructures import Headers, UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from coatcheck.forms.limits import KIBIBYTE, Limits, check_total

TINY, ENOUGH = 512, 4 * KIBIBYTE
"""Chunks of fewer bytes than the first are gathered, up to the second: each parse has a price."""

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
        self._unkept = bytearray()
        spool = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - close() closes it
        self._kept = UploadFile(spool)  # type: ignore[arg-type]  # Starlette gives it one too

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """
        Yield the bytes that were not read yet, as they arrive, and at the end an empty chunk.

        Tiny chunks are gathered, so that a body costs the same however a client cuts it.

        Raises:
            OverLimit: The body has more bytes than its limit.
            ClientDisconnect: The client disconnected before the end.
        """
        while not self._ended:
            chunk = await self._chunk()
            if chunk:
                await self._keep(chunk)
                yield chunk
        yield b""

    async def _chunk(self) -> bytes:
        """Return the next chunk: as it came, or made of several tiny ones."""
        receive, gathered, more, chunk = self._receive, bytearray(), True, b""
        while more and len(gathered) < ENOUGH:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            if len(chunk) >= TINY:
                break
            gathered += chunk
            chunk = b""
        self._ended = not more
        whole = bytes(gathered) + chunk if gathered else chunk
        self._size += len(whole)
        check_total(self._size, self._limits)
        return whole

    async def _keep(self, chunk: bytes) -> None:
        self._unkept += chunk
        if len(self._unkept) >= IN_MEMORY:
            await self._kept_wholly()

    async def _kept_wholly(self) -> None:
        """Write what waits to be kept, many chunks at once: a write may need a thread."""
        if self._unkept:
            await self._kept.write(bytes(self._unkept))
            self._unkept.clear()

    async def rewind(self) -> None:
        """Read the rest of the body, so that `replay` can begin."""
        async for _ in self.stream():
            pass
        await self._kept_wholly()
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
