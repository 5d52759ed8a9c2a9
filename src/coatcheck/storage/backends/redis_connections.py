"""
The connections of a Redis client: wait for a free one, and drop those to a demoted server.

A client raises an error at once if all of its connections are in use. So a command waits here until
one is free, as long as it may wait for an answer.

After a failover, connections may still lead to the old primary, which is read-only now. It refused
the write, so the write was not done: the idle connections are closed, and the command is sent again
over a new one, which leads to the new primary. Clients of a Sentinel or a cluster look for it by
themselves.

A connection of an asyncio client belongs to the event loop that opened it. So the connections to
one server are closed when the loop ends, and the next loop opens its own. An asyncio client of a
cluster serves one loop; a storage from a URL makes one for each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Semaphore
from typing import Any, NamedTuple

from coatcheck.storage.backends.per_process import PerProcess

TRIES = 3
"""
Attempts of a command at a server that is read-only: other requests may put connections back
into the pool, which are as old, before the next try.
"""

UNLIMITED = 2**31
"""The limit that clients report when they have none."""

_DEMOTED = ("READONLY", "read only replica", "MASTERDOWN", "previous master")
"""The errors of a server that is no longer primary, or of redis-py for it; see the classes, too."""


class Limit(NamedTuple):
    """The number of a client's connections, and the seconds to wait for one; None: without end."""

    connections: int
    seconds: float | None


NO_LIMIT = Limit(UNLIMITED, None)


def options_of(client: Any) -> Mapping[str, Any]:
    """Return the options of a client's connections."""
    pool = getattr(client, "connection_pool", None)
    options: Mapping[str, Any] = (
        pool.connection_kwargs if pool else getattr(client, "get_connection_kwargs", dict)()
    )
    return options


def server_of(client: Any) -> str:
    """Return the name of a client's server for errors: "Redis at 10.0.0.5:6379"."""
    pool, options = getattr(client, "connection_pool", None), options_of(client)
    if pool is None:
        nodes = sorted(client.nodes_manager.startup_nodes)
        return f"Redis cluster at {', '.join(nodes[:3])}"
    if name := getattr(pool, "service_name", ""):
        return f"Redis, Sentinel's {name!r}"
    if path := options.get("path"):
        return f"Redis at {path}"
    return f"Redis at {options.get('host', 'localhost')}:{options.get('port', 6379)}"


def limit_of(client: Any) -> Limit:
    """Return the limit that a client was made with, for one server or a cluster."""
    pool, options = getattr(client, "connection_pool", None), options_of(client)
    most = pool.max_connections if pool else options.get("max_connections")
    return Limit(most or UNLIMITED, options.get("socket_timeout"))


def retries_late(connection: Any) -> bool:
    """Tell whether the client of a connection sends a command again whose answer is late."""
    retry = connection.retry
    kinds = {kind.__name__ for kind in getattr(retry, "_supported_errors", ())}
    return "TimeoutError" in kinds and getattr(retry, "_retries", 0) != 0


def is_demoted(error: Exception) -> bool:
    """Tell whether a server refused a command because it is no primary any more."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"ReadOnlyError", "MasterDownError"}) or any(
        each in str(error) for each in _DEMOTED
    )


class Slots:
    """
    The places of a plain client's connections.

    A thread that held one at a fork does not exist in the child, so each process has its own.
    """

    def __init__(self, limit: Limit) -> None:
        self._seconds = limit.seconds
        self._free = PerProcess(lambda: Semaphore(limit.connections), lambda _: None)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """
        Keep a place while the block runs.

        Raises:
            TimeoutError: None was free in time.
        """
        free = self._free.get()
        if not free.acquire(timeout=self._seconds):
            raise TimeoutError("no connection was free in time")
        try:
            yield
        finally:
            free.release()


def asking(
    client: Any, execute: Callable[..., Any], errors: tuple[type[Exception], ...]
) -> Callable[..., Any]:
    """
    Return the function that sends one command and returns its answer.

    Args:
        execute: The client's own method, or one over it.
    """
    slots = Slots(limit_of(client))

    def ask(*args: Any, **options: Any) -> Any:
        for last in range(1 - TRIES, 1):
            try:
                with slots.taken():
                    return execute(*args, **options)
            except errors as error:
                if last == 0 or not is_demoted(error):
                    raise
            drop_idle(client)
        raise AssertionError  # the last try returned or raised

    return ask


def async_asking(
    client: Any, execute: Callable[..., Awaitable[Any]], errors: tuple[type[Exception], ...]
) -> Callable[..., Awaitable[Any]]:
    """Return the same as `asking`, awaited, over a function that has its own limit."""

    async def ask(*args: Any, **options: Any) -> Any:
        for last in range(1 - TRIES, 1):
            try:
                return await execute(*args, **options)
            except errors as error:
                if last == 0 or not is_demoted(error):
                    raise
            await async_drop_idle(client)
        raise AssertionError  # the last try returned or raised

    return ask


def limited(execute: Callable[..., Awaitable[Any]], limit: Limit) -> Callable[..., Awaitable[Any]]:
    """
    Return a function that sends no more commands at once than there are connections.

    It serves one event loop.
    """
    free = asyncio.Semaphore(limit.connections)

    async def ask(*args: Any, **options: Any) -> Any:
        async with asyncio.timeout(limit.seconds):
            await free.acquire()
        try:
            return await execute(*args, **options)
        finally:
            free.release()

    return ask


def drop_idle(client: Any) -> None:
    """Close the connections of a client of one server that are not in use."""
    if pool := getattr(client, "connection_pool", None):
        try:
            pool.disconnect(inuse_connections=False)
        except TypeError:  # a pool that waits closes all, in some versions
            pool.disconnect()


async def async_drop_idle(client: Any) -> None:
    """Close the connections of an asyncio client of one server that are not in use."""
    if pool := getattr(client, "connection_pool", None):
        await pool.disconnect(inuse_connections=False)
