"""
Sessions in Redis or Valkey, over redis-py's or valkey-py's client, plain or asyncio.

A read is one GET. A write is one script that compares and sets, or one SET NX for a new session:
one round trip either way. The record itself is its version, so the server keeps no counter beside.

`RedisBackend` and `AsyncRedisBackend` are the same text but for `async` and `await`; a test holds
them to it.
"""

import inspect
import math
from collections.abc import Awaitable
from typing import Any, Protocol, TypeGuard, overload

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.storage.keyed_async import AsyncKeyedStorage
from coatcheck.storage.keys import Clock

REPLACE = """
local there = redis.call('GET', KEYS[1])
if there == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1
end
return there
"""
"""Returns 1 when the record is in place, else what is there: a record, or nothing."""

_ROOTS = {"redis": "RedisError", "valkey": "ValkeyError"}  # library: the root of its errors


class Client(Protocol):
    """What is used of a plain client."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...
    def register_script(self, script: str) -> Any: ...


class AsyncClient(Protocol):
    """What is used of an asyncio client."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]: ...
    def register_script(self, script: str) -> Any: ...
    def aclose(self) -> Awaitable[None]: ...


class RedisBackend:
    """
    A string key a record.

    Args:
        client: Its timeouts and retries are the application's.

    Raises:
        ConfigurationError: The client decodes what it reads; records are bytes.
    """

    def __init__(self, client: Client) -> None:
        _check_bytes(client)
        self._client = client
        self._replace = client.register_script(REPLACE)
        self._errors = _errors_of(client)

    def get(self, key: str) -> Stored | None:
        try:
            record = self._client.execute_command("GET", key)
        except self._errors as error:
            raise BackendError("Redis", "read") from error
        return None if record is None else Stored(record, version=record)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        ttl = _milliseconds(ttl)
        try:
            if version is None:
                done = self._client.execute_command("SET", key, record, "PX", ttl, "NX")
                there = None if done else self._client.execute_command("GET", key)
            else:
                there = self._replace(keys=[key], args=[version, record, ttl])
                done = there == 1
        except self._errors as error:
            raise BackendError("Redis", "write") from error
        return None if done else Refused(None if there is None else Stored(there, version=there))

    def delete(self, key: str) -> None:
        try:
            self._client.execute_command("DEL", key)
        except self._errors as error:
            raise BackendError("Redis", "delete") from error


class AsyncRedisBackend:
    """A `RedisBackend` whose methods are awaited."""

    def __init__(self, client: AsyncClient) -> None:
        _check_bytes(client)
        self._client = client
        self._replace = client.register_script(REPLACE)
        self._errors = _errors_of(client)

    async def get(self, key: str) -> Stored | None:
        try:
            record = await self._client.execute_command("GET", key)
        except self._errors as error:
            raise BackendError("Redis", "read") from error
        return None if record is None else Stored(record, version=record)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        ttl = _milliseconds(ttl)
        try:
            if version is None:
                done = await self._client.execute_command("SET", key, record, "PX", ttl, "NX")
                there = None if done else await self._client.execute_command("GET", key)
            else:
                there = await self._replace(keys=[key], args=[version, record, ttl])
                done = there == 1
        except self._errors as error:
            raise BackendError("Redis", "write") from error
        return None if done else Refused(None if there is None else Stored(there, version=there))

    async def delete(self, key: str) -> None:
        try:
            await self._client.execute_command("DEL", key)
        except self._errors as error:
            raise BackendError("Redis", "delete") from error


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
        client: `redis.Redis` or `valkey.Valkey` for any application; one of `redis.asyncio` or
            `valkey.asyncio` for ASGI, where it is the faster choice.
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.

    Raises:
        ConfigurationError: The client was made with decode_responses=True.
    """
    if _is_async(client):
        return AsyncKeyedStorage(AsyncRedisBackend(client), prefix=prefix, clock=clock)
    return KeyedStorage(RedisBackend(client), prefix=prefix, clock=clock)


def _is_async(client: Client | AsyncClient) -> TypeGuard[AsyncClient]:
    return inspect.iscoroutinefunction(client.execute_command)


def _milliseconds(ttl: float) -> int:
    return max(1, math.ceil(ttl * 1000))


def _check_bytes(client: Any) -> None:
    if client.get_encoder().decode_responses:
        raise ConfigurationError(
            "this Redis client decodes what it reads, and records are bytes: give the storage a "
            "client of its own, made without decode_responses=True"
        )


def _errors_of(client: object) -> tuple[type[Exception], ...]:
    """Return what a client raises when its server fails, whichever library it comes from."""
    for kind in type(client).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in _ROOTS:
            root: type[Exception] = getattr(__import__(library), _ROOTS[library])
            return (root, OSError, TimeoutError)
    raise ConfigurationError(f"{type(client).__name__} is no client of redis-py or valkey-py")
