"""
A plain backend, awaited: each call waits in a worker thread.

Only the bytes go there and come back. The session stays in the thread of the event loop, where the
tasks of its request may go on changing it while it is saved.
"""

import asyncio
from collections.abc import Mapping, Sequence

from coatcheck.storage.backend import Backend, Refused, Stored, Sweeps, kind_of, swept
from coatcheck.storage.innermost import eviction_policy, get_many
from coatcheck.storage.protocol import Closes


class ThreadedBackend:
    """
    The asynchronous form of any plain backend.

    Args:
        backend: One whose calls may wait; it is called from several threads at once.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def kind(self) -> str:
        """The name of the plain backend's class."""
        return kind_of(self._backend)

    async def get(self, key: str) -> Stored | None:
        return await asyncio.to_thread(self._backend.get, key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return await asyncio.to_thread(self._backend.swap, key, version, record, ttl)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._backend.delete, key)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        """Return the records that are there, by key; one thread asks for all."""
        return await asyncio.to_thread(get_many, self._backend, keys)

    async def evicts(self) -> str:
        """Return the policy by which the server drops records; "": it drops none."""
        return await asyncio.to_thread(eviction_policy, self._backend)

    async def sweep(self, limit: int) -> int:
        backend = self._backend
        return await asyncio.to_thread(backend.sweep, limit) if isinstance(backend, Sweeps) else 0

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done."""
        return swept(self._backend)

    async def close(self) -> None:
        if isinstance(self._backend, Closes):
            await asyncio.to_thread(self._backend.close)
