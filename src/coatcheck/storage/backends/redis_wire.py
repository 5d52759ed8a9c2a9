"""
One connection to Redis for each event loop, which all requests share.

    the client ─▶ makes a connection: account, TLS, Sentinel, number of the database
    the wire   ─▶ sends the commands of a request, and takes the answers, with hiredis

A client's own path checks a connection out of its pool and sets a timer for each command, which
takes longer than the server. Only what ends well is done here: if a server refuses a command, or
the connection ends before the answer, the client is asked again. So is a client that retries, if
an answer is late. So its retries and its errors are what they are without a wire. A write that is
sent twice counts once. If another one came between, nothing tells whether the first was done: then
it is an error (`is_unclear`).

There is no wire, and each command is the client's own, without the package hiredis, for a client
that is watched or of another library, or one that encodes texts in another way.
"""

import asyncio
import codecs
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from importlib import import_module
from types import FunctionType
from typing import Any, Generic, TypeVar

from coatcheck.storage.backends.per_loop import PerLoop
from coatcheck.storage.backends.pipelined import (
    ConnectionLost,
    PipelinedConnection,
    SharedConnection,
)
from coatcheck.storage.backends.redis_commands import is_unclear
from coatcheck.storage.backends.redis_connections import is_demoted, retries_late

hiredis: Any = None
with suppress(ImportError):  # redis-py works without it
    hiredis = import_module("hiredis")

READS = frozenset({"GET", "MGET"})
WRITES = frozenset({"SET", "DEL", "EVALSHA", "EVAL"})

COMMANDS = READS | WRITES
"""The commands whose answers need no translation."""

_NOT_WHOLE = object()


class RedisConnection(PipelinedConnection[tuple[Any, ...]]):
    """
    A connection that a client made.

    Args:
        stream: The client's own; it belongs to this connection from now on.
        timeout: Seconds that an answer may take; None: no limit.
    """

    def __init__(self, stream: asyncio.StreamWriter, timeout: float | None) -> None:
        super().__init__(timeout)
        self._stream = stream  # it would close the connection when it is collected
        self._parser = hiredis.Reader(notEnoughData=_NOT_WHOLE)
        stream.transport.set_protocol(self)
        self.connection_made(stream.transport)

    def send(self, args: tuple[Any, ...]) -> "asyncio.Future[Any]":
        """Send a command; return the future of its answer, which may be a `hiredis.ReplyError`."""
        # The end of a write is awaited also by a request that is cancelled.
        return self.ask(hiredis.pack_command(args), args, lasting=args[0] in WRITES)

    def bypassed(self) -> None:
        """Note that a write was sent over another connection."""

    def pushed(self, message: Sequence[Any]) -> None:
        """Take what the server tells unasked."""

    def received(self, data: memoryview) -> None:
        parser = self._parser
        parser.feed(data.tobytes())
        try:
            while (answer := parser.gets()) is not _NOT_WHOLE:
                if type(answer) is hiredis.PushNotification:
                    self.pushed(answer)
                else:
                    self.take(answer)
        except (hiredis.ProtocolError, LookupError):  # nonsense, or an answer to no command
            self.close()


C = TypeVar("C", bound=RedisConnection)

ByClient = Callable[..., Awaitable[Any]]
"""Sends a command over a client, from one event loop."""

Begin = Callable[[asyncio.StreamWriter, float | None], Coroutine[Any, Any, C]]
"""
Takes the stream of a client's connection, and the seconds that an answer may take. Returns the
connection when its first commands are answered.
"""


class Wire(Generic[C]):
    """
    The connection of one event loop to a client's server.

    Args:
        by_client: See `ByClient`.
        begin: See `Begin`.
        always: Also for a client that is watched.
    """

    def __init__(
        self,
        client: Any,
        by_client: ByClient,
        begin: Begin[C],
        *,
        always: bool = False,
    ) -> None:
        self._client = client
        self._by_client = by_client
        self._begin = begin
        self._is_possible = can_be_taken(client) and (always or not is_watched(client))
        self._retries = False
        self.shared = SharedConnection(self._connect)

    async def ask(self, *args: Any, **options: Any) -> Any:
        """Return what the client's `execute_command` would; errors are the client's own."""
        is_sent = False
        if self._is_possible and args[0] in COMMANDS:
            connection = self.shared.current
            try:
                if connection is None or not connection.is_open:
                    connection = await self.shared.renewed()
                coming, is_sent = connection.send(args), True
                answer = await coming
            except ConnectionLost:
                pass
            except TimeoutError:
                if not self._retries:
                    raise
            else:
                if not is_refusal(answer):
                    if connection is not self.shared.current:
                        self._bypassed(args[0])
                    return answer
                is_sent = False
                if is_demoted(answer):
                    connection.close()
        # A save goes on in another task from here: the client's time limits cancel the task in
        # which they begin.
        await asyncio.sleep(0)
        answer = await self._by_client(*args, **options)
        self._bypassed(args[0])
        if is_sent and is_unclear(args, answer):
            raise ConnectionLost
        return answer

    def _bypassed(self, name: str) -> None:
        """Note that a command was answered on another connection than the current one."""
        if name in WRITES and self.shared.current is not None:
            self.shared.current.bypassed()

    async def _connect(self) -> C:
        connection = self._client.connection_pool.make_connection()
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        stream = getattr(connection, "_writer", None)
        if not isinstance(stream, asyncio.StreamWriter):  # a version that keeps it elsewhere
            self._is_possible = False
            await connection.disconnect()
            raise ConnectionLost
        connection._reader = connection._writer = None
        self._retries = retries_late(connection)
        return await self._begin(stream, connection.socket_timeout)


class Wires(Generic[C]):
    """
    The wires of a client, one for each event loop: a call sends a command.

    Args:
        client: An asyncio client of one server, or of a Sentinel.
        make: Makes the wire of an event loop.
    """

    def __init__(self, client: Any, make: Callable[[], Wire[C]]) -> None:
        self._client = client
        self._make = make
        self._loops = PerLoop(self._open, self._release)

    # A coroutine of its own would be one more to step through for each answer.
    def __call__(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """Return what the client's `execute_command` would; errors are the client's own."""
        wire = self._loops.peek()
        return wire.ask(*args, **options) if wire else self._open_and_ask(*args, **options)

    @property
    def current(self) -> C | None:
        """The connection of the running event loop, if there is one; it may have ended."""
        wire = self._loops.peek()
        return wire.shared.current if wire else None

    async def close(self) -> None:
        """Close the connections of the running event loop; a later command opens one again."""
        await self._loops.close()

    async def _open_and_ask(self, *args: Any, **options: Any) -> Any:
        wire = await self._loops.get()
        return await wire.ask(*args, **options)

    async def _open(self) -> Wire[C]:
        return self._make()

    async def _release(self, wire: Wire[C]) -> None:
        await wire.shared.close()
        await self._client.connection_pool.disconnect()


async def begin(stream: asyncio.StreamWriter, limit: float | None) -> RedisConnection:
    """Make a connection that needs no first command."""
    return RedisConnection(stream, limit)


def can_be_taken(client: Any) -> bool:
    """Tell whether the connections of a client can be used without it."""
    library = _library_of(client)
    connection = client.connection_pool.connection_class
    return (
        hiredis is not None
        and library in {"redis", "valkey"}
        and connection.__module__.startswith(f"{library}.asyncio.")
        and not getattr(client, "single_connection_client", False)
        and codecs.lookup(client.get_encoder().encoding).name == "utf-8"
    )


def is_watched(client: Any) -> bool:
    """Tell whether something counts, traces or changes the commands of a client."""
    execute = type(client).execute_command
    return (
        "execute_command" in vars(client)
        or type(execute) is not FunctionType
        or hasattr(execute, "__wrapped__")
        or not execute.__module__.startswith(f"{_library_of(client)}.")
    )


def is_refusal(answer: object) -> bool:
    """Tell whether a server refused a command."""
    return type(answer) is hiredis.ReplyError


def _library_of(client: Any) -> str:
    """Return the name of the package that a client's class, or the one it extends, comes from."""
    pool: str = type(client.connection_pool).__module__
    return pool.partition(".")[0]
