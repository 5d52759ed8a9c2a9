"""
One node of Memcached, over one connection of an event loop that all requests share.

As in `memcached_node`, the connection is looked at before it is used after a pause, and a command
whose connection ended is sent once more over a new one.
"""

import asyncio

from msgspec.structs import replace

from coatcheck.storage.backends.memcached_commands import (
    Command,
    Item,
    MemcachedError,
    Reply,
    check,
    fits,
    may_go_on,
    read_on,
    refusal,
)
from coatcheck.storage.backends.memcached_node import Address, is_readable
from coatcheck.storage.backends.pipelined import (
    ConnectionLost,
    PipelinedConnection,
    SharedConnection,
)

PAUSE = 0.1
"""Seconds without an answer after which a connection may have ended before the loop looked."""


class AsyncNode:
    """
    A node, and the connection to it in the running event loop.

    Args:
        timeout: Seconds that a command may take, with everything that it needs.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._shared = SharedConnection(self._connect)

    async def ask(self, command: Command) -> Reply:
        """
        Return the answer to a command; a request that is cancelled waits for that of a write.

        Raises:
            OSError: There is no connection, or no answer in time.
            MemcachedError: The server refuses the command, or speaks another protocol.
        """
        due = self._loop.time() + self._timeout
        try:
            connection = self._shared.current
            if connection is None or not connection.is_usable:
                connection = await self._renewed(due)
            reply: Reply
            reply = await connection.ask(command.data, command, lasting=command.writes, due=due)
        except ConnectionLost:
            connection = await self._renewed(due)
            reply = await connection.ask(command.data, command, lasting=command.writes, due=due)
            return replace(reply, repeated=True)
        else:
            return reply

    async def close(self) -> None:
        """Close the connection; commands that are under way fail."""
        await self._shared.close()

    async def _renewed(self, due: float) -> "Connection":
        return await self._shared.renewed(due - self._loop.time())

    async def _connect(self) -> "Connection":
        def make() -> Connection:
            return Connection(self._timeout)

        async with asyncio.timeout(self._timeout):
            if isinstance(self._address, str):
                made = await self._loop.create_unix_connection(make, self._address)
            else:
                made = await self._loop.create_connection(make, *self._address)
        return made[1]


class Connection(PipelinedConnection[Command]):
    """A connection that speaks Memcached's protocol."""

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self._rest = b""
        self._items: dict[bytes, Item] = {}
        self._heard_at = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._fileno: int = transport.get_extra_info("socket").fileno()

    @property
    def is_usable(self) -> bool:
        """Whether it is open; its end is seen also while the event loop has not looked yet."""
        if not self.is_open or self._waiting or self._loop.time() < self._heard_at + PAUSE:
            return self.is_open
        if is_readable(self._fileno):
            self.close()
        return self.is_open

    def received(self, data: memoryview) -> None:
        self._heard_at = self._loop.time()
        received, at, size = self._rest + data, 0, len(self._rest) + len(data)
        try:
            while at < size:
                line, at = read_on(received, at, self._items)
                if line is None:
                    break
                command, answer, self._items = self.oldest, Reply(line, self._items), {}
                if command is not None and fits(command, answer):
                    self.take(answer)
                elif not self._goes_on_after(command, answer):
                    return
        except MemcachedError as error:
            self.fail(error)
        self._rest = received[at:]

    def _goes_on_after(self, command: Command | None, answer: Reply) -> bool:
        """Take an answer that refuses a command; return whether the connection is still used."""
        if command is None:
            raise MemcachedError("the server must reply to a command, got a reply to none")
        check(command, answer)
        self.refuse(refusal(answer))
        if not may_go_on(answer):
            self.close()
        return may_go_on(answer)
