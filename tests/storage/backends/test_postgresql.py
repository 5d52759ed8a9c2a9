"""The backend in PostgreSQL over connections of its own, awaited, plain and in batches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coatcheck._request.coroutines import rest
from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Refused, Swap
from coatcheck.storage.backends.async_postgresql_backend import AsyncPostgresqlBackend
from coatcheck.storage.backends.batching import BatchingBackend, Limits
from coatcheck.storage.backends.postgresql_statements import Statements, double
from coatcheck.storage.backends.sql_codes import Lost, Rejected
from coatcheck.storage.lasting import Lasting
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import HOUR, Make, new_key
from tests import servers
from tests.certificates import short_folder
from tests.servers import wait_until
from tests.storage.backends.postgresql_backends import (
    administrator_at,
    awaited,
    new_table,
    plain,
    rival_at,
)

Scene = Callable[[AsyncPostgresqlBackend, str], Awaitable[None]]

Play = Callable[..., None]


class TestPostgresqlBackend(BackendContract):
    """Every rule of a backend, from threads."""

    @pytest.fixture
    def make(self, postgresql_url: str) -> Iterator[Make]:
        with plain(postgresql_url) as backend:
            yield lambda: backend


class TestAsyncPostgresqlBackend(BackendContract):
    """Every rule of a backend, awaited."""

    @pytest.fixture
    def make(self, postgresql_url: str) -> Make:
        return lambda: awaited(postgresql_url)


class TestWithoutPreparedStatements(BackendContract):
    """Every rule of a backend, as it is behind a pooler, with commits that wait for no disk."""

    @pytest.fixture
    def make(self, postgresql_url: str) -> Make:
        return lambda: awaited(postgresql_url, prepares=False, relaxed=True, size=1)


class TestBatches(BackendContract):
    """Every rule of a backend, in batches."""

    @pytest.fixture
    def make(self, postgresql_url: str) -> Make:
        @asynccontextmanager
        async def made() -> AsyncIterator[BatchingBackend]:
            async with awaited(postgresql_url) as backend:
                yield BatchingBackend(backend)

        return made


@pytest.fixture
def play(postgresql_url: str) -> Play:
    """A function that lets a scene run over a backend with a table of its own."""

    def play(scene: Scene, **more: Any) -> None:
        async def played() -> None:
            table = new_table()
            async with awaited(postgresql_url, table=table, **more) as backend:
                await scene(backend, table)
            with administrator_at(postgresql_url) as connection:
                connection.execute(f"DROP TABLE {table}".encode())

        asyncio.run(played())

    return play


async def claimed(backend: AsyncPostgresqlBackend, *keys: str) -> dict[str, Any]:
    """Claim keys; return the versions of their records."""
    for key in keys:
        await backend.swap(key, None, b"one", HOUR)
    return {key: stored.version for key, stored in (await backend.get_many(keys)).items()}


def swaps_of(versions: dict[str, Any], record: bytes = b"two") -> list[Swap]:
    return [Swap(key, version, record, HOUR) for key, version in versions.items()]


def updates_of(connection: psycopg.Connection[Any], table: str) -> list[int]:
    """Return how many rows were updated, and how many of these without touching an index."""
    asked = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"
    return list(connection.execute(asked, [table]).fetchone() or ())


def test_saves_leave_the_index_of_the_deadlines_alone(postgresql_url: str, clock: Clock) -> None:
    """The server says that nearly every update was a HOT one: deadlines are full seconds."""
    table = new_table()

    async def saves() -> None:
        until, keys = clock() + 7200.25, [new_key() for _ in range(4)]
        async with awaited(postgresql_url, table=table, clock=clock) as backend:
            await claimed(backend, *keys)
            for _ in range(50):
                clock.advance(0.0137)
                left, there = until - clock(), await backend.get_many(keys)
                swaps = [Swap(key, there[key].version, b"x" * 200, left) for key in keys]
                for swap in swaps[:2]:
                    await backend.swap(swap.key, swap.version, swap.record, swap.ttl)
                assert await backend.swap_many(swaps[2:]) == [None, None]

    asyncio.run(saves())
    with administrator_at(postgresql_url) as connection:
        wait_until(lambda: updates_of(connection, table)[0] >= 200)
        changed, hot = updates_of(connection, table)
        connection.execute(f"DROP TABLE {table}".encode())
    assert hot > 0.9 * changed


def test_a_write_outlives_a_cancellation_of_its_request(play: Play) -> None:
    """What it waits for lasts, so the request needs no task for its save."""

    async def scene(backend: AsyncPostgresqlBackend, _: str) -> None:
        ((key, version),) = (await claimed(backend, new_key())).items()
        writing = backend.swap(key, version, b"two", HOUR)
        waits_for = writing.send(None)
        assert type(waits_for) is Lasting
        assert await rest(writing, waits_for) is None

    play(scene)


@pytest.mark.parametrize("rows", [0, 300])
def test_batches_find_their_rows_by_key_in_every_table(postgresql_url: str, rows: int) -> None:
    """Also with plans that were made when it was small, or had no statistics yet."""
    sql = Statements(table := new_table())
    with plain(postgresql_url, table=table), administrator_at(postgresql_url) as connection:
        if rows:  # else the server knows nothing of the table
            row = "i::text, convert_to(repeat('r', 300), 'UTF8'), i, 1"
            fill = f"INSERT INTO {table} SELECT {row} FROM generate_series(1, {rows}) AS i"
            connection.execute(fill.encode())
            connection.execute(f"ANALYZE {table}".encode())
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for name in ("get_many", "replace_many", "swap_many"):
            statement = getattr(sql, name)
            connection.execute(b"PREPARE %b AS %b" % (name.encode(), statement.text))
            values = ", ".join(["NULL"] * len(statement.formats))
            plan = connection.execute(f"EXPLAIN EXECUTE {name}({values})".encode()).fetchall()
            lines = [line for (line,) in plan if f" on {table}" in line and "Scan" in line]
            assert lines
            assert all("_pkey" in line or "Tid Scan" in line for line in lines)
        connection.execute(f"DROP TABLE {table}".encode())


def test_a_row_that_is_held_harms_no_other_of_its_batch(play: Play, postgresql_url: str) -> None:
    """The others are done at once; the held one is made alone, and waits on no connection."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(20)))
        held, *others = versions
        batching = BatchingBackend(backend)
        with rival_at(postgresql_url) as rival:
            rival.execute(f"SELECT 1 FROM {table} WHERE key = %s FOR UPDATE".encode(), [held])
            writes = {
                swap.key: asyncio.ensure_future(batching.swap(swap.key, swap.version, b"two", HOUR))
                for swap in swaps_of(versions)
            }
            done, waiting = await asyncio.wait(writes.values(), timeout=0.3)
            assert waiting == {writes[held]}
            assert {task.result() for task in done} == {None}
            # One connection is enough for all who come meanwhile.
            assert await batching.swap(others[0], None, b"x", HOUR)
            rival.rollback()
            assert await writes[held] is None
        found = await backend.get_many(list(versions))
        assert {stored.record for stored in found.values()} == {b"two"}

    play(scene, size=1)


@pytest.mark.parametrize("form", ["awaited", "plain"])
def test_a_row_that_stays_held_is_an_error_in_time(
    play: Play, postgresql_url: str, form: str
) -> None:
    """After the timeout; nothing was written, and the connection serves others meanwhile."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        ((key, version),) = (await claimed(backend, new_key())).items()
        with (
            rival_at(postgresql_url) as rival,
            plain(postgresql_url, table=table, timeout=0.2) as other,
        ):
            rival.execute(f"SELECT 1 FROM {table} WHERE key = %s FOR UPDATE".encode(), [key])
            swapping = (
                asyncio.to_thread(other.swap, key, version, b"two", HOUR)
                if form == "plain"
                else backend.swap(key, version, b"two", HOUR)
            )
            with pytest.raises(BackendError, match="another transaction holds the row"):
                await swapping
        found = await backend.get(key)
        assert found and found.record == b"one"

    play(scene, size=1, timeout=0.2)


def test_a_row_that_was_held_and_changed_is_refused(play: Play, postgresql_url: str) -> None:
    """The write finds what the other transaction left."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        versions = await claimed(backend, new_key(), new_key())
        first, second = versions
        with rival_at(postgresql_url) as rival:
            rival.execute(f"UPDATE {table} SET version = 7 WHERE key = %s".encode(), [first])
            rival.execute(f"DELETE FROM {table} WHERE key = %s".encode(), [second])
            batching = BatchingBackend(backend)
            writes = [
                asyncio.ensure_future(batching.swap(swap.key, swap.version, b"two", HOUR))
                for swap in swaps_of(versions)
            ]
            await asyncio.sleep(0.05)
            rival.commit()
            one, other = await asyncio.gather(*writes)
        assert one and one.stored and one.stored.record == b"one"
        assert other == Refused(None)

    play(scene)


def test_a_row_that_the_database_refuses_fails_alone(play: Play, postgresql_url: str) -> None:
    """The others of its batch are done; the error quotes no value."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        with administrator_at(postgresql_url) as connection:
            connection.execute(
                f"ALTER TABLE {table} ADD CHECK (record <> 'refused'::bytea)".encode()
            )
        versions = await claimed(backend, *(new_key() for _ in range(6)))
        swaps = swaps_of(versions)
        swaps[3] = Swap(swaps[3].key, swaps[3].version, b"refused", HOUR)
        batching = BatchingBackend(backend)
        writes = (batching.swap(each.key, each.version, each.record, HOUR) for each in swaps)
        answers = await asyncio.gather(*writes, return_exceptions=True)
        error = answers.pop(3)
        assert answers == [None] * 5
        assert isinstance(error, Rejected)
        assert isinstance(error.__cause__, psycopg.errors.CheckViolation)
        assert "not shown" in str(error.__cause__)
        with pytest.raises(AskAlone):
            await backend.swap_many(swaps)

    play(scene)


@pytest.mark.parametrize("together", [1, 8])
def test_a_lost_read_is_asked_once_more(play: Play, postgresql_url: str, together: int) -> None:
    """The server ends the connection while the answer is awaited: no request fails."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(together)))
        batching = BatchingBackend(backend)
        with rival_at(postgresql_url) as rival:
            rival.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            reads = [asyncio.ensure_future(batching.get(key)) for key in versions]
            await ended(postgresql_url, table)
            rival.rollback()
        found = await asyncio.gather(*reads)
        assert [each and each.record for each in found] == [b"one"] * together

    play(scene)


async def ended(url: str, table: str) -> None:
    """End every connection that waits for a lock on the table."""
    told = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE wait_event_type = 'Lock' AND query LIKE '%{table}%'"
    )
    with administrator_at(url) as connection:
        for _ in range(1000):
            if connection.execute(told.encode()).fetchall():
                return
            await asyncio.sleep(0.01)
    pytest.fail("no connection waited")


@pytest.mark.parametrize("together", [1, 8])
def test_a_lost_write_is_made_once_more(play: Play, postgresql_url: str, together: int) -> None:
    """It was not done the first time; each row has its version, so none is written twice."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(together)))
        batching = BatchingBackend(backend)
        with rival_at(postgresql_url) as rival:
            rival.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
            writes = [
                asyncio.ensure_future(batching.swap(key, version, b"two", HOUR))
                for key, version in versions.items()
            ]
            await ended(postgresql_url, table)
            rival.rollback()
        assert await asyncio.gather(*writes) == [None] * together

    play(scene)


class Losing:
    """A pool that loses the answer to a write after it was done."""

    def __init__(self, pool: Any, then: Callable[[], Awaitable[object]]) -> None:
        self._pool, self._then, self._is_done = pool, then, False
        self.place = pool.place

    async def run(self, doing: str, *arguments: Any) -> Any:
        result = await self._pool.run(doing, *arguments)
        if doing == "write" and not self._is_done:
            self._is_done = True
            await self._then()
            raise Lost("test", "write")
        return result


async def nothing() -> None:
    """Let nothing happen in between."""


async def write_both(backend: AsyncPostgresqlBackend, versions: dict[str, Any]) -> list[Any]:
    return list(await backend.swap_many(swaps_of(versions)))


async def write_one(backend: AsyncPostgresqlBackend, versions: dict[str, Any]) -> list[Any]:
    (key, version), *_ = versions.items()
    try:
        return [await backend.swap(key, version, b"two", HOUR)]
    except BackendError as error:
        return [error]


@pytest.mark.parametrize("write", [write_one, write_both])
@pytest.mark.parametrize("claims", [False, True])
def test_a_write_whose_answer_was_lost_is_recognized(
    play: Play, write: Callable[..., Awaitable[list[Any]]], claims: bool
) -> None:
    """Its row has the version that it made."""

    async def scene(backend: AsyncPostgresqlBackend, _: str) -> None:
        keys = [new_key(), new_key()]
        versions = dict.fromkeys(keys) if claims else await claimed(backend, *keys)
        pool, backend._pool = backend._pool, Losing(backend._pool, nothing)
        answers = await write(backend, versions)
        backend._pool = pool
        assert answers == [None] * len(answers)
        found = await backend.get(keys[0])
        assert found and found.record == b"two"

    play(scene)


@pytest.mark.parametrize("write", [write_one, write_both])
def test_a_lost_write_that_another_one_followed_is_an_error(
    play: Play, write: Callable[..., Awaitable[list[Any]]]
) -> None:
    """The other request may have built on it, or on what was there before."""

    async def scene(backend: AsyncPostgresqlBackend, _: str) -> None:
        versions = await claimed(backend, new_key(), new_key())
        key, pool = next(iter(versions)), backend._pool

        async def follow() -> None:
            found = await pool.run("read", backend._sql.get, (key.encode(), b"\0" * 8))
            version: Any = found.get_value(0, 1)
            new = (b"three", b"\1" * 8, double(2e9))
            values = (*new, key.encode(), version, b"\0" * 8)
            await pool.run("read", backend._sql.replace, values)

        backend._pool = Losing(pool, follow)
        answers = await write(backend, versions)
        backend._pool = pool
        assert isinstance(answers[0], Lost)
        assert answers[1:] == [None] * (len(answers) - 1)

    play(scene)


def test_batches_of_writers_in_every_order_do_not_block_each_other(
    play: Play, postgresql_url: str
) -> None:
    """Two processes write the same rows in opposite orders: one of each pair wins, none fails."""

    async def scene(backend: AsyncPostgresqlBackend, table: str) -> None:
        keys = [new_key() for _ in range(30)]
        async with awaited(postgresql_url, table=table) as other:
            rooms = BatchingBackend(backend), BatchingBackend(other)
            for _ in range(5):
                there = await backend.get_many(keys)

                def write(room: BatchingBackend, key: str, there: Any = there) -> Awaitable[Any]:
                    stored = there.get(key)
                    return room.swap(key, stored and stored.version, b"x", HOUR)

                answers = await asyncio.gather(
                    *(write(rooms[0], key) for key in keys),
                    *(write(rooms[1], key) for key in reversed(keys)),
                )
                assert sum(answer is None for answer in answers) == len(keys)

    play(scene)


def test_an_expired_row_can_be_claimed_and_not_replaced(play: Play) -> None:
    """Also in a batch, where the claim is made again alone."""

    async def scene(backend: AsyncPostgresqlBackend, _: str) -> None:
        keys = [new_key() for _ in range(3)]
        for key in keys:
            await backend.swap(key, None, b"one", 10)
        versions = {key: found.version for key, found in (await backend.get_many(keys)).items()}
        clock.advance(11)
        assert await backend.get_many(keys) == {}
        assert await backend.swap_many(swaps_of(versions)) == [Refused(None)] * 3
        batching = BatchingBackend(backend)
        claims = (batching.swap(key, None, b"two", HOUR) for key in keys)
        assert await asyncio.gather(*claims) == [None] * 3

    clock = Clock()
    play(scene, clock=clock)


def test_a_sweep_removes_what_expired(play: Play) -> None:
    """So many at once, the oldest first; `swept` tells how far the round is."""

    async def scene(backend: AsyncPostgresqlBackend, _: str) -> None:
        batching = BatchingBackend(backend, writes=Limits(spread=200))
        await asyncio.gather(*(batching.swap(new_key(), None, b"x", 10) for _ in range(250)))
        kept = new_key()
        await backend.swap(kept, None, b"long", HOUR)
        clock.advance(11)
        removed: list[int] = []
        shares: list[float] = [backend.swept]
        for _each in range(3):
            removed.append(await batching.sweep(100))
            shares.append(batching.swept)
        assert removed == [100, 100, 50]
        assert shares == [0, 0.4, 0.8, 0]
        assert await backend.get(kept)
        await backend.delete(kept)
        assert await backend.get(kept) is None

    clock = Clock()
    play(scene, clock=clock)


@pytest.mark.parametrize("form", ["awaited", "plain"])
def test_several_processes_may_make_the_table_at_once(postgresql_url: str, form: str) -> None:
    """One of them is faster, and none fails; an odd name is quoted."""
    table = f'Odd "{new_table()}'

    def make(_: int) -> None:
        if form == "plain":
            with plain(postgresql_url, table=table):
                return
        asyncio.run(make_awaited())

    async def make_awaited() -> None:
        async with awaited(postgresql_url, table=table) as backend:
            assert await backend.get("a") is None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))
    with administrator_at(postgresql_url) as connection:
        name = table.replace('"', '""')
        connection.execute(f'DROP TABLE "{name}"'.encode())


def test_a_table_that_cannot_be_made_is_an_error(postgresql_url: str) -> None:
    """The database's own error is the cause."""
    with pytest.raises(BackendError) as raised, plain(postgresql_url, table=""):
        pass
    assert isinstance(raised.value.__cause__, psycopg.Error)


def test_relaxed_writes_do_not_wait_for_the_disk() -> None:
    """On a server whose commits wait for a standby that is not there, they are done at once."""
    with short_folder() as parent:
        (folder := parent / "s").mkdir()
        check_relaxed(folder)


def check_relaxed(folder: Path) -> None:
    with servers.postgresql_server(folder) as (url, _), administrator_at(url) as connection:
        with plain(url):
            pass
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        asyncio.run(write_relaxed(url))


async def write_relaxed(url: str) -> None:
    async with awaited(url, relaxed=True, timeout=10) as backend:
        versions = await claimed(backend, *(new_key() for _ in range(4)))
        (key, version), *_ = versions.items()
        assert await backend.swap(key, version, b"two", HOUR) is None
        mixed = {**versions, key: None, new_key(): None}
        answers = await backend.swap_many(swaps_of(mixed))
        assert [type(answer) for answer in answers] == [Refused, *[type(None)] * 4]
    async with awaited(url, timeout=0.2) as strict:
        with pytest.raises(BackendError):
            await strict.swap(new_key(), None, b"one", HOUR)
