"""
A connection that the requests of an event loop share: answers come in the order of the commands.

    no answer is awaited    a command is sent at once
    others are              it is sent at the end of this turn of the loop, in one piece with theirs

So nothing waits for a free connection, and 64 requests at once share what it costs to send and to
receive. A request that is cancelled leaves its answer to be read and dropped.

One timer serves all commands. After an answer that is late, the connection takes no more commands,
and ends with the last one that is under way. When a connection ends, commands without an answer
raise `ConnectionLost`.

What arrives is read into one buffer that stays; asyncio's streams take new memory for each piece.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar, cast

from coatcheck.storage.lasting import Lasting
from coatcheck.storage.resuming import resume

BUFFER = 65536
"""Bytes that are read at once."""

Note = TypeVar("Note")


class ConnectionLost(ConnectionError):
    """The connection ended before the answer came: the command may have been carried out."""

    def __init__(self) -> None:
        super().__init__("the server closed the connection before it answered")


class PipelinedConnection(asyncio.BufferedProtocol, ABC, Generic[Note]):
    """
    A connection, and the commands whose answers have not come yet, in order.

    A class for one protocol has `received`, which hands over each whole answer by `take`.

    Args:
        timeout: Seconds that an answer may take; None: no limit.

    Attributes:
        is_open: Whether it takes commands.
        ended: Done when the connection has ended.
    """

    def __init__(self, timeout: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = math.inf if timeout is None else timeout
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        self._waiting: deque[tuple[asyncio.Future[Any], float, Note]] = deque()
        self._unsent: list[bytes] = []
        self._buffer = memoryview(bytearray(BUFFER))
        self._transport: asyncio.Transport
        self.is_open = False
        self.ended: asyncio.Future[None] = self._loop.create_future()

    @abstractmethod
    def received(self, data: memoryview) -> None:
        """Take what arrived; *data* is overwritten when this has returned."""

    def ask(
        self, command: bytes, note: Note, *, lasting: bool = False, due: float | None = None
    ) -> "asyncio.Future[Any]":
        """
        Send a command; return the future of its answer.

        The future raises `ConnectionLost` or `TimeoutError`; the command may have been carried out.

        Args:
            command: Its bytes.
            note: What is to be known of it when its answer comes.
            lasting: The future is a `Lasting`.
            due: The time of the loop after which its answer is late; None: *timeout* from now.

        Raises:
            ConnectionLost: The connection takes no more commands.
        """
        if not self.is_open:
            raise ConnectionLost
        loop = self._loop
        future: asyncio.Future[Any] = Lasting(loop=loop) if lasting else loop.create_future()
        if not self._waiting:
            self._transport.write(command)
        else:
            if not self._unsent:
                loop.call_soon(self._send)
            self._unsent.append(command)
        if due is None:
            due = loop.time() + self._timeout
        self._waiting.append((future, due, note))
        if due < self._looks_at:
            self._look_at(due)
        return future

    @property
    def oldest(self) -> Note | None:
        """The note of the command whose answer is next; None: no answer is due."""
        return self._waiting[0][2] if self._waiting else None

    def take(self, answer: object) -> None:
        """Hand the next answer to its request, which goes on at once."""
        future = self._waiting.popleft()[0]
        if not future.done():  # else its request was cancelled, or it was late
            resume(future, answer)

    def refuse(self, error: Exception) -> None:
        """Let the request whose answer is next raise *error*."""
        future = self._waiting.popleft()[0]
        if not future.done():
            future.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Close the connection; a request whose answer is next raises *error*."""
        if self._waiting:
            self.refuse(error)
        self.close()

    def close(self) -> None:
        """Close the connection; commands that are under way fail."""
        self.is_open = False
        self._transport.abort()

    def abandon(self) -> None:
        """Close the connection from any thread, if its loop runs."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of another class
        self.is_open = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received(self._buffer[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            future = self._waiting.popleft()[0]
            if not future.done():
                future.set_exception(ConnectionLost())
        self.ended.set_result(None)

    def _send(self) -> None:
        """Send the commands of this turn of the loop."""
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._looks_at = self._loop.call_at(time, self._look), time

    def _look(self) -> None:
        """End the wait for answers that are late."""
        self._timer, self._looks_at = None, math.inf
        now, later = self._loop.time(), math.inf
        for future, due, _ in self._waiting:
            if now < due:
                later = min(later, due)
                continue
            self.is_open = False  # it may be dead, without an end that could be seen
            if not future.done():  # else its request was cancelled
                future.set_exception(TimeoutError("no answer came in time"))
        if later < math.inf:
            self._look_at(later)
        elif not self.is_open:
            self._transport.abort()


C = TypeVar("C", bound=PipelinedConnection[Any])


class SharedConnection(Generic[C]):
    """
    The connection of one event loop: made when it is needed, and again after it ended.

    Args:
        connect: Makes one.

    Attributes:
        current: The connection that was made last; it may have ended.
    """

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, C]]) -> None:
        self._connect = connect
        self._connecting: asyncio.Task[C] | None = None
        self._is_closed = False
        self._open: set[C] = set()
        self.current: C | None = None

    async def renewed(self, seconds: float | None = None) -> C:
        """
        Return a connection that takes commands; errors are those of *connect*.

        Args:
            seconds: For which the caller waits for it; None: for ever.

        Raises:
            TimeoutError: It was not made in that time.
            ConnectionError: This was closed.
        """
        current = self.current
        if current is not None and current.is_open:
            return current
        if self._is_closed:  # a command that was under way asks once more
            raise _closed()
        connecting = self._connecting
        if connecting is None:
            connecting = self._connecting = asyncio.get_running_loop().create_task(self._connect())
            connecting.add_done_callback(self._connected)
        # Shared: no request cancels it for the others.
        if not (await asyncio.wait((connecting,), timeout=seconds))[0]:
            raise TimeoutError("no connection was made in time")
        if connecting.cancelled():
            raise _closed()
        return connecting.result()

    async def close(self) -> None:
        """Close the connection; commands that are under way fail."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        for connection in list(self._open):
            connection.close()
            await asyncio.wait((connection.ended,))

    def _connected(self, connecting: "asyncio.Task[C]") -> None:
        self._connecting = None
        # The error is looked at, also if no request waits for it any more.
        if connecting.cancelled() or connecting.exception() is not None:
            return
        self.current = made = connecting.result()
        self._open.add(made)  # until it has ended: commands may be under way on it for a while
        made.ended.add_done_callback(partial(_forget, self._open, made))

    def __del__(self) -> None:
        # The loop holds its connections, so they would stay open when nothing else leads to them.
        for connection in self._open:
            connection.abandon()


def _forget(opened: set[C], ended: C, _: object) -> None:
    opened.discard(ended)


def _closed() -> ConnectionError:
    return ConnectionError("the storage was closed")
