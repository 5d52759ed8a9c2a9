"""
Count how often a request asks the server that keeps its session: `python -m tests.roundtrips`.

The servers count themselves. Redis: reads from its sockets. Memcached: commands, over all nodes.
PostgreSQL: every statement in pg_stat_statements, so BEGIN and COMMIT would count too. MariaDB: the
statements on rows, in its status. SQLite: every statement in its trace. Connections are open and
scripts are loaded before anything is counted.
"""

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import redis.asyncio
from sqlalchemy import Connection, Engine, text

from coatcheck import Session, Users
from coatcheck.storage import MemcachedStorage, RedisStorage, SqliteStorage, SqlStorage
from coatcheck.storage.backends.memcached import AsyncMemcachedBackend, MemcachedBackend
from coatcheck.testing import Clock
from tests import servers
from tests.engines import async_engine, create_table, plain_engine
from tests.hosts import COOKIE, Browser, Front, Handler
from tests.storage_kinds import Made, front_of

Counter = Callable[[], int]


def reads(session: Session) -> object:
    return session.get("user")


def writes(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def signs_in(session: Session) -> None:
    session["user"] = 1
    session.regenerate_id()


def destroys(session: Session) -> None:
    session.destroy()


REQUESTS: dict[str, tuple[int, Handler, bool]] = {
    "without a cookie, reads": (0, reads, False),
    "without a cookie, writes": (1, writes, False),
    "does not touch the session": (1, lambda _: None, True),
    "reads": (1, reads, True),
    "reads and writes": (2, writes, True),
    "signs in: writes, and gets a new id": (3, signs_in, True),
    "signs out": (2, destroys, True),
}
"""What a request does: the round trips it may make, its handler, and whether it has a cookie."""


def count(browser: Browser, counter: Counter) -> dict[str, int]:
    """Return the round trips of each kind of request."""
    warm_up: list[Handler] = [writes, reads, writes, destroys]  # connects, and loads the script
    for handler in warm_up:
        browser.ask(handler)
    counted = {}
    for name, (_, handler, known) in REQUESTS.items():
        browser.header = None
        if known:
            browser.ask(writes)
        before = counter()
        browser.ask(handler)
        counted[name] = counter() - before
    return counted


LISTED: dict[str, int] = {
    "without a cookie, signs in": 3,
    "signs in from a visitor's session": 5,
    "signed in, reads": 1,
    "signed in, reads and writes": 2,
    "signed in, refreshes": 4,
    "signed in, signs out": 4,
}
"""Round trips of requests in an application with `users=`, where sessions are listed."""


def count_listed(front: Front, counter: Counter, clock: Clock) -> dict[str, int]:
    """Return the round trips of requests whose sessions are listed."""
    browser = front.browser(users=Users(COOKIE, front.storage))
    warm_up: list[Handler] = [enters, destroys, writes, enters, writes, destroys]  # connects
    for handler in warm_up:
        browser.ask(handler)
    counted: dict[str, int] = {}

    def note(handler: Handler) -> None:
        before = counter()
        browser.ask(handler)
        counted[list(LISTED)[len(counted)]] = counter() - before

    note(enters)
    browser.header = None
    browser.ask(writes)
    acts: list[Handler] = [enters, reads, writes]
    for handler in acts:
        note(handler)
    clock.advance(2 * 24 * 3600)
    note(reads)
    note(destroys)
    return counted


def enters(session: Session) -> None:
    session.sign_in("42")


def redis_reads(path: str) -> Counter:
    """Return what counts the requests that a Redis has read; its own question is not counted."""
    asked = 0

    def counter() -> int:
        nonlocal asked
        asked += 1
        return int(client.info("stats")["total_reads_processed"]) - asked

    client = redis.Redis(unix_socket_path=path, single_connection_client=True)
    return counter


def memcached_commands(*paths: str) -> Counter:
    """Return what counts the commands on records that all nodes have answered."""
    names = {b"cmd_get", b"cmd_set", b"delete_hits", b"delete_misses"}

    def counter() -> int:
        lines = [line.split() for path in paths for line in statistics(path)]
        return sum(int(value) for _, name, value in lines if name in names)

    return counter


def statistics(path: str) -> list[bytes]:
    """Return what a Memcached says of itself: lines of "STAT name value"."""
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rwb") as file:
        client.connect(path)
        file.write(b"stats\r\n")
        file.flush()
        return list(iter(file.readline, b"END\r\n"))


@contextmanager
def postgresql_statements(url: str) -> Iterator[Counter]:
    """Yield what counts all statements that a PostgreSQL has run, but for its own question."""
    with plain_engine(url) as engine, administrator(engine) as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"))
        asked = text("SELECT sum(calls) FROM pg_stat_statements WHERE query !~ 'pg_stat'")
        yield lambda: int(connection.execute(asked).scalar() or 0)


@contextmanager
def mariadb_statements(url: str) -> Iterator[Counter]:
    """Yield what counts the statements on rows that a MariaDB has run."""
    names = " OR ".join(f"variable_name = 'Com_{name}'" for name in ROW_STATEMENTS)
    with plain_engine(url) as engine, administrator(engine) as connection:
        asked = text(f"SHOW GLOBAL STATUS WHERE {names}")
        yield lambda: sum(int(value) for _, value in connection.execute(asked))


ROW_STATEMENTS = ("select", "insert", "update", "delete")


@contextmanager
def administrator(engine: Engine) -> Iterator[Connection]:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


@contextmanager
def sqlite_statements() -> Iterator[Counter]:
    """Yield what counts the statements of every connection that is opened in the block."""
    seen: list[str] = []
    connect = sqlite3.connect

    def connect_and_trace(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(seen.append)
        return connection

    sqlite3.connect = connect_and_trace  # type: ignore[assignment]
    try:
        yield lambda: len(seen)
    finally:
        sqlite3.connect = connect


def measured() -> dict[str, dict[str, int]]:
    """Return the round trips of each kind of request, by storage, over servers started for it."""
    with TemporaryDirectory(prefix="coatcheck-") as folder, ExitStack() as stack:
        path = stack.enter_context(
            servers.redis_server(Path(folder), program=servers.find("redis-server"))
        )
        nodes = [stack.enter_context(servers.memcached_server(Path(folder), name)) for name in "ab"]
        plain = stack.enter_context(redis.Redis(unix_socket_path=path))
        waiting = redis.asyncio.Redis(unix_socket_path=path)
        memcached = MemcachedStorage(*nodes)
        assert memcached.aio
        assert isinstance(memcached.backend, MemcachedBackend)
        assert isinstance(memcached.aio.backend, AsyncMemcachedBackend)
        stack.callback(memcached.backend.close)
        fronts = {
            "Redis, WSGI": ("wsgi", Made(RedisStorage(plain)), redis_reads(path)),
            "Redis, ASGI": ("asgi", Made(RedisStorage(waiting), waiting.aclose), redis_reads(path)),
            "Memcached, WSGI": ("wsgi", Made(memcached), memcached_commands(*nodes)),
            "Memcached, ASGI": (
                "asgi",
                Made(memcached, memcached.aio.backend.close),
                memcached_commands(*nodes),
            ),
        }
        counted = {name: count_at(*front) for name, front in fronts.items()}
        return counted | measured_in_tables(Path(folder))


def measured_in_tables(folder: Path) -> dict[str, dict[str, int]]:
    """Return the statements of each kind of request, by storage."""
    counted = {}
    for kind, start, statements in (
        ("PostgreSQL", servers.postgresql_server, postgresql_statements),
        ("MariaDB", servers.mariadb_server, mariadb_statements),
    ):
        own = folder / kind
        own.mkdir()
        with start(own) as (url, _), plain_engine(url) as plain, statements(url) as counter:
            create_table(url)
            waiting = async_engine(url)
            aio = Made(SqlStorage(waiting), waiting.dispose)
            counted[f"{kind}, WSGI"] = count_at("wsgi", Made(SqlStorage(plain)), counter)
            counted[f"{kind}, ASGI"] = count_at("asgi", aio, counter)
    with sqlite_statements() as counter:
        database = SqliteStorage(folder / "db")
        assert database.aio
        counted["SQLite, WSGI"] = count_at("wsgi", Made(database), counter)
        counted["SQLite, ASGI"] = count_at("asgi", Made(database, database.aio.close), counter)
        database.close()
    return counted


def count_at(name: str, made: Made, counter: Counter) -> dict[str, int]:
    with front_of(name, made) as front:
        return count(front.browser(), counter)


def table(counted: dict[str, dict[str, int]]) -> str:
    """Return the numbers as a table in Markdown."""
    lines = [["a request that", *counted], ["---"] * (len(counted) + 1)]
    lines += [[name, *(str(each[name]) for each in counted.values())] for name in REQUESTS]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table(measured()))  # noqa: T201 - it is a command
