"""
Storages made from URLs beside the bare drivers of their servers: one request at a time, and 64 in
flight.

    W2    a request that reads one key of its session         bare: one GET, one SELECT
    W3    a request that reads one key and sets another       bare: GET and SET, SELECT and UPDATE

    python -m benchmarks.on_servers [--quick] [--only postgresql,mariadb]

One at a time: the bare driver on one connection that it holds, with prepared statements where it
can. In flight: 64 tasks, each one request after another; no session in two tasks. The bare driver
has a pool of ten connections, or its client. "64 keys at once" is what batches could reach: the
bare driver reads or writes 64 records in one statement, and each counts as a request.

Every window is a part of a second, of all subjects in an order that is shuffled anew. What is told
are medians over rounds; a ratio is made in each round. A request that fails counts as failed, and
not as a request.
"""

import argparse
import asyncio
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import databases, report_tables, servers, work
from benchmarks.bare_clients import RECORDS, names
from benchmarks.measure import progress, settle
from benchmarks.subjects import ours

FLIGHT = 64
POOL = 10

OURS = "coatcheck"

Do = Callable[[int], Awaitable[object]]
Keys = Callable[[list[str]], Awaitable[object]]


@dataclass
class Window:
    """What one subject did in a part of a second."""

    rate: float
    p50: float
    p99: float
    failed: int


@dataclass
class Case:
    """
    One subject at one work, alone or in flight.

    Args:
        do: Makes the request of a client.
        keys: The requests that a call of *do* stands for.
    """

    server: str
    subject: str
    work: str
    flight: int
    do: Do
    keys: int = 1
    windows: list[Window] = field(default_factory=list)

    async def run(self, clients: int, seconds: float) -> None:
        """Measure a window."""
        settle()
        order = random.sample(range(clients), clients)
        took: list[float] = []
        failed = 0
        until = time.perf_counter() + seconds

        async def task(number: int) -> None:
            nonlocal failed
            for client in cycle(order[number :: self.flight]):
                begun = time.perf_counter()
                if begun > until:
                    return
                try:
                    await self.do(client)
                except Exception:
                    failed += 1
                else:
                    took.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        await asyncio.gather(*(task(number) for number in range(self.flight)))
        rate = len(took) * self.keys / (time.perf_counter() - begun)
        took.sort()
        if not took:
            raise RuntimeError(f"{self.subject}: no request succeeded")
        p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
        self.windows.append(Window(rate, p50 * 1000, p99 * 1000, failed))


def cases_at(server: str, subject: str, w2: Do, w3: Do, *, flight: tuple[int, ...]) -> list[Case]:
    return [
        Case(server, subject, name, count, do)
        for name, do in (("W2", w2), ("W3", w3))
        for count in flight
    ]


def at_once(server: str, rows: list[str], read: Keys, write: Keys) -> list[Case]:
    """Return the cases of a driver that reads and writes many keys in one statement."""

    def of(do: Keys) -> Do:
        async def work(client: int) -> None:
            begin = client % max(1, len(rows) - FLIGHT)
            await do(rows[begin : begin + FLIGHT])

        return work

    subject = f"{FLIGHT} keys at once"
    return [
        Case(server, subject, name, 1, of(do), keys=FLIGHT)
        for name, do in (("read", read), ("write", write))
    ]


async def ours_at(
    server: str,
    url: str,
    clients: int,
    stack: AsyncExitStack,
    *,
    beside: str = "",
    flight: tuple[int, ...] = (1, FLIGHT),
    visitors: int | None = None,
) -> list[Case]:
    """
    Return the cases of a storage from a URL.

    Args:
        beside: How it differs from the plain one.
        visitors: How many of the clients come back in turn to read, and how many others to write;
            None: all.
    """
    from coatcheck.storage import KeyedStorage, storage_from_url

    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    assert storage.aio
    subject, _ = ours(server, server, storage)
    applications = {name: subject.make(name) for name in ("read", "write", "fill")}
    cookies = []
    for client in range(clients):
        work.filling.clear()
        work.filling.update(work.data_of(client))
        cookies.append(await asked(applications["fill"], subject.driver.request(None)))
    stack.push_async_callback(storage.aio.close)

    def requests(handler: str) -> Do:
        some = cookies[:visitors] if handler == "read" else cookies[-(visitors or 0) :]

        async def do(client: int) -> None:
            request = subject.driver.request(some[client % len(some)])
            await asked(applications[handler], request)

        return do

    name = f"{OURS}{beside}"
    return cases_at(server, name, requests("read"), requests("write"), flight=flight)


async def asked(application: Any, scope: dict[str, Any]) -> str:
    """Make a request; return the cookie that it set."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    found = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
    return found[0].decode().partition(";")[0] if found else ""


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def psycopg_at(server: str, dsn: str, clients: int, stack: AsyncExitStack) -> list[Case]:
    """Return the cases of psycopg: a cursor that is held, and its own pool."""
    import psycopg
    from psycopg_pool import AsyncConnectionPool

    prepare = server != "pgbouncer"
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    stack.push_async_callback(connection.close)
    if not prepare:
        connection.prepare_threshold = None
    table = f"bare_{server}"
    columns = "key varchar(200) PRIMARY KEY, record bytea NOT NULL"
    await connection.execute(f"CREATE TABLE {table} ({columns})".encode())
    rows = names(clients)["cold"]
    async with connection.cursor() as filling:
        insert = f"INSERT INTO {table} VALUES (%s, %s)".encode()
        await filling.executemany(insert, [(key, RECORDS[0]) for key in rows])
    named = {"autocommit": True} if prepare else {"autocommit": True, "prepare_threshold": None}
    pool = AsyncConnectionPool(dsn, min_size=POOL, max_size=POOL, kwargs=named, open=False)
    await pool.open(wait=True)
    stack.push_async_callback(pool.close)
    select = f"SELECT record FROM {table} WHERE key = %s".encode()
    update = f"UPDATE {table} SET record = %s WHERE key = %s".encode()
    cursor, records = connection.cursor(), cycle(RECORDS)

    async def get(cursor: Any, client: int) -> None:
        await cursor.execute(select, (rows[client],), prepare=prepare or None)
        assert await cursor.fetchone()

    async def put(cursor: Any, client: int) -> None:
        await cursor.execute(update, (next(records), rows[client]), prepare=prepare or None)
        assert cursor.rowcount == 1

    async def w2(client: int) -> None:
        await get(cursor, client)

    async def w3(client: int) -> None:
        await get(cursor, client)
        await put(cursor, client)

    async def pooled_w2(client: int) -> None:
        async with pool.connection() as one:
            await get(one.cursor(), client)

    async def pooled_w3(client: int) -> None:
        async with pool.connection() as one:
            own = one.cursor()
            await get(own, client)
            await put(own, client)

    among = f"SELECT key, record FROM {table} WHERE key = ANY(%s)".encode()
    many = (
        f"UPDATE {table} AS old SET record = new.record"
        " FROM unnest(%s::text[], %s::bytea[]) AS new (key, record) WHERE old.key = new.key"
    ).encode()

    async def read(keys: list[str]) -> None:
        await cursor.execute(among, (keys,), prepare=prepare or None)
        assert len(await cursor.fetchall()) == len(keys)

    async def write(keys: list[str]) -> None:
        new = [next(records) for _ in keys]
        await cursor.execute(many, (keys, new), prepare=prepare or None)
        assert cursor.rowcount == len(keys)

    return [
        *cases_at(server, "psycopg", w2, w3, flight=(1,)),
        *cases_at(server, "psycopg_pool of 10", pooled_w2, pooled_w3, flight=(FLIGHT,)),
        *at_once(server, rows, read, write),
    ]


async def asyncmy_at(server: str, port: int, clients: int, stack: AsyncExitStack) -> list[Case]:
    """Return the cases of asyncmy: prepared statements on one connection, and its own pool."""
    import asyncmy
    from asyncmy.constants import CLIENT

    account = {"host": "127.0.0.1", "port": port, "user": "coatcheck", "password": "secret"}
    account |= {"db": "coatcheck", "autocommit": True}
    several = CLIENT.MULTI_STATEMENTS
    connection = await asyncmy.connect(**account, client_flag=several)
    stack.push_async_callback(connection.ensure_closed)
    rows = names(clients)["cold"]
    columns = "`key` varchar(200) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY"
    async with connection.cursor() as filling:
        await filling.execute(f"CREATE TABLE bare ({columns}, record mediumblob NOT NULL)")
        insert = "INSERT INTO bare VALUES (%s, %s)"
        await filling.executemany(insert, [(key, RECORDS[0]) for key in rows])
    pool = await asyncmy.create_pool(minsize=POOL, maxsize=POOL, **account)

    async def close() -> None:
        pool.close()
        await pool.wait_closed()

    stack.push_async_callback(close)
    select, update = "SELECT record FROM bare WHERE `key` = ", "UPDATE bare SET record = "
    selecting = await connection.prepare(f"{select}?")
    updating = await connection.prepare(f"{update}? WHERE `key` = ?")
    records = cycle(RECORDS)

    async def w2(client: int) -> None:
        assert (await selecting.execute((rows[client],))).rows

    async def w3(client: int) -> None:
        await w2(client)
        await updating.execute((next(records), rows[client]))

    async def get(cursor: Any, client: int) -> None:
        await cursor.execute(f"{select}%s", (rows[client],))
        assert await cursor.fetchone()

    async def pooled_w2(client: int) -> None:
        async with pool.acquire() as one, one.cursor() as cursor:
            await get(cursor, client)

    async def pooled_w3(client: int) -> None:
        async with pool.acquire() as one, one.cursor() as cursor:
            await get(cursor, client)
            await cursor.execute(f"{update}%s WHERE `key` = %s", (next(records), rows[client]))

    cursor = connection.cursor()

    async def read(keys: list[str]) -> None:
        among = "','".join(keys)
        await cursor.execute(f"SELECT `key`, record FROM bare WHERE `key` IN ('{among}')")
        assert len(await cursor.fetchall()) == len(keys)

    async def write(keys: list[str]) -> None:
        each = [f"{update}x'{next(records).hex()}' WHERE `key` = '{key}'" for key in keys]
        await cursor.execute(";".join(["START TRANSACTION", *each, "COMMIT"]))
        while await cursor.nextset():
            pass

    return [
        *cases_at(server, "asyncmy", w2, w3, flight=(1,)),
        *cases_at(server, "asyncmy pool of 10", pooled_w2, pooled_w3, flight=(FLIGHT,)),
        *at_once(server, rows, read, write),
    ]


async def redis_at(server: str, path: str, clients: int, stack: AsyncExitStack) -> list[Case]:
    """Return the cases of redis-py's client."""
    from redis.asyncio import Redis

    client = Redis(unix_socket_path=path)
    stack.push_async_callback(client.aclose)
    keys, records = [f"bare:{key}" for key in names(clients)["cold"]], cycle(RECORDS)
    await client.mset(dict.fromkeys(keys, RECORDS[0]))

    async def w2(number: int) -> None:
        assert await client.get(keys[number])

    async def w3(number: int) -> None:
        await w2(number)
        await client.set(keys[number], next(records))

    async def read(some: list[str]) -> None:
        assert all(await client.mget(some))

    async def write(some: list[str]) -> None:
        pipeline = client.pipeline(transaction=False)
        for key in some:
            pipeline.set(key, next(records))
        await pipeline.execute()

    return [
        *cases_at(server, "redis-py", w2, w3, flight=(1, FLIGHT)),
        *at_once(server, keys, read, write),
    ]


async def emcache_at(server: str, path: str, clients: int, stack: AsyncExitStack) -> list[Case]:
    """Return the cases of emcache's client; a write is a `cas`, as a session's is."""
    import emcache

    nodes = [emcache.MemcachedUnixSocketPath(path)]
    client = await emcache.create_client(nodes, timeout=1.0, max_connections=8)
    stack.push_async_callback(client.close)
    keys = [f"bare:{key}".encode() for key in names(clients)["cold"]]
    records = cycle(RECORDS)
    for key in keys:
        await client.set(key, RECORDS[0])

    async def w2(number: int) -> None:
        assert await client.gets(keys[number])

    async def w3(number: int) -> None:
        found: Any = await client.gets(keys[number])
        await client.cas(keys[number], next(records), found.cas)

    return cases_at(server, "emcache", w2, w3, flight=(1, FLIGHT))


async def made(server: str, folder: Path, clients: int, stack: AsyncExitStack) -> list[Case]:
    """Start a server; return the cases of ours and of its bare driver."""
    running = stack.enter_context(ExitStack())
    if server in ("redis", "memcached"):
        path = running.enter_context(getattr(servers, server)(folder))
        if server == "memcached":
            own = await ours_at(server, f"memcached:{path}", clients, stack)
            return [*own, *await emcache_at(server, path, clients, stack)]
        url = f"unix://{path}"
        own = await ours_at(server, url, clients, stack)
        own += await encrypted_at(server, f"{url}?prefix=encrypted:", clients, stack)
        near = f"{url}?prefix=near:&near=64MB"
        # A few visitors, so that nearly every read finds its copy.
        own += await ours_at(
            server, near, clients, stack, beside=", near", flight=(1,), visitors=20
        )
        return [*own, *await redis_at(server, path, clients, stack)]
    port = free_port()
    if server == "mariadb":
        running.enter_context(databases.mariadb(folder, port=port))
        url = f"mysql://coatcheck:secret@127.0.0.1:{port}/coatcheck?create_table=yes"
        own = await ours_at(server, url, clients, stack)
        return [*own, *await asyncmy_at(server, port, clients, stack)]
    running.enter_context(databases.postgresql(folder, port=port))
    dsn, options = f"postgresql://coatcheck@127.0.0.1:{port}/postgres", "create_table=yes"
    if server == "pgbouncer":
        behind, port = port, free_port()
        running.enter_context(databases.pgbouncer(folder, behind, port=port))
        dsn = f"postgresql://coatcheck@127.0.0.1:{port}/postgres"
        options += "&prepare=no"
    own = await ours_at(server, f"{dsn}?{options}", clients, stack)
    if server == "postgresql":
        own += await encrypted_at(server, f"{dsn}?{options}&prefix=encrypted:", clients, stack)
    return [*own, *await psycopg_at(server, dsn, clients, stack)]


async def encrypted_at(server: str, url: str, clients: int, stack: AsyncExitStack) -> list[Case]:
    """Return the cases of a storage from a URL whose records are encrypted."""
    return await ours_at(server, f"{url}&encrypt=yes", clients, stack, beside=", encrypted")


SERVERS = ("postgresql", "pgbouncer", "mariadb", "redis", "memcached")


def is_there(server: str) -> bool:
    if server == "pgbouncer":
        return databases.is_there("postgresql") and bool(servers.program("pgbouncer"))
    return server not in databases.SERVERS or databases.is_there(server)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def run(
    *, rounds: int, seconds: float, clients: int, only: set[str] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of all servers."""
    rows = []
    for server in SERVERS:
        if (only is None or server in only) and is_there(server):
            rows += asyncio.run(_run(server, rounds, seconds, clients))
    return rows


async def _run(server: str, rounds: int, seconds: float, clients: int) -> list[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        cases = await made(server, folder, clients, stack)
        for number in range(rounds):
            for case in random.sample(cases, len(cases)):
                await case.run(clients, seconds)
            progress(f"{server}: round {number + 1} of {rounds}")
        progress("")
    bare = {(case.work, case.flight): case for case in cases if not case.subject.startswith(OURS)}
    return [_row(case, bare[case.work, case.flight]) for case in cases]


def _row(case: Case, bare: Case) -> dict[str, Any]:
    pairs = zip(case.windows, bare.windows, strict=True)
    return {
        "server": case.server,
        "subject": case.subject,
        "work": case.work,
        "in flight": case.flight,
        "rate": median(window.rate for window in case.windows),
        "p50": median(window.p50 for window in case.windows),
        "p99": median(window.p99 for window in case.windows),
        "failed": sum(window.failed for window in case.windows),
        "to bare": median(one.rate / other.rate for one, other in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.on_servers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds, 1,000 sessions")
    parser.add_argument("--only", default="", help=f"some of {', '.join(SERVERS)}")
    options = parser.parse_args()
    servers.pin()
    only = {name.strip() for name in options.only.split(",") if name.strip()} or None
    rounds, clients = (3, 1000) if options.quick else (9, 10_000)
    rows = run(rounds=rounds, seconds=0.3, clients=clients, only=only)
    sys.stdout.write(report_tables.on_servers(rows))


if __name__ == "__main__":
    main()
