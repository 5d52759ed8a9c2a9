"""
The connections of one event loop to a database, for sessions alone.

A call takes a connection that is idle, or a new one if there are fewer than *size*; else it waits
until one is free, in the order in which calls came. Connections are made one after another, by a
task that no request cancels. After one could not be made, the next attempt is made later, each time
a little more: calls wait for it, and fail with it. The first failure is told to no call.

One timer watches all connections. A driver has no time limit of its own for a server that stops to
answer, or one that costs a timer for each call.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from coatcheck.storage.backends.database_place import Place, longer, unreachable

SHORTEST_CONNECT = 2.0
"""
Seconds that an attempt to connect may take at the least, as libpq has it: it is several round
trips, the start of a process on the server, and perhaps a handshake.
"""

LONGEST_CLOSE = 1.0
"""Seconds that an attempt to connect may go on while the storage is closed."""


class Connection(Protocol):
    """One connection; it carries one call at a time."""

    asked_at: float
    """The loop's time of the last call."""
    is_last: bool
    """Whether it is closed when its call has ended."""

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way."""

    def end(self, cause: BaseException) -> None:
        """Close it, and tell its pool; a call that is under way raises *cause*."""


CLOSED = "the storage was closed"

C = TypeVar("C", bound=Connection)


class AsyncConnections(Generic[C]):
    """
    Connections of the running event loop.

    Args:
        place: Where the server is, and how it is reached.
        connect: Makes a connection.
        errors: What the driver raises.
    """

    def __init__(
        self,
        place: Place,
        connect: Callable[[], Awaitable[C]],
        errors: type[Exception],
    ) -> None:
        self.place = place
        self._connect = connect
        self._connect_limit = max(place.timeout, SHORTEST_CONNECT)
        self._errors = (errors, OSError)  # TimeoutError is one
        self._loop = asyncio.get_running_loop()
        self._all: set[C] = set()
        self._idle: list[C] = []
        self._waiting: deque[asyncio.Future[C]] = deque()
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False
        self._pause = 0.0
        """Seconds before the next attempt to connect."""
        self._watch: asyncio.TimerHandle | None = None

    def idle(self) -> C | None:
        """Take a connection that is idle."""
        return self._idle.pop() if self._idle else None

    async def wait(self, doing: str) -> C:
        """
        Wait for a connection.

        Raises:
            BackendError: None was free in time, or none could be made, or the storage was closed.
        """
        if self._is_closed:  # a call that began before asks once more
            closed = ConnectionError(CLOSED)
            raise unreachable(self.place.name, doing, closed) from closed
        waiter: asyncio.Future[C] = self._loop.create_future()
        is_full = len(self._all) >= self.place.size
        limit = self.place.timeout if is_full else self._connect_limit
        # asyncio.timeout() would need to end in the task in which it began.
        timer = self._loop.call_later(limit, _expire, waiter)
        self._waiting.append(waiter)
        self._open_if_needed()
        try:
            return await self._given(waiter)
        except self._errors as error:
            raise unreachable(self.place.name, doing, error) from error
        finally:
            timer.cancel()

    def free(self, connection: C) -> None:
        """Give a connection to the call that has waited longest, or keep it."""
        if connection not in self._all:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def ended(self, connection: C) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_if_needed()

    def drop(self) -> None:
        """Close the connections that are open now; one with a call under way, after its answer."""
        for connection in list(self._all):
            connection.is_last = True
            if not connection.is_busy:
                connection.end(ConnectionError("the connection was dropped"))

    async def close(self) -> None:
        """Close every connection; calls that are under way raise."""
        self._is_closed = True
        self._fail(ConnectionError(CLOSED))
        if opening := self._opening:
            # If it is cancelled in between, a driver may leave its socket open.
            await asyncio.wait((opening,), timeout=LONGEST_CLOSE)
            opening.cancel()
            await asyncio.wait((opening,))
        self._idle.clear()
        await asyncio.gather(*map(self._leave, list(self._all)))
        if self._watch:
            self._watch.cancel()
            self._watch = None

    async def _leave(self, connection: C) -> None:
        connection.end(ConnectionError(CLOSED))

    async def _given(self, waiter: "asyncio.Future[C]") -> C:
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was given one in the same turn of the loop
                self.free(waiter.result())
            raise

    def _wants_more(self) -> bool:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        is_full = len(self._all) >= self.place.size
        return bool(self._waiting) and not is_full and not self._is_closed

    def _open_if_needed(self) -> None:
        if self._opening is None and self._wants_more():
            self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        """Make connections while calls wait for one."""
        try:
            while self._wants_more():
                await asyncio.sleep(self._pause)
                try:
                    async with asyncio.timeout(self._connect_limit):
                        connection = await self._connect()
                except self._errors as error:
                    is_first = not self._pause
                    self._pause = longer(self._pause)
                    if self._all:  # as many as the server allows: calls wait for one of these
                        return
                    if not is_first:  # a server that just ended a connection may refuse once
                        self._fail(error)
                else:
                    self._pause = 0.0
                    self._add(connection)
        finally:
            self._opening = None

    def _add(self, connection: C) -> None:
        self._all.add(connection)
        self.free(connection)
        if self._watch is None:
            self._look()

    def _fail(self, error: Exception) -> None:
        """Let every call that waits for a connection raise."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _look(self) -> None:
        """End the connections on which an answer takes too long."""
        timeout = self.place.timeout
        for connection in list(self._all):
            if connection.is_busy and self._loop.time() - connection.asked_at > timeout:
                connection.end(TimeoutError("timed out"))
        self._watch = self._loop.call_later(timeout / 4, self._look) if self._all else None


def _expire(waiter: "asyncio.Future[C]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
