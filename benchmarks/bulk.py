"""
How many sessions come into a storage, and how much space they take there.

Sessions are stored as the storage itself would, but by the bare client where that is faster. Space
is that of the process, of files, or what the server itself says.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from secrets import randbits
from time import time
from typing import Any

from benchmarks import work
from benchmarks.loop import wait
from benchmarks.place import Place

Store = Callable[[list[str]], None]
"""Stores a session under each key."""

Made = tuple[Store, Callable[[], int]]
"""That, and what returns the bytes that they take."""

TABLE = "coatcheck_sessions"

TAKEN = f"""
SELECT data_length + index_length FROM information_schema.tables
WHERE table_schema = 'coatcheck' AND table_name = '{TABLE}'
"""
"""What MariaDB says, as of the last ANALYZE TABLE: pages of rows and of the index."""


def _by_backend(grown: Any) -> Store:
    backend, record_of = grown.made.storage.backend, grown.record_of()

    def store(keys: list[str]) -> None:
        for key in keys:
            backend.swap(key, None, record_of(key), work.LIFE)

    return store


def _memory(grown: Any, _: Place) -> Made:
    return _by_backend(grown), _resident


def _sqlite(grown: Any, where: Place) -> Made:
    return _by_backend(grown), lambda: _on_disk((where.folder / "coatcheck").iterdir())


def _files(grown: Any, where: Place) -> Made:
    return _by_backend(grown), lambda: _on_disk((where.folder / "files").rglob("*"))


def _redis(grown: Any, where: Place) -> Made:
    from redis import Redis

    client, record_of = Redis(unix_socket_path=where.server("redis")), grown.record_of()

    def store(keys: list[str]) -> None:
        from coatcheck.storage.backends.marks import marked

        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.set(key, marked(record_of(key)), px=work.LIFE * 1000)
        pipeline.execute()

    return store, lambda: int(client.info("memory")["used_memory"])


def _memcached(grown: Any, where: Place) -> Made:
    from pymemcache import Client

    client, record_of = Client(where.server("memcached")), grown.record_of()

    def store(keys: list[str]) -> None:
        from coatcheck.storage.backends.marks import marked

        records = {key: marked(record_of(key)) for key in keys}
        client.set_many(records, expire=work.LIFE, noreply=True)

    return store, lambda: int(client.stats()[b"bytes"])


def _postgresql(grown: Any, _: Place) -> Made:
    engine = grown.made.storage.backend.engine.execution_options(isolation_level="AUTOCOMMIT")
    record_of = grown.record_of()
    columns = "key, record, version, expires"

    async def copied(rows: list[Any]) -> None:
        async with engine.connect() as connection:
            pooled = await connection.get_raw_connection()
            cursor = pooled.driver_connection.cursor()
            async with cursor.copy(f"COPY {TABLE} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    await copy.write_row(row)
            await cursor.close()

    def space() -> int:
        wait(_asked(engine, f"VACUUM ANALYZE {TABLE}"))
        size = wait(_asked(engine, f"SELECT pg_total_relation_size('{TABLE}')"))
        return int(size.scalar_one())

    return lambda keys: wait(copied(_rows(keys, record_of))), space


def _mariadb(grown: Any, _: Place) -> Made:
    engine, record_of = grown.made.storage.backend.engine, grown.record_of()
    insert = f"INSERT INTO {TABLE} (`key`, record, version, expires) VALUES (%s, %s, %s, %s)"

    def store(keys: list[str]) -> None:
        wait(_asked(engine, insert, _rows(keys, record_of)))  # the driver makes one INSERT of them

    def space() -> int:
        wait(_asked(engine, f"ANALYZE TABLE {TABLE}"))
        return int(wait(_asked(engine, TAKEN)).scalar_one())

    return store, space


def _rows(keys: list[str], record_of: Callable[[str], bytes]) -> list[Any]:
    return [(key, record_of(key), randbits(63), time() + work.LIFE) for key in keys]


async def _asked(engine: Any, statement: str, rows: Any = None) -> Any:
    async with engine.connect() as connection:
        return await connection.exec_driver_sql(statement, rows)


MAKERS: dict[str, Callable[[Any, Place], Made]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "files": _files,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "redis": _redis,
    "memcached": _memcached,
}


def _resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _on_disk(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_blocks * 512 for path in paths if path.is_file())
