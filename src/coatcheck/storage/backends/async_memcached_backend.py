"""
The backend in Memcached, on one node or several.

A read is one `gets`, a write one `cas`, a new session one `add`: one round trip each. A refused
write asks once more, to tell what is there. The version is the server's own.

If the connection ends before the answer to a write came, the write is sent again. One that was done
before is refused then, and finds its own mark. One that finds another record cannot tell whether it
was done before that came: it fails, because a change that is made again on top of itself would
count twice.
"""

import math
from collections.abc import Mapping, Sequence

from coatcheck.errors import BackendError, RecordTooLarge
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.marks import marked, unmarked
from coatcheck.storage.backends.memcached_commands import (
    STORED,
    Command,
    Item,
    MemcachedError,
    delete,
    gets,
    store,
)
from coatcheck.storage.backends.memcached_nodes import AsyncNodes, picker
from coatcheck.storage.clock import TimeSource

MONTH = 30 * 24 * 3600
"""Seconds above which Memcached takes an expiry for a date."""

LATEST = 2**31 - 1
"""The last date that Memcached can hold, in 2038."""

NEVER = 0
"""The expiry of an item that stays until its memory is needed."""

AT_ONCE = 100
"""Keys in one command, at the most."""

_ERRORS = (MemcachedError, OSError)


class AsyncMemcachedBackend:
    """
    An item a record.

    Args:
        nodes: "host:port", or the path of a unix socket.
        timeout: Seconds that a command may take, with everything that it needs.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: A node is no address.
    """

    def __init__(self, *nodes: str, timeout: float, clock: TimeSource) -> None:
        self._nodes = AsyncNodes(nodes, timeout)
        self._pick = picker(*nodes)
        self._clock = clock

    async def get(self, key: str) -> Stored | None:
        name, command = self._pick(key), gets(key)
        try:
            answer = await self._nodes.ask(name, command)
        except _ERRORS as error:
            raise BackendError(_server(name), "read") from error
        return _stored(answer.items.get(command.keys[0]))

    async def get_many(self, keys: Sequence[str]) -> dict[str, Stored]:
        """Return the records that are there, by key: one command for each node."""
        of_nodes: dict[str, list[str]] = {}
        for key in keys:
            of_nodes.setdefault(self._pick(key), []).append(key)
        found: dict[str, Stored] = {}
        for name, some in of_nodes.items():
            for begin in range(0, len(some), AT_ONCE):
                items = await self._items(name, gets(*some[begin : begin + AT_ONCE]))
                found |= {key.decode("ascii"): _found(item) for key, item in items.items()}
        return found

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        name, data = self._pick(key), marked(record)
        command = store(key, data, version, _expiry(ttl, self._clock))
        try:
            answer = await self._nodes.ask(name, command)
        except _ERRORS as error:
            raise _unwritten(name, record, error) from error
        if answer.line == STORED:
            return None
        there = await self._item(key)
        if there and there.data == data:
            return None
        if answer.repeated:
            raise BackendError(_server(name), "write", "the answer was lost")
        return Refused(_stored(there))

    async def delete(self, key: str) -> None:
        name = self._pick(key)
        try:
            await self._nodes.ask(name, delete(key))
        except _ERRORS as error:
            raise BackendError(_server(name), "delete") from error

    async def close(self) -> None:
        """Close the connections that this event loop or process has open."""
        await self._nodes.close()

    async def _item(self, key: str) -> Item | None:
        command = gets(key)
        return (await self._items(self._pick(key), command)).get(command.keys[0])

    async def _items(self, name: str, command: Command) -> Mapping[bytes, Item]:
        """Return what a node has of the keys of a command that reads."""
        try:
            return (await self._nodes.ask(name, command)).items
        except _ERRORS as error:
            raise BackendError(_server(name), "read") from error


def _found(item: Item) -> Stored:
    return Stored(unmarked(item.data), version=item.version)


def _stored(item: Item | None) -> Stored | None:
    return None if item is None else _found(item)


def _expiry(ttl: float, clock: TimeSource) -> int:
    """Return a ttl as Memcached takes it: seconds, a date, or never, where it can hold no date."""
    seconds = max(1, math.ceil(ttl))
    if seconds <= MONTH:
        return seconds
    date = math.ceil(clock()) + seconds
    return date if date <= LATEST else NEVER


def _server(node: str) -> str:
    return f"Memcached at {node}"


def _unwritten(node: str, record: bytes, error: Exception) -> BackendError | RecordTooLarge:
    """Return what a failed write is; that an item is too large stands only in the message."""
    if "object too large" in str(error):
        return RecordTooLarge(len(record), None)
    return BackendError(_server(node), "write")
