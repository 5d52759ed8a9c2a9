"""
Sessions in Redis or Valkey, over redis-py's or valkey-py's client, plain or asyncio: one server,
Sentinel or Cluster.

A read is one GET, a new session one SET NX, a write one conditional SET (`IFEQ`, Valkey 8.1 and
Redis 8.4) or, on older servers, one script that does the same: one round trip each.

A client may send a command again when an answer was lost. So every write carries eight random bytes
before the record: a write that is refused by itself knows that it was done. What lies in the server
is its own version, and the server keeps no counter beside.

`RedisBackend` and `AsyncRedisBackend` are the same text but for `async` and `await`; a test holds
them to it.
"""

import inspect
import math
from hashlib import sha1
from secrets import token_bytes
from typing import Any, TypeGuard, cast, overload

from coatcheck.errors import BackendError
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.redis_batch import PipelineClient, Together
from coatcheck.storage.backends.redis_client import (
    AsyncClient,
    Client,
    check,
    errors_of,
    refusal_of,
)
from coatcheck.storage.clock import Clock
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage

REPLACE = """
local there = redis.call('GET', KEYS[1])
if there == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return there
"""
"""Returns what was there, as SET with IFEQ and GET does."""

REPLACE_SHA = sha1(REPLACE.encode(), usedforsecurity=False).hexdigest()

MARK = 8
"""Random bytes that tell one write from any other."""


class RedisBackend:
    """
    A string key a record.

    Args:
        client: Its timeouts and retries are the application's.

    Raises:
        ConfigurationError: The client decodes what it reads, or reads from replicas.
    """

    def __init__(self, client: Client) -> None:
        check(client)
        self._ask = client.execute_command
        self._errors = errors_of(client)
        self._has_ifeq = True

    def get(self, key: str) -> Stored | None:
        try:
            return _stored(self._ask("GET", key))
        except self._errors as error:
            raise BackendError("Redis", "read") from error

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        data, px = token_bytes(MARK) + record, max(1, math.ceil(ttl * 1000))
        try:
            if version is None:
                done = self._ask("SET", key, data, "PX", px, "NX")
                there = data if done else self._ask("GET", key)
            else:
                there = self._replace(key, version, data, px)
                done = there == version
        except self._errors as error:
            raise BackendError("Redis", "write") from error
        return None if done or there == data else Refused(_stored(there))

    def delete(self, key: str) -> None:
        try:
            self._ask("DEL", key)
        except self._errors as error:
            raise BackendError("Redis", "delete") from error

    def _replace(self, key: str, version: object, data: bytes, px: int) -> Any:
        """Replace what is there if it is that version; return what was there."""
        if self._has_ifeq:
            try:
                args = ("SET", key, data, "IFEQ", version, "GET", "PX", px)
                return self._ask(*args, get=True)
            except self._errors as error:
                if "syntax" not in str(error):
                    raise
                self._has_ifeq = False
        try:
            return self._ask("EVALSHA", REPLACE_SHA, 1, key, version, data, px)
        except self._errors as error:
            if "No matching script" not in str(error):
                raise
            return self._ask("EVAL", REPLACE, 1, key, version, data, px)


class AsyncRedisBackend:
    """A `RedisBackend` whose methods are awaited; what is asked at once is asked together."""

    def __init__(self, client: AsyncClient) -> None:
        check(client)
        one = hasattr(client, "connection_pool")  # a client of a cluster has one for each server
        together = Together(cast("PipelineClient", client), refused=refusal_of(client))
        self._ask = together.ask if one else client.execute_command
        self._errors = errors_of(client)
        self._has_ifeq = True

    async def get(self, key: str) -> Stored | None:
        try:
            return _stored(await self._ask("GET", key))
        except self._errors as error:
            raise BackendError("Redis", "read") from error

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        data, px = token_bytes(MARK) + record, max(1, math.ceil(ttl * 1000))
        try:
            if version is None:
                done = await self._ask("SET", key, data, "PX", px, "NX")
                there = data if done else await self._ask("GET", key)
            else:
                there = await self._replace(key, version, data, px)
                done = there == version
        except self._errors as error:
            raise BackendError("Redis", "write") from error
        return None if done or there == data else Refused(_stored(there))

    async def delete(self, key: str) -> None:
        try:
            await self._ask("DEL", key)
        except self._errors as error:
            raise BackendError("Redis", "delete") from error

    async def _replace(self, key: str, version: object, data: bytes, px: int) -> Any:
        if self._has_ifeq:
            try:
                args = ("SET", key, data, "IFEQ", version, "GET", "PX", px)
                return await self._ask(*args, get=True)
            except self._errors as error:
                if "syntax" not in str(error):
                    raise
                self._has_ifeq = False
        try:
            return await self._ask("EVALSHA", REPLACE_SHA, 1, key, version, data, px)
        except self._errors as error:
            if "No matching script" not in str(error):
                raise
            return await self._ask("EVAL", REPLACE, 1, key, version, data, px)


@overload
def RedisStorage(
    client: AsyncClient, *, prefix: str = ..., clock: Clock | None = ...
) -> AsyncKeyedStorage: ...
@overload
def RedisStorage(
    client: Client, *, prefix: str = ..., clock: Clock | None = ...
) -> KeyedStorage: ...
def RedisStorage(
    client: Client | AsyncClient, *, prefix: str = "coatcheck:", clock: Clock | None = None
) -> KeyedStorage | AsyncKeyedStorage:
    """
    Return a storage in Redis or Valkey.

    Args:
        client: `Redis` or `RedisCluster` of redis-py, `Valkey` or `ValkeyCluster` of valkey-py, or
            what a Sentinel's `master_for` returns; for ASGI those of their asyncio modules are
            the faster choice.
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.

    Raises:
        ConfigurationError: The client was made with decode_responses=True, or reads from replicas.
    """
    if _is_async(client):
        return AsyncKeyedStorage(AsyncRedisBackend(client), prefix=prefix, clock=clock)
    return KeyedStorage(RedisBackend(client), prefix=prefix, clock=clock)


def _is_async(client: Client | AsyncClient) -> TypeGuard[AsyncClient]:
    return inspect.iscoroutinefunction(client.execute_command)


def _stored(data: bytes | None) -> Stored | None:
    return None if data is None else Stored(data[MARK:], version=data)
