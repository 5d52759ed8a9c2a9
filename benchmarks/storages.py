"""Our storages, as a reader of the documentation would make them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import databases
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
        engine = getattr(getattr(self.storage, "backend", None), "engine", None)
        for opened in (self.storage, getattr(self.storage, "aio", None), engine):
            close = getattr(opened, "close", None) or getattr(opened, "dispose", None)
            closed = close() if close else None
            if inspect.isawaitable(closed):
                wait(_finished(closed))


async def _finished(closing: Any) -> None:
    await closing


def _redis(place: Place, _: int) -> Any:
    from redis.asyncio import Redis

    from coatcheck.storage import RedisStorage

    return RedisStorage(Redis(unix_socket_path=place.server("redis")))


def _redis_encrypted(place: Place, _: int) -> Any:
    from redis.asyncio import Redis

    from coatcheck.storage import RedisStorage

    client = Redis(unix_socket_path=place.server("redis"))
    return RedisStorage(client, prefix="encrypted:", encrypt=True)


def _memcached(place: Place, _: int) -> Any:
    from coatcheck.storage import MemcachedStorage

    return MemcachedStorage(place.server("memcached"))


def _memory(_: Place, sessions: int) -> Any:
    from coatcheck.storage import MemoryStorage

    return MemoryStorage(max_records=sessions)


def _memory_encrypted(_: Place, sessions: int) -> Any:
    from coatcheck.storage import MemoryStorage

    return MemoryStorage(max_records=sessions, encrypt=True)


def _sqlite(place: Place, _: int) -> Any:
    from coatcheck.storage import SqliteStorage

    return SqliteStorage(place.folder / "coatcheck" / "sessions.db")


def _files(place: Place, _: int) -> Any:
    from coatcheck.storage import FileStorage

    return FileStorage(place.folder / "files")


def _postgresql(place: Place, _: int) -> Any:
    from sqlalchemy.ext.asyncio import create_async_engine

    url = f"postgresql+psycopg://coatcheck@/postgres?host={place.server('postgresql')}"
    return _in_a_table(create_async_engine(url))


def _mariadb(place: Place, _: int) -> Any:
    from sqlalchemy.ext.asyncio import create_async_engine

    socket = place.server("mariadb")
    url = f"mysql+asyncmy://coatcheck:secret@/coatcheck?unix_socket={socket}"
    return _in_a_table(create_async_engine(url, isolation_level="AUTOCOMMIT"))


def _in_a_table(engine: Any) -> Any:
    from coatcheck.storage import SqlStorage

    storage = SqlStorage(engine)
    wait(storage.create_table())
    return storage


def _cookie(_: Place, __: int) -> Any:
    from coatcheck.storage import CookieStorage

    return CookieStorage()


OURS: dict[str, tuple[str, Callable[[Place, int], Any]]] = {
    "cookie": ("signed cookie", _cookie),
    "encrypted": ("encrypted cookie", _cookie),
    "memory": ("memory", _memory),
    "memory encrypt": ("memory, encrypt=True", _memory_encrypted),
    "sqlite": ("SQLite", _sqlite),
    "files": ("files", _files),
    "postgresql": ("PostgreSQL", _postgresql),
    "mariadb": ("MariaDB", _mariadb),
    "redis": ("Redis", _redis),
    "redis encrypt": ("Redis, encrypt=True", _redis_encrypted),
    "memcached": ("Memcached", _memcached),
}
"""What a storage is called, and what makes it."""


def can_be_made(key: str) -> bool:
    """Tell whether the database of a storage is installed; says so, once, if it is not."""
    return key not in databases.SERVERS or databases.is_there(key)


def made(key: str, place: Place, *, sessions: int = 100_000) -> Made:
    """Return one of `OURS`, with room for so many sessions."""
    name, make = OURS[key]
    storage = make(place, sessions)
    subject, cookie = ours(key, name, storage, encrypt=key == "encrypted")
    return Made(storage, cookie, subject)
