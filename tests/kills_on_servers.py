"""Storages on servers for the commands that kill processes: each on a server of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import MetaData, select

from coatcheck.storage import KeyedStorage, sessions_table, storage_from_url
from coatcheck.storage.backends.marks import unmarked
from tests import redis_servers, servers
from tests.engines import plain_engine
from tests.kills import Kind

PREFIX = "kills:"

Serve = Callable[[Path], AbstractContextManager[Kind]]


def opened(url: str) -> Callable[[Path], KeyedStorage]:
    """Return what opens a storage from a URL."""

    def open(_: Path) -> KeyedStorage:
        storage = storage_from_url(url)
        assert isinstance(storage, KeyedStorage)
        return storage

    return open


@contextmanager
def on_redis(folder: Path, *, program: Callable[[], str], awaited: bool = False) -> Iterator[Kind]:
    with (
        servers.redis_server(folder, program=program()) as path,
        redis.Redis(unix_socket_path=path) as client,
    ):
        url = f"unix://{path}?prefix={PREFIX}&timeout=10"
        yield Kind(opened(url), lambda _: records_in_redis(client), awaited)


@contextmanager
def on_cluster(folder: Path) -> Iterator[Kind]:
    with redis_servers.cluster(folder, replicas=0) as nodes:
        port = nodes[0].port
        with redis.RedisCluster(host="127.0.0.1", port=port) as client:
            url = f"redis+cluster://127.0.0.1:{port}?prefix={PREFIX}&timeout=10"
            yield Kind(opened(url), lambda _: records_in_redis(client))


def records_in_redis(client: Any) -> Iterator[tuple[str, bytes]]:
    """Yield every record, without the mark before it."""
    for key in client.scan_iter(f"{PREFIX}*"):
        if (data := client.get(key)) is not None:
            yield key.decode(), unmarked(data)


@contextmanager
def on_database(
    folder: Path,
    *,
    serve: Callable[[Path], AbstractContextManager[tuple[str, servers.Server]]],
    awaited: bool = False,
) -> Iterator[Kind]:
    with serve(folder) as (url, _), plain_engine(url) as engine:
        table = sessions_table(MetaData())

        def records(_: Path) -> Iterator[tuple[str, bytes]]:
            with engine.connect() as connection:
                for key, record in connection.execute(select(table.c.key, table.c.record)):
                    yield key, bytes(record)

        mode = "&sslmode=disable" if url.startswith("postgresql") else ""
        options = f"?prefix={PREFIX}&timeout=10&create_table=yes{mode}"
        yield Kind(opened(f"{url}{options}"), records, awaited)


def redis_program() -> str:
    return servers.find("redis-server")


ON_SERVERS: dict[str, Serve] = {
    "Redis": partial(on_redis, program=redis_program),
    "Redis, awaited": partial(on_redis, program=redis_program, awaited=True),
    "Valkey": partial(on_redis, program=servers.valkey_program),
    "Redis Cluster": on_cluster,
    "PostgreSQL": partial(on_database, serve=servers.postgresql_server),
    "PostgreSQL, awaited": partial(on_database, serve=servers.postgresql_server, awaited=True),
    "MariaDB": partial(on_database, serve=servers.mariadb_server),
    "MariaDB, awaited": partial(on_database, serve=servers.mariadb_server, awaited=True),
}
"""Storages by their names: each function runs a server in a folder, and yields its kind."""
