"""
Lazy backends: opened by the first call, and again by the first call after `close()`.

The storages of `storage_from_url` are made when a program starts, often in a process that serves no
requests itself, such as the parent of workers. So no server is asked before the first request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import NamedTuple
from weakref import WeakKeyDictionary

from coatcheck.storage.backend import (
    AsyncBackend,
    AsyncSweeps,
    Backend,
    Refused,
    Stored,
    Sweeps,
    swept,
)


class Opened(NamedTuple):
    """A backend, and the function that closes its connections."""

    backend: Backend
    close: Callable[[], None]


class AsyncOpened(NamedTuple):
    """An asynchronous backend, and the function that closes its connections."""

    backend: AsyncBackend
    close: Callable[[], Awaitable[object]]


class OpenedBackend:
    """
    The backend that *open* returns.

    Args:
        open: Called by the first call. If it raises `BackendError`, the next call tries again.
    """

    def __init__(self, open: Callable[[], Opened]) -> None:
        self._open = open
        self._opened: Opened | None = None
        self._lock = Lock()

    def get(self, key: str) -> Stored | None:
        return self._backend.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return self._backend.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self._backend.delete(key)

    def sweep(self, limit: int) -> int:
        backend = self._backend
        return backend.sweep(limit) if isinstance(backend, Sweeps) else 0

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done; 0 at the end of a round."""
        return swept(self._opened and self._opened.backend)

    def close(self) -> None:
        """Close the connections, if there are any."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened:
            opened.close()

    @property
    def _backend(self) -> Backend:
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened = self._opened or self._open()
        return opened.backend


class AsyncOpenedBackend:
    """The asynchronous backend that *open* returns, one for each event loop."""

    def __init__(self, open: Callable[[], Awaitable[AsyncOpened]]) -> None:
        self._open = open
        self._opened: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Future[AsyncOpened]] = (
            WeakKeyDictionary()
        )
        self._swept = 0.0

    async def get(self, key: str) -> Stored | None:
        return await (await self._backend()).get(key)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        return await (await self._backend()).swap(key, version, record, ttl)

    async def delete(self, key: str) -> None:
        await (await self._backend()).delete(key)

    async def sweep(self, limit: int) -> int:
        backend = await self._backend()
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
        opening = self._opened.pop(asyncio.get_running_loop(), None)
        if opening:
            await (await opening).close()

    async def _backend(self) -> AsyncBackend:
        loop = asyncio.get_running_loop()
        opening = self._opened.get(loop)
        if opening is None:
            opening = self._opened[loop] = asyncio.ensure_future(self._open())
        try:
            # Shielded: other requests wait for the same opening, also if this one is cancelled.
            return (await asyncio.shield(opening)).backend
        except BaseException:
            if opening.done() and (opening.cancelled() or opening.exception()):
                self._opened.pop(loop, None)
            raise
