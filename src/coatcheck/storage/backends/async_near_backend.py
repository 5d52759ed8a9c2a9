"""A backend in Redis that keeps copies of what was read and written: see `near_connection`."""

import asyncio

from coatcheck.errors import ConfigurationError
from coatcheck.storage.backend import Stored
from coatcheck.storage.backends.async_redis_backend import AsyncRedisBackend
from coatcheck.storage.backends.near import Near
from coatcheck.storage.backends.near_connection import NearConnection
from coatcheck.storage.backends.near_listener import Losses, check
from coatcheck.storage.backends.redis_client import AsyncClient, wires_of
from coatcheck.storage.backends.redis_wire import can_be_taken
from coatcheck.storage.uncached import reads_uncached


class AsyncNearRedisBackend(AsyncRedisBackend):
    """
    A string key a record, and copies of the records in this process.

    Args:
        client: Of one server, or of a Sentinel.
        prefix: Of the keys whose changes the server is to tell.
        near: How much is kept.

    Raises:
        ConfigurationError: It is the client of a cluster, or its connections cannot be used.
    """

    def __init__(self, client: AsyncClient, prefix: str, near: Near) -> None:
        super().__init__(client)
        check(client)
        if not can_be_taken(client):
            raise ConfigurationError(
                "near needs the package hiredis (pip install 'coatcheck[redis]') and a client of "
                "redis-py or valkey-py with connections of its own, which encodes texts as UTF-8"
            )
        self._near = near
        self._prefix = prefix
        self._losses = Losses()
        self._ask = self._wires = wires_of(client, self._begin, always=True)

    @property
    def current(self) -> NearConnection | None:
        """The connection of the running event loop, with its copies; None: there is none yet."""
        return self._wires.current

    async def get(self, key: str) -> Stored | None:
        connection = self._wires.current
        if connection is not None and not reads_uncached():
            stored = connection.copies.get(key)
            if stored is not None:
                return stored
        return await super().get(key)

    async def _begin(self, stream: asyncio.StreamWriter, limit: float | None) -> NearConnection:
        connection = NearConnection(self._near, stream, limit)
        try:
            await connection.track(self._prefix)
        except asyncio.CancelledError:  # the storage is closed: nothing else knows the connection
            connection.close()
            raise
        except Exception as error:  # without copies the storage works, too
            self._losses.note(error)
        else:
            self._losses.end()
        return connection
