"""
What stands between a storage and its server: the bare client, in a tight loop.

    W2  one GET of a record's size
    W3  the same, and one write of it, under the same key

A whole request of ours, application included, is measured against it. Keys are those of as many
clients as come to us, one after another or all the same one. Every library is set up as ours is:
one connection (SQLite: WAL, synchronous NORMAL, a commit for each write), one event loop.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import msgspec

from benchmarks import work
from benchmarks.drivers import App, Driver
from benchmarks.loop import wait
from benchmarks.measure import Case, settle

IN_FLIGHT = 64
"""Requests that are under way at once, where many are."""

RECORDS = [
    msgspec.msgpack.encode([1, 1.7e9, 1.7e9, bytes([number]) * 8, work.data_of(0)])
    for number in range(7)
]
"""As long as a record. Writing what is there is no write: SQLite leaves the page as it is."""

CHECKPOINT = 1000
"""Writes after which SQLite moves its log into the database: a batch is of whole such rounds."""

PREFIX = "coatcheck:"
"""What goes before a key; the rest is a digest, so that clients in turn lie nowhere in order."""

records = cycle(RECORDS)

Sync = Callable[[str], object]
Async = Callable[[str], Awaitable[object]]


def names(clients: int) -> dict[str, list[str]]:
    """Return the keys of one client, and of many."""
    many = [PREFIX + sha256(b"%d" % client).hexdigest() for client in range(clients)]
    return {"warm": many[:1], "cold": many}


def sqlite(path: Path, *, clients: int) -> list[Case]:
    """Return the cases of `sqlite3` alone."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("CREATE TABLE t (key TEXT PRIMARY KEY, record BLOB) WITHOUT ROWID")
    rows = [(key, RECORDS[0]) for key in names(clients)["cold"]]
    database.execute("BEGIN")
    database.executemany("INSERT INTO t VALUES (?, ?)", rows)
    database.execute("COMMIT")
    execute = database.execute

    def get(key: str) -> None:
        execute("SELECT record FROM t WHERE key = ?", (key,)).fetchone()

    def get_and_set(key: str) -> None:
        execute("SELECT record FROM t WHERE key = ?", (key,)).fetchone()
        execute("UPDATE t SET record = ? WHERE key = ?", (next(records), key))

    def batch(do: Sync, keys: list[str]) -> Callable[[int], int]:
        queue = cycle(keys)

        def run(count: int) -> int:
            upcoming = list(islice(queue, count))
            settle()
            total = 0
            for key in upcoming:
                begun = perf_counter_ns()
                do(key)
                total += perf_counter_ns() - begun
            return total

        return run

    return [
        Case("bare sqlite", f"{name} {clients_are}", batch(do, keys), multiple=multiple)
        for clients_are, keys in names(clients).items()
        for name, do, multiple in (("W2", get, 1), ("W3", get_and_set, CHECKPOINT))
    ]


def redis(socket: str, *, clients: int) -> list[Case]:
    """Return the cases of redis-py's asyncio client alone."""
    from redis.asyncio import Redis

    client = Redis(unix_socket_path=socket)

    async def fill() -> None:
        for key in names(clients)["cold"]:
            await client.set(key, next(records))

    async def get_and_set(key: str) -> None:
        await client.get(key)
        await client.set(key, next(records))

    wait(fill())
    many = Case(
        "bare redis",
        "W2 in flight",
        _in_flight(client.get, names(clients)["cold"]),
        multiple=IN_FLIGHT,
    )
    return [*_awaited("bare redis", client.get, get_and_set, clients), many]


def memcached(socket: str, *, clients: int) -> list[Case]:
    """Return the cases of emcache alone; its write is a `cas`, as a session's is."""
    import emcache

    node = emcache.MemcachedUnixSocketPath(socket)
    client = wait(emcache.create_client([node], timeout=1.0))

    async def fill() -> None:
        for key in names(clients)["cold"]:
            await client.set(key.encode(), next(records))

    async def get(key: str) -> None:
        await client.gets(key.encode())

    async def get_and_set(key: str) -> None:
        name = key.encode()
        found: Any = await client.gets(name)
        await client.cas(name, next(records), found.cas)

    wait(fill())
    return _awaited("bare memcached", get, get_and_set, clients)


def _awaited(subject: str, get: Async, get_and_set: Async, clients: int) -> list[Case]:
    return [
        Case(subject, f"{name} {clients_are}", _one_by_one(do, keys))
        for clients_are, keys in names(clients).items()
        for name, do in (("W2", get), ("W3", get_and_set))
    ]


def _one_by_one(do: Async, keys: list[str]) -> Callable[[int], int]:
    queue = cycle(keys)

    async def run(upcoming: list[str]) -> int:
        total = 0
        for key in upcoming:
            begun = perf_counter_ns()
            await do(key)
            total += perf_counter_ns() - begun
        return total

    def batch(count: int) -> int:
        upcoming = list(islice(queue, count))
        settle()
        return wait(run(upcoming))

    return batch


def _in_flight(do: Async, keys: list[str]) -> Callable[[int], int]:
    queue = cycle(keys)

    def batch(count: int) -> int:
        upcoming = list(islice(queue, count))
        settle()
        return wait(together(do, upcoming))

    return batch


def requests_in_flight(app: App, driver: Driver, cookies: list[str]) -> Callable[[int], int]:
    """Return the batch in which so many requests are under way at once."""
    queue = cycle(cookies)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: object) -> None:
        pass

    def batch(count: int) -> int:
        requests = [driver.request(cookie) for cookie in islice(queue, count)]
        settle()
        return wait(together(lambda scope: app(scope, receive, send), requests))

    return batch


async def together(do: Callable[[Any], Awaitable[object]], things: list[Any]) -> int:
    """Do it for all things, many at once; return the nanoseconds until the last is done."""
    left = iter(things)

    async def work_on() -> None:
        for thing in left:
            await do(thing)

    begun = perf_counter_ns()
    await asyncio.gather(*(work_on() for _ in range(IN_FLIGHT)))
    return perf_counter_ns() - begun
