"""Our storages, as a reader of the documentation would make them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.loop import wait
from benchmarks.place import Place
from benchmarks.subjects import Subject, ours


@dataclass(frozen=True)
class Made:
    """A storage of ours, the cookie before it, and what is measured."""

    storage: Any
    cookie: Any
    subject: Subject

    def close(self) -> None:
        """Release what the storage opened."""
        for storage in (self.storage, getattr(self.storage, "aio", None)):
            close = getattr(storage, "close", None)
            closed = close() if close else None
            if inspect.isawaitable(closed):
                wait(_finished(closed))


async def _finished(closing: Any) -> None:
    await closing


def _redis(place: Place, _: int) -> Any:
    from redis.asyncio import Redis

    from coatcheck.storage import RedisStorage

    return RedisStorage(Redis(unix_socket_path=place.server("redis")))


def _memcached(place: Place, _: int) -> Any:
    from coatcheck.storage import MemcachedStorage

    return MemcachedStorage(place.server("memcached"))


def _memory(_: Place, sessions: int) -> Any:
    from coatcheck.storage import MemoryStorage

    return MemoryStorage(max_records=sessions)


def _sqlite(place: Place, _: int) -> Any:
    from coatcheck.storage import SqliteStorage

    return SqliteStorage(place.folder / "coatcheck" / "sessions.db")


def _files(place: Place, _: int) -> Any:
    from coatcheck.storage import FileStorage

    return FileStorage(place.folder / "files")


def _cookie(_: Place, __: int) -> Any:
    from coatcheck.storage import CookieStorage

    return CookieStorage()


OURS: dict[str, tuple[str, Callable[[Place, int], Any]]] = {
    "cookie": ("signed cookie", _cookie),
    "encrypted": ("encrypted cookie", _cookie),
    "memory": ("memory", _memory),
    "sqlite": ("SQLite", _sqlite),
    "files": ("files", _files),
    "redis": ("Redis", _redis),
    "memcached": ("Memcached", _memcached),
}
"""What a storage is called, and what makes it."""


def made(key: str, place: Place, *, sessions: int = 100_000) -> Made:
    """Return one of `OURS`, with room for so many sessions."""
    name, make = OURS[key]
    storage = make(place, sessions)
    subject, cookie = ours(key, name, storage, encrypt=key == "encrypted")
    return Made(storage, cookie, subject)
