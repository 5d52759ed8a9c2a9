"""
Sessions in Redis or Valkey, over redis-py's or valkey-py's client, plain or asyncio: one server,
Sentinel or Cluster.
"""

import inspect
from typing import TypeGuard, overload

from coatcheck.storage.arguments import not_of_form
from coatcheck.storage.backend import AsyncBackend, Backend
from coatcheck.storage.backends.async_near_backend import AsyncNearRedisBackend
from coatcheck.storage.backends.async_redis_backend import AsyncRedisBackend
from coatcheck.storage.backends.near import Near
from coatcheck.storage.backends.near_backend import NearRedisBackend
from coatcheck.storage.backends.redis_backend import RedisBackend
from coatcheck.storage.backends.redis_client import (
    AsyncClient,
    Client,
    is_one_server,
    warn_of_names,
)
from coatcheck.storage.clock import TimeSource
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage

__all__ = ["AsyncRedisBackend", "Near", "RedisBackend", "RedisStorage"]


@overload
def RedisStorage(
    client: AsyncClient,
    *,
    prefix: str = ...,
    clock: TimeSource | None = ...,
    encrypt: bool = ...,
    near: Near | None = ...,
) -> AsyncKeyedStorage: ...
@overload
def RedisStorage(
    client: Client,
    *,
    prefix: str = ...,
    clock: TimeSource | None = ...,
    encrypt: bool = ...,
    near: Near | None = ...,
) -> KeyedStorage: ...
def RedisStorage(
    client: Client | AsyncClient,
    *,
    prefix: str = "coatcheck:",
    clock: TimeSource | None = None,
    encrypt: bool = False,
    near: Near | None = None,
) -> KeyedStorage | AsyncKeyedStorage:
    """
    Return a storage in Redis or Valkey.

    Args:
        client: `Redis` or `RedisCluster` of redis-py, `Valkey` or `ValkeyCluster` of valkey-py, or
            what a Sentinel's `master_for` returns; for ASGI those of their asyncio modules are
            the faster choice.
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id, which the server never
            sees (extra `coatcheck[encrypt]`).
        near: Keep records that were read in this process, until the server says that they changed;
            None: each read asks the server. A sign-out elsewhere is seen a moment later.

    Raises:
        ConfigurationError: An argument is of another kind; or the client was made with
            decode_responses=True, or reads from replicas; or *near* is given
            with the client of a cluster.
    """
    if not callable(getattr(client, "execute_command", None)) or isinstance(client, type):
        raise not_of_form("client", "a client of redis-py or valkey-py", client)
    if near is not None and not isinstance(near, Near):
        raise not_of_form("near", "a Near(max_bytes=…) or None", near)
    warn_of_names(client)
    if _is_async(client):
        waiting = async_backend_of(client, prefix, near)
        return AsyncKeyedStorage(
            waiting,
            prefix=prefix,
            clock=clock,
            seldom_waits=is_one_server(client),
            encrypt=encrypt,
        )
    return KeyedStorage(
        backend_of(client, prefix, near), prefix=prefix, clock=clock, encrypt=encrypt
    )


def backend_of(client: Client, prefix: str, near: Near | None) -> Backend:
    """Return the backend over a plain client."""
    backend = RedisBackend(client)
    return backend if near is None else NearRedisBackend(backend, client, prefix, near)


def async_backend_of(client: AsyncClient, prefix: str, near: Near | None) -> AsyncBackend:
    """Return the backend over an asyncio client."""
    if near is None:
        return AsyncRedisBackend(client)
    return AsyncNearRedisBackend(client, prefix, near)


def _is_async(client: Client | AsyncClient) -> TypeGuard[AsyncClient]:
    return inspect.iscoroutinefunction(client.execute_command)
