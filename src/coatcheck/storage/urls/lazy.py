"""
Lazy backends: opened by the first call, and again by the first call after `close()`.

The storages of `storage_from_url` are made when a program starts, often in a process that serves no
requests itself, such as the parent of workers. So no server is asked before the first request. Each
process and each event loop opens its own.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from coatcheck.storage.backend import (
    AsyncBackend,
    AsyncSweeps,
    Backend,
    Refused,
    Stored,
    Sweeps,
    swept,
)
from coatcheck.storage.backends.per_loop import PerLoop
from coatcheck.storage.backends.per_process import PerProcess


class Connected(NamedTuple):
    """A backend, and the function that closes its connections."""

    backend: Backend
    close: Callable[[], None]


class AsyncConnected(NamedTuple):
    """An asynchronous backend, and the function that closes its connections."""

    backend: AsyncBackend
    close: Callable[[], Awaitable[object]]


class LazyBackend:
    """
    The backend that *open* returns, one for each process.

    Args:
        open: Called by the first call. If it raises `BackendError`, the next call tries again.
        kind: The name of the backend's class.
    """

    def __init__(self, open: Callable[[], Connected], kind: str) -> None:
        self.kind = kind
        self._opened = PerProcess(open, lambda opened: opened.close())

    def get(self, key: str) -> Stored | None:
        return self.behind().get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return self.behind().swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self.behind().delete(key)

    def sweep(self, limit: int) -> int:
        backend = self.behind()
        return backend.sweep(limit) if isinstance(backend, Sweeps) else 0

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done; 0 at the end of a round."""
        opened = self._opened.peek()
        return swept(opened and opened.backend)

    def close(self) -> None:
        """Close the connections of this process, if there are any."""
        self._opened.close()

    def behind(self) -> Backend:
        """Return the backend of this process."""
        return self._opened.get().backend


class AsyncLazyBackend:
    """The asynchronous backend that *open* returns, one for each event loop."""

    def __init__(self, open: Callable[[], Coroutine[Any, Any, AsyncConnected]], kind: str) -> None:
        self.kind = kind
        self._opened = PerLoop(open, lambda opened: opened.close())
        self._swept = 0.0

    # A coroutine of its own would be one more to step through for each answer.
    def get(self, key: str) -> Coroutine[Any, Any, Stored | None]:
        opened = self._opened.peek()
        return opened.backend.get(key) if opened else self._open_and_get(key)

    def swap(
        self, key: str, version: object, record: bytes, ttl: float
    ) -> Coroutine[Any, Any, Refused | None]:
        opened = self._opened.peek()
        if opened:
            return opened.backend.swap(key, version, record, ttl)
        return self._open_and_swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        await (await self.behind()).delete(key)

    async def sweep(self, limit: int) -> int:
        backend = await self.behind()
        if not isinstance(backend, AsyncSweeps):
            return 0
        removed = await backend.sweep(limit)
        self._swept = swept(backend)
        return removed

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done; 0 at the end of a round."""
        return self._swept

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self._opened.close()

    async def _open_and_get(self, key: str) -> Stored | None:
        return await (await self.behind()).get(key)

    async def _open_and_swap(
        self, key: str, version: object, record: bytes, ttl: float
    ) -> Refused | None:
        return await (await self.behind()).swap(key, version, record, ttl)

    async def behind(self) -> AsyncBackend:
        """Return the backend of the running event loop."""
        return (await self._opened.get()).backend
