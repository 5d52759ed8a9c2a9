"""
One node of Memcached, over one connection of an event loop: answers come in the order of commands.

Commands of many requests are under way at once, so they share what it costs to send and receive:
while one is under way, those of one turn of the event loop are sent together.
A request that is cancelled leaves its answer to be read and dropped. As in `memcached_node`, the
connection is looked at before it is used after a pause, and a command whose connection ended is
sent once more over a new one.
"""

import asyncio
from collections import deque

from coatcheck.storage.backends.memcached_commands import (
    Command,
    ConnectionLost,
    MemcachedError,
    Reply,
    answer_in,
    check,
    check_done,
    may_go_on,
)
from coatcheck.storage.backends.memcached_node import Address, is_readable


class AsyncNode:
    """
    A node, and the connection to it in the running event loop.

    Args:
        timeout: Seconds that a command may take, with everything that it needs.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._is_closed = False

    async def ask(self, command: Command) -> Reply:
        """
        Return the answer to a command.

        Raises:
            OSError: There is no connection, or no answer in time.
            MemcachedError: The server refuses the command, or speaks another protocol.
        """
        used: Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                used = await self._connected()
                try:
                    return check_done(await used.ask(command))
                except ConnectionLost:
                    used = await self._connected()
                    return check_done(await used.ask(command))._replace(repeated=True)
        except TimeoutError:
            if used:  # it may be dead, without an end that could be seen
                used.close()
            raise

    async def close(self) -> None:
        """Close the connection; commands that are under way fail."""
        self._is_closed = True
        if self._connecting:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        if self._connection:
            self._connection.close()
            await self._connection.closed.wait()

    async def _connected(self) -> "Connection":
        connection = self._connection
        if connection and connection.usable:
            return connection
        if self._is_closed:  # a command that was under way asks once more
            raise ConnectionError("the storage was closed")
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._end_connecting)
        connecting = self._connecting
        await asyncio.wait((connecting,))  # shared: no request cancels it for the others
        return connecting.result()

    async def _connect(self) -> "Connection":
        if self._connection:
            self._connection.close()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout):
            if isinstance(self._address, str):
                made = await loop.create_unix_connection(Connection, self._address)
            else:
                made = await loop.create_connection(Connection, *self._address)
        self._connection = made[1]
        return made[1]

    def _end_connecting(self, connecting: "asyncio.Task[Connection]") -> None:
        self._connecting = None
        if not connecting.cancelled():
            connecting.exception()  # seen, also if no request waits for it any more


class Connection(asyncio.Protocol):
    """A connection, and the commands whose answers have not come yet, in order."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._waiting: deque[tuple[Command, asyncio.Future[Reply]]] = deque()
        self._unsent: list[bytes] = []
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream has
        self._transport = transport
        self._fileno: int = transport.get_extra_info("socket").fileno()
        self._open = True

    @property
    def usable(self) -> bool:
        """Whether it is open; its end is seen also while the event loop has not looked yet."""
        return self._open and bool(self._waiting or not is_readable(self._fileno))

    async def ask(self, command: Command) -> Reply:
        """Return the answer to a command, or raise `ConnectionLost`."""
        if not self._open:
            raise ConnectionLost
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        if not self._waiting:
            self._transport.write(command.data)
        else:  # others are under way: what this turn of the loop asks is sent as one
            if not self._unsent:
                loop.call_soon(self._send)
            self._unsent.append(command.data)
        self._waiting.append((command, answer))
        return await answer

    def _send(self) -> None:
        """Send the commands of this turn of the loop."""
        if self._open:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def close(self) -> None:
        """Close it; commands that are under way fail."""
        self._open = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            while self._received and self._open and (found := answer_in(self._received)):
                answer, end = found
                del self._received[:end]
                self._take(answer)
        except MemcachedError as error:
            self._fail(error)

    def connection_lost(self, _: Exception | None) -> None:
        self._open = False
        while self._waiting:
            answer = self._waiting.popleft()[1]
            if not answer.done():
                answer.set_exception(ConnectionLost())
        self.closed.set()

    def _take(self, answer: Reply) -> None:
        if not self._waiting:
            raise MemcachedError("the server must reply to a command, got a reply to none")
        command, waits = self._waiting[0]
        check(command, answer)
        self._waiting.popleft()
        if not waits.done():  # else its request was cancelled
            waits.set_result(answer)
        if not may_go_on(answer):
            self.close()

    def _fail(self, error: MemcachedError) -> None:
        """Tell the request whose answer was none, and use the connection no more."""
        if self._waiting:
            waits = self._waiting.popleft()[1]
            if not waits.done():
                waits.set_exception(error)
        self.close()
