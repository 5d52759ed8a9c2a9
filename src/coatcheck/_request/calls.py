"""Calls of a storage from a threaded application: in place."""

from typing import Any, cast

from coatcheck._request.cycle import is_async
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.storage.protocol import Closes, SessionStorage


class Calls:
    """
    The calls to one storage.

    Raises:
        ConfigurationError: The storage is awaited.
    """

    def __init__(self, storage: SessionStorage) -> None:
        if is_async(storage):
            raise ConfigurationError(
                f"storage must have plain methods under WSGI, got {type(storage).__name__}, whose "
                "methods are awaited: make it with the plain form of its client, for example "
                "RedisStorage(redis.Redis(...)), or use KeyedStorage over a plain backend"
            )
        self.storage = storage

    def read(self, value: str | None) -> object:
        """Return what the storage has under a value."""
        return self.storage.read(value)

    def save(self, session: Session) -> str | None:
        """Save, and return the value for the cookie."""
        return cast("str | None", self.storage.save(session))

    def close(self) -> None:
        """Release what the storage opened."""
        if isinstance(self.storage, Closes):
            self.storage.close()


def done(result: Any) -> Any:
    """Return what a call returned."""
    return result
