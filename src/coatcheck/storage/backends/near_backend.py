"""A plain backend in Redis that keeps copies of the records that were read: see `near`."""

from typing import Any

from coatcheck.storage.backend import Backend, Refused, Stored
from coatcheck.storage.backends.near import Copies, Near
from coatcheck.storage.backends.near_listener import NearListener
from coatcheck.storage.uncached import reads_uncached


class NearRedisBackend:
    """
    The records of a backend, and copies of them.

    Args:
        backend: Over *client*.
        client: Of one server, or of a Sentinel; the changes are told on a connection of its own.
        prefix: Of the keys whose changes the server is to tell.
        near: How much is kept.

    Raises:
        ConfigurationError: It is the client of a cluster.
    """

    def __init__(self, backend: Backend, client: Any, prefix: str, near: Near) -> None:
        self._backend = backend
        self._near = near
        self.copies = Copies(near)
        self._listener = NearListener(client, prefix)

    def get(self, key: str) -> Stored | None:
        if not self._listener.runs:
            self._begin()
        copies = self.copies
        stored = None if reads_uncached() else copies.get(key)
        if stored is not None:
            return stored
        ticket = copies.ask(key)
        try:
            stored = self._backend.get(key)
        except BaseException:
            copies.drop((key,))
            raise
        copies.keep(key, ticket, stored)
        return stored

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self.copies.drop((key,))
        try:
            return self._backend.swap(key, version, record, ttl)
        finally:
            self.copies.drop((key,))

    def delete(self, key: str) -> None:
        self.copies.drop((key,))
        try:
            self._backend.delete(key)
        finally:
            self.copies.drop((key,))

    def behind(self) -> Backend:
        """Return the backend whose records are copied; it always asks the server."""
        return self._backend

    def close(self) -> None:
        """Stop listening, and drop all copies; the next read listens again."""
        self._listener.stop()
        self.copies.lose()

    def _begin(self) -> None:
        """Listen in this process and event loop, with copies of their own."""
        self.copies = Copies(self._near)
        self._listener.start(self.copies)
