"""
Sessions in Redis or Valkey, over redis-py's or valkey-py's client, plain or asyncio: one server,
Sentinel or Cluster.
"""

import inspect
from typing import TypeGuard, overload

from coatcheck.storage.arguments import not_of_form
from coatcheck.storage.backends.async_redis_backend import AsyncRedisBackend
from coatcheck.storage.backends.redis_backend import RedisBackend
from coatcheck.storage.backends.redis_client import AsyncClient, Client, warn_of_names
from coatcheck.storage.clock import TimeSource
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage

__all__ = ["AsyncRedisBackend", "RedisBackend", "RedisStorage"]


@overload
def RedisStorage(
    client: AsyncClient, *, prefix: str = ..., clock: TimeSource | None = ..., encrypt: bool = ...
) -> AsyncKeyedStorage: ...
@overload
def RedisStorage(
    client: Client, *, prefix: str = ..., clock: TimeSource | None = ..., encrypt: bool = ...
) -> KeyedStorage: ...
def RedisStorage(
    client: Client | AsyncClient,
    *,
    prefix: str = "coatcheck:",
    clock: TimeSource | None = None,
    encrypt: bool = False,
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

    Raises:
        ConfigurationError: It is no client, was made with decode_responses=True, or reads from
            replicas.
    """
    if not callable(getattr(client, "execute_command", None)) or isinstance(client, type):
        raise not_of_form("client", "a client of redis-py or valkey-py", client)
    warn_of_names(client)
    if _is_async(client):
        return AsyncKeyedStorage(
            AsyncRedisBackend(client), prefix=prefix, clock=clock, encrypt=encrypt
        )
    return KeyedStorage(RedisBackend(client), prefix=prefix, clock=clock, encrypt=encrypt)


def _is_async(client: Client | AsyncClient) -> TypeGuard[AsyncClient]:
    return inspect.iscoroutinefunction(client.execute_command)
