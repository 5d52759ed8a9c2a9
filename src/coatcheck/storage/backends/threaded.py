"""
A plain backend, awaited: each call waits in a worker thread.

Only the bytes go there and come back. The session stays in the thread of the event loop, where the
tasks of its request may go on changing it while it is saved.
"""

import asyncio

from coatcheck.storage.backend import Backend, Refused, Stored


class ThreadedBackend:
    """
    The asynchronous form of any plain backend.

    Args:
        backend: One whose calls may wait; it is called from several threads at once.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, key: str) -> Stored | None:
        return await asyncio.to_thread(self._backend.get, key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return await asyncio.to_thread(self._backend.swap, key, version, record, ttl)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._backend.delete, key)

    async def sweep(self, limit: int) -> int:
        sweep = getattr(self._backend, "sweep", None)
        return await asyncio.to_thread(sweep, limit) if sweep else 0

    async def close(self) -> None:
        close = getattr(self._backend, "close", None)
        if close:
            await asyncio.to_thread(close)
