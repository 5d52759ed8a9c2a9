"""
The backend in Redis or Valkey.

A read is one GET, a new session one SET NX, a write one conditional SET (`IFEQ`, Valkey 8.1 and
Redis 8.4) or, on older servers, one script that does the same: one round trip each.

A client may send a command again when an answer was lost. So every write carries eight random bytes
before the record: a write that is refused by itself knows that it was done. What lies in the server
is its own version, and the server keeps no counter beside.
"""

import math
from collections.abc import Sequence
from typing import Any

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Refused, Stored
from coatcheck.storage.backends.redis_client import AsyncClient, async_ask_of, check, errors_of
from coatcheck.storage.backends.redis_commands import REPLACE, REPLACE_SHA, marked, stored
from coatcheck.storage.backends.redis_connections import server_of
from coatcheck.storage.protocol import AsyncCloses  # awaited only


class AsyncRedisBackend:
    """
    A string key a record.

    Args:
        client: Its timeouts and retries are the application's.

    Raises:
        ConfigurationError: The client decodes what it reads, or reads from replicas.
    """

    def __init__(self, client: AsyncClient) -> None:
        check(client)
        self._ask = async_ask_of(client)
        self._errors = errors_of(client)
        self._server = server_of(client)
        self._has_ifeq = True

    async def get(self, key: str) -> Stored | None:
        try:
            return stored(await self._ask("GET", key))
        except self._errors as error:
            raise BackendError(self._server, "read") from error

    async def get_many(self, keys: Sequence[str]) -> dict[str, Stored]:
        """Return the records that are there; a cluster is asked by one question to each node."""
        if not keys:
            return {}
        try:
            answers = await self._ask("MGET", *keys)
        except self._errors as error:
            if "permission" in str(error) or "unknown command" in str(error):
                raise AskAlone(self._server, "read") from error
            raise BackendError(self._server, "read") from error
        found = {key: stored(answer) for key, answer in zip(keys, answers, strict=True)}
        return {key: record for key, record in found.items() if record is not None}

    async def evicts(self) -> str:
        """Return the policy by which the server may drop records; "": none, or it is not told."""
        try:
            told = await self._ask("INFO", "memory")
        except self._errors:
            return ""
        policy = str(told.get("maxmemory_policy", "")) if isinstance(told, dict) else ""
        limited = isinstance(told, dict) and told.get("maxmemory", 0)
        return policy if limited and policy != "noeviction" else ""

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        data, px = marked(record), max(1, math.ceil(ttl * 1000))
        try:
            if version is None:
                done = await self._ask("SET", key, data, "PX", px, "NX")
                there = data if done else await self._ask("GET", key)
            else:
                there = await self._replace(key, version, data, px)
                done = there == version
        except self._errors as error:
            raise BackendError(self._server, "write") from error
        return None if done or there == data else Refused(stored(there))

    async def delete(self, key: str) -> None:
        try:
            await self._ask("DEL", key)
        except self._errors as error:
            raise BackendError(self._server, "delete") from error

    async def close(self) -> None:  # awaited only
        """Close what this opened in the running event loop."""
        if isinstance(self._ask, AsyncCloses):
            await self._ask.close()

    async def _replace(self, key: str, version: object, data: bytes, px: int) -> Any:
        """Replace what is there if it is that version; return what was there."""
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
