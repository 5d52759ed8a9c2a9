"""
Sessions in Memcached, on one node or several.

Memcached forgets: what it evicts or loses with a node is signed out.
"""

import re

from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import Duration, check_text, seconds_of
from coatcheck.storage.backends.async_memcached_backend import AsyncMemcachedBackend
from coatcheck.storage.backends.memcached_backend import MemcachedBackend
from coatcheck.storage.backends.memcached_nodes import picker
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage

__all__ = ["AsyncMemcachedBackend", "MemcachedBackend", "MemcachedStorage", "picker"]

_PREFIX = re.compile(r"[!-~]{0,100}")


def MemcachedStorage(
    *nodes: str,
    prefix: str = "coatcheck:",
    timeout: Duration = 1.0,
    clock: TimeSource | None = None,
    encrypt: bool = False,
) -> KeyedStorage:
    """
    Return a storage in Memcached, for WSGI and ASGI applications alike.

    Args:
        nodes: "host:port", or the path of a unix socket; the same list, spelled the same, wherever
            sessions are shared.
        prefix: Goes before every key, so that applications can share a node.
        timeout: How long a call may take, connecting included.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id, which the nodes never
            see (extra `coatcheck[encrypt]`).

    Raises:
        ConfigurationError: No node or one that is no address, or a prefix that Memcached would not
            take.
    """
    if not nodes:
        raise ConfigurationError("nodes must be at least one node, got none: 'host:port'")
    check_text("prefix", prefix)
    seconds = seconds_of("timeout", timeout)
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            "prefix must be up to 100 visible ASCII characters, without spaces"
        )
    clock = clock or system_clock
    asynchronous = AsyncMemcachedBackend(*nodes, timeout=seconds, clock=clock)
    return KeyedStorage(
        MemcachedBackend(*nodes, timeout=seconds, clock=clock),
        prefix=prefix,
        clock=clock,
        aio=AsyncKeyedStorage(
            asynchronous,
            prefix=prefix,
            clock=clock,
            seldom_waits=True,
            may_evict=True,
            encrypt=encrypt,
        ),
        may_evict=True,
        encrypt=encrypt,
    )
