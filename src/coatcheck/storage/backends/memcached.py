"""
Sessions in Memcached, on one node or several.

A read is one `gets`, a write one `cas`, a new session one `add`: one round trip each. A refused
write asks once more, to tell what is there. The version is the server's own.

The node of a key is picked here, by rendezvous hashing over the nodes' names, so that the plain and
the asyncio client agree, and a node that is added or lost moves its own sessions and no others.
Memcached forgets: what it evicts or loses with a node is signed out.
"""

import asyncio
import math
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from coatcheck.errors import BackendError, ConfigurationError, RecordTooLarge
from coatcheck.storage.arguments import is_url, not_of_form
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.clock import Clock, system_clock
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage

if TYPE_CHECKING:
    import emcache

MONTH = 30 * 24 * 3600
"""Seconds above which Memcached takes an expiry for a date."""

CONNECTIONS = 8
"""Connections to one node that the asyncio client opens when there is that much to do."""

_NODE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\[\]]+):(?P<port>\d{1,5})|(?P<path>/.+)")
_PREFIX = re.compile(r"[!-~]{0,100}")


class MemcachedBackend:
    """
    An item a record, over pymemcache.

    Args:
        nodes: "host:port", or the path of a unix socket.
        timeout: Seconds that connecting, and any answer, may take.
        clock: Seconds since 1970.
    """

    def __init__(self, *nodes: str, timeout: float, clock: Clock) -> None:
        try:
            from pymemcache.client.base import PooledClient
            from pymemcache.exceptions import MemcacheError
        except ImportError as missing:
            raise _not_installed("pymemcache") from missing
        self._clients = {
            node: PooledClient(_address(node), timeout=timeout, connect_timeout=timeout)
            for node in nodes
        }
        self._pick = picker(*nodes)
        self._errors = (MemcacheError, OSError)
        self._clock = clock

    def get(self, key: str) -> Stored | None:
        node = self._pick(key)
        try:
            record, version = self._clients[node].gets(key)
        except self._errors as error:
            raise _failed(node, "read") from error
        return None if record is None else Stored(record, version=version)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        node = self._pick(key)
        client, expire = self._clients[node], _expiry(ttl, self._clock)
        try:
            if version is None:
                done = client.add(key, record, expire=expire, noreply=False)
            else:
                done = client.cas(key, record, version, expire=expire, noreply=False)
        except self._errors as error:
            raise _unwritten(node, record, error) from error
        return None if done else Refused(self.get(key))

    def delete(self, key: str) -> None:
        node = self._pick(key)
        try:
            self._clients[node].delete(key, noreply=False)
        except self._errors as error:
            raise _failed(node, "delete") from error

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()


class AsyncMemcachedBackend:
    """
    A `MemcachedBackend` whose methods are awaited, over emcache.

    Its clients are made on first use, for each event loop that uses it.
    """

    def __init__(self, *nodes: str, timeout: float, clock: Clock) -> None:
        try:
            import emcache
        except ImportError as missing:
            raise _not_installed("emcache") from missing
        self._emcache = emcache
        self._timeout = timeout
        self._pick = picker(*nodes)
        self._clock = clock
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, emcache.Client]] = (
            WeakKeyDictionary()
        )

    async def get(self, key: str) -> Stored | None:
        node = self._pick(key)
        try:
            item = await (await self._client(node)).gets(key.encode())
        except (self._emcache.CommandError, OSError) as error:
            raise _failed(node, "read") from error
        return None if item is None else Stored(item.value, version=item.cas)

    async def swap(self, key: str, version: Any, record: bytes, ttl: float) -> Refused | None:
        node = self._pick(key)
        name, expiry = key.encode(), _expiry(ttl, self._clock)
        try:
            client = await self._client(node)
            if version is None:
                await client.add(name, record, exptime=expiry)
            else:
                await client.cas(name, record, version, exptime=expiry)
        except self._emcache.StorageCommandError as error:
            if not self._is_refusal(error):
                raise _unwritten(node, record, error) from error
        except (self._emcache.CommandError, OSError) as error:
            raise _failed(node, "write") from error
        else:
            return None
        return Refused(await self.get(key))

    async def delete(self, key: str) -> None:
        node = self._pick(key)
        try:
            await (await self._client(node)).delete(key.encode())
        except self._emcache.NotFoundCommandError:
            return
        except (self._emcache.CommandError, OSError) as error:
            raise _failed(node, "delete") from error

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.close()

    async def _client(self, node: str) -> "emcache.Client":
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        if node not in clients:
            clients[node] = await self._emcache.create_client(
                [self._emcache_address(node)],
                timeout=self._timeout,
                connection_timeout=self._timeout,
                max_connections=CONNECTIONS,
            )
        return clients[node]

    def _emcache_address(self, node: str) -> Any:
        address = _address(node)
        if isinstance(address, str):
            return self._emcache.MemcachedUnixSocketPath(address)
        return self._emcache.MemcachedHostAddress(*address)

    def _is_refusal(self, error: Exception) -> bool:
        """Tell NOT_STORED, EXISTS and NOT_FOUND from an error; the last is only in the message."""
        stale = isinstance(error, self._emcache.NotStoredStorageCommandError)
        return stale or "b'NOT_FOUND'" in str(error)


def picker(*nodes: str) -> Callable[[str], str]:
    """Return the function that picks the node of a key: the one that scores highest with it."""
    if len(nodes) == 1:
        return lambda _: nodes[0]

    def pick(key: str) -> str:
        return max(
            nodes, key=lambda node: blake2b(f"{node} {key}".encode(), digest_size=8).digest()
        )

    return pick


def _address(node: str) -> tuple[str, int] | str:
    """Return where a node listens: host and port, or the path of a socket."""
    parts = _NODE.fullmatch(node) if isinstance(node, str) and not is_url(node) else None
    if not parts or int(parts["port"] or 1) not in range(1, 65536):
        raise not_of_form("each of nodes", "'host:port' or the '/path' of a socket", node)
    return parts["path"] or (parts["host"].strip("[]"), int(parts["port"]))


def _expiry(ttl: float, clock: Clock) -> int:
    seconds = max(1, math.ceil(ttl))
    return seconds if seconds <= MONTH else math.ceil(clock()) + seconds


def _failed(node: str, doing: str) -> BackendError:
    return BackendError(f"Memcached at {node}", doing)


def _unwritten(node: str, record: bytes, error: Exception) -> BackendError | RecordTooLarge:
    """Return what a failed write is; that an item is too large stands only in the message."""
    if "object too large" in str(error):
        return RecordTooLarge(len(record), None)
    return _failed(node, "write")


def _not_installed(package: str) -> ConfigurationError:
    return ConfigurationError(
        f"MemcachedStorage needs the package {package}: pip install 'coatcheck[memcached]'"
    )


def MemcachedStorage(
    *nodes: str, prefix: str = "coatcheck:", timeout: float = 1.0, clock: Clock | None = None
) -> KeyedStorage:
    """
    Return a storage in Memcached, for WSGI and ASGI applications alike.

    Args:
        nodes: "host:port", or the path of a unix socket; the same list, spelled the same, wherever
            sessions are shared.
        prefix: Goes before every key, so that applications can share a node.
        timeout: Seconds that connecting, and any answer, may take.
        clock: Seconds since 1970; None: the system's clock.

    Raises:
        ConfigurationError: No node or one that is no address, a prefix that Memcached would not
            take, or a client that is not installed.
    """
    if not nodes:
        raise ConfigurationError("nodes must be at least one node, got none: 'host:port'")
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            "prefix must be up to 100 visible ASCII characters, without spaces"
        )
    clock = clock or system_clock
    asynchronous = AsyncMemcachedBackend(*nodes, timeout=timeout, clock=clock)
    return KeyedStorage(
        MemcachedBackend(*nodes, timeout=timeout, clock=clock),
        prefix=prefix,
        clock=clock,
        aio=AsyncKeyedStorage(asynchronous, prefix=prefix, clock=clock),
    )
