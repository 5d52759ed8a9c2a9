"""Calls of a storage from a threaded application: in place."""

from collections.abc import Collection, Iterable
from typing import Any

from coatcheck._request.adoption import Reader
from coatcheck._request.cycle import is_async
from coatcheck._request.options import ListsSessions
from coatcheck._request.visit import Theirs
from coatcheck._session.record import Who
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
        saved: Any = self.storage.save(session)
        value: str | None = saved
        return value

    def check_readers(self, readers: Iterable[Reader]) -> None:
        """
        Check that every reader has a plain client.

        Raises:
            ConfigurationError: One is awaited.
        """
        for reader in readers:
            if reader.is_awaited:
                raise ConfigurationError(
                    f"{reader!r} must have a plain client under WSGI, got an awaited one"
                )

    def look(self, theirs: Theirs, now: float, keeping: Collection[str]) -> Any:
        """Return what a reader finds."""
        return theirs.reader.look(theirs.cookies, now, keeping)

    def is_cut_off(self, users: ListsSessions, who: Who) -> Any:
        """Tell whether a sign-in began before its user's sessions were ended."""
        return users._is_cut_off(who)

    def forget(self, theirs: Theirs) -> Any:
        """Let a reader delete what its cookies lead to."""
        return theirs.reader.forget(theirs.cookies)

    def close(self) -> None:
        """Release what the storage opened."""
        if isinstance(self.storage, Closes):
            self.storage.close()


def done(result: Any) -> Any:
    """Return what a call returned."""
    return result
