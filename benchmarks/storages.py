"""Our storages, as a reader of the documentation would make them."""

from collections.abc import Callable
from typing import Any

from benchmarks.place import Place
from benchmarks.subjects import Subject, ours


def _redis(place: Place) -> Any:
    from redis.asyncio import Redis

    from coatcheck.storage import RedisStorage

    return RedisStorage(Redis(unix_socket_path=place.server("redis")))


def _memcached(place: Place) -> Any:
    from coatcheck.storage import MemcachedStorage

    return MemcachedStorage(place.server("memcached"))


def _memory(_: Place) -> Any:
    from coatcheck.storage import MemoryStorage

    return MemoryStorage(max_records=100_000)


def _sqlite(place: Place) -> Any:
    from coatcheck.storage import SqliteStorage

    return SqliteStorage(place.folder / "coatcheck" / "sessions.db")


def _files(place: Place) -> Any:
    from coatcheck.storage import FileStorage

    return FileStorage(place.folder / "files")


def _cookie(_: Place) -> Any:
    from coatcheck.storage import CookieStorage

    return CookieStorage()


OURS: dict[str, Callable[[Place], Subject]] = {
    "cookie": lambda place: ours("cookie", "signed cookie", _cookie(place)),
    "encrypted": lambda place: ours("encrypted", "encrypted cookie", _cookie(place), encrypt=True),
    "memory": lambda place: ours("memory", "memory", _memory(place)),
    "sqlite": lambda place: ours("sqlite", "SQLite", _sqlite(place)),
    "files": lambda place: ours("files", "files", _files(place)),
    "redis": lambda place: ours("redis", "Redis", _redis(place)),
    "memcached": lambda place: ours("memcached", "Memcached", _memcached(place)),
}
