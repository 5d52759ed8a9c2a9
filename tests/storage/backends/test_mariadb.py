"""The awaited backend in MariaDB over connections of its own, alone and in batches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from traceback import extract_stack
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncmy
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Refused, Swap
from coatcheck.storage.backends.async_mariadb_backend import AsyncMariadbBackend
from coatcheck.storage.backends.async_mariadb_pool import AsyncMariadbPool, error_of
from coatcheck.storage.backends.batching import BatchingBackend, Limits
from coatcheck.storage.backends.database_place import Place
from coatcheck.storage.backends.mariadb_statements import Statements
from coatcheck.storage.backends.sql_codes import (
    Deadlock,
    Demoted,
    Held,
    Lost,
    Rejected,
    Taken,
)
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import HOUR, Make, new_key
from tests.engines import plain_engine

Scene = Callable[[AsyncMariadbBackend, str], Awaitable[None]]

Play = Callable[..., None]


@asynccontextmanager
async def awaited(
    url: str,
    *,
    table: str = "coatcheck_sessions",
    clock: TimeSource = system_clock,
    **more: Any,
) -> AsyncIterator[AsyncMariadbBackend]:
    """Open a backend, and make its table."""
    at = urlsplit(url)
    named = {
        "host": at.hostname,
        "port": at.port,
        "user": at.username,
        "password": at.password,
        "db": at.path[1:],
    }
    pool = AsyncMariadbPool(Place("mysql", named, **more))
    backend = AsyncMariadbBackend(pool, Statements(table), clock=clock)
    try:
        await backend.create_table()
        yield backend
    finally:
        await pool.close()


class TestAsyncMariadbBackend(BackendContract):
    """Every rule of a backend, awaited."""

    @pytest.fixture
    def make(self, mariadb_url: str) -> Make:
        return lambda: awaited(mariadb_url)


class TestBatches(BackendContract):
    """Every rule of a backend, in batches."""

    @pytest.fixture
    def make(self, mariadb_url: str) -> Make:
        @asynccontextmanager
        async def made() -> AsyncIterator[BatchingBackend]:
            async with awaited(mariadb_url, size=1) as backend:
                yield BatchingBackend(backend)

        return made


@pytest.fixture
def play(mariadb_url: str) -> Play:
    """A function that lets a scene run over a backend with a table of its own."""

    def play(scene: Scene, **more: Any) -> None:
        async def played() -> None:
            table = f"test_{uuid4().hex[:8]}"
            async with awaited(mariadb_url, table=table, **more) as backend:
                await scene(backend, table)

        asyncio.run(played())

    return play


@contextmanager
def rival_at(url: str) -> Iterator[Connection]:
    """Open another connection, whose transactions the test ends."""
    with plain_engine(url) as engine, engine.connect() as connection:
        yield connection
        connection.rollback()


async def claimed(backend: AsyncMariadbBackend, *keys: str) -> dict[str, Any]:
    """Claim keys; return the versions of their records."""
    for key in keys:
        await backend.swap(key, None, b"one", HOUR)
    return {key: stored.version for key, stored in (await backend.get_many(keys)).items()}


async def write_all(backend: BatchingBackend, versions: dict[str, Any]) -> list[Any]:
    writes = (backend.swap(key, version, b"two", HOUR) for key, version in versions.items())
    return await asyncio.gather(*writes, return_exceptions=True)


def test_a_key_is_read_as_it_is_also_in_a_batch(play: Play) -> None:
    """A prefix may be any text, so a key may hold what ends a literal."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        plain, *others = keys = [new_key(), "it's:1", "back\\:2", "') OR ('1'='1", '"', "a,b"]
        await claimed(backend, *keys)
        for other in others:
            assert set(await backend.get_many([plain, other])) == {plain, other}
        assert await backend.get_many(["' OR '1'='1", "x' OR 'x'='x"]) == {}

    play(scene)


def test_a_table_may_have_any_name(mariadb_url: str) -> None:
    """It is quoted, and no marker of a statement."""

    async def scene() -> None:
        async with awaited(mariadb_url, table="50%s ? `off`") as backend:
            versions = await claimed(backend, *(new_key() for _ in range(2)))
            for key, version in versions.items():
                assert await backend.swap(key, version, b"two", HOUR) is None
                found = await backend.get(key)
                assert found and found.record == b"two"

    asyncio.run(scene())


def test_each_row_of_a_batch_is_written_or_refused_by_itself(play: Play) -> None:
    """Each gets its own record; a stale one, one that is gone and one that is taken are told."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        fine, stale, gone, taken, new = keys = [new_key() for _ in range(5)]
        versions = await claimed(backend, *keys[:4])
        await backend.swap(stale, versions[stale], b"newer", HOUR)
        await backend.delete(gone)
        asked = {**versions, taken: None, new: None}
        swaps = [Swap(key, was, f"of {key}".encode(), HOUR) for key, was in asked.items()]
        answers = dict(zip(asked, await backend.swap_many(swaps), strict=True))
        assert answers[fine] is answers[new] is None
        for key, record in ((stale, b"newer"), (gone, None), (taken, b"one")):
            refused = answers[key]
            assert isinstance(refused, Refused)
            assert (refused.stored.record if refused.stored else None) == record
        for key in (fine, new):
            found = await backend.get(key)
            assert found and found.record == f"of {key}".encode()

    play(scene)


def test_a_batch_whose_rows_are_all_there_is_told_by_their_number(play: Play) -> None:
    """Each row has the record and the deadline of its own session."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(7)))
        swaps = [
            Swap(key, was, f"of {key}".encode(), HOUR * (n + 1))
            for n, (key, was) in enumerate(versions.items())
        ]
        assert await backend.swap_many(swaps) == [None] * 7
        found = await backend.get_many(list(versions))
        assert {key: row.record for key, row in found.items()} == {
            swap.key: swap.record for swap in swaps
        }
        clock.advance(3.5 * HOUR)
        assert set(await backend.get_many(list(versions))) == {swap.key for swap in swaps[3:]}

    clock = Clock()
    play(scene, clock=clock)


def test_a_batch_locks_no_other_row_of_a_small_table(play: Play, mariadb_url: str) -> None:
    """It finds its rows by their keys, also where to search the whole table would be shorter."""

    async def scene(backend: AsyncMariadbBackend, table: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(4)))
        (held, _), *others = versions.items()
        with rival_at(mariadb_url) as rival:
            rival.execute(text(f"SELECT 1 FROM {table} WHERE `key` = '{held}' FOR UPDATE"))
            swaps = [Swap(key, was, b"two", HOUR) for key, was in others]
            assert await backend.swap_many(swaps) == [None] * 3

    play(scene, size=1)


def test_a_row_that_is_held_harms_no_other_of_its_batch(play: Play, mariadb_url: str) -> None:
    """The others are done at once; the held one is made alone, and waits on no connection."""

    async def scene(backend: AsyncMariadbBackend, table: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(20)))
        held, *others = versions
        batching = BatchingBackend(backend)
        with rival_at(mariadb_url) as rival:
            rival.execute(text(f"SELECT 1 FROM {table} WHERE `key` = '{held}' FOR UPDATE"))
            writes = {
                key: asyncio.ensure_future(batching.swap(key, version, b"two", HOUR))
                for key, version in versions.items()
            }
            done, waiting = await asyncio.wait(writes.values(), timeout=1)
            assert waiting == {writes[held]}
            assert {task.result() for task in done} == {None}
            assert await batching.swap(others[0], None, b"x", HOUR)
            rival.rollback()
            assert await writes[held] is None

    play(scene, size=1)


@pytest.mark.parametrize("call", ["swap", "claim", "delete"])
def test_a_row_that_stays_held_is_an_error_in_time(play: Play, mariadb_url: str, call: str) -> None:
    """After the timeout; the connection serves others meanwhile."""

    async def scene(backend: AsyncMariadbBackend, table: str) -> None:
        ((key, version),) = (await claimed(backend, new_key())).items()
        await backend.swap(expired := new_key(), None, b"x", 10)
        clock.advance(11)
        with rival_at(mariadb_url) as rival:
            rival.execute(text(f"SELECT 1 FROM {table} FOR UPDATE"))
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "swap": lambda: backend.swap(key, version, b"two", HOUR),
                "claim": lambda: backend.swap(expired, None, b"two", HOUR),
                "delete": lambda: backend.delete(key),
            }
            with pytest.raises(BackendError, match="another transaction holds the row"):
                await calls[call]()
            assert await backend.get(key)

    clock = Clock()
    play(scene, size=1, timeout=0.3, clock=clock)


def test_a_row_that_the_database_refuses_fails_alone(play: Play, mariadb_url: str) -> None:
    """The others of its batch are done, and the error quotes no value."""

    async def scene(backend: AsyncMariadbBackend, table: str) -> None:
        with rival_at(mariadb_url) as rival:
            rival.execute(text(f"ALTER TABLE {table} ADD CHECK (record <> 'refused')"))
        versions = await claimed(backend, *(new_key() for _ in range(6)))
        versions[new] = None
        batching = BatchingBackend(backend)
        writes = (
            batching.swap(key, version, b"refused" if n in (3, 6) else b"two", HOUR)
            for n, (key, version) in enumerate(versions.items())
        )
        answers = await asyncio.gather(*writes, return_exceptions=True)
        refused = [answers.pop(6), answers.pop(3)]
        assert answers == [None] * 5
        for error in refused:
            assert isinstance(error, Rejected)
            assert "not shown" in str(error.__cause__)
        with pytest.raises(AskAlone):
            await backend.swap_many(
                [Swap(key, version, b"refused", HOUR) for key, version in versions.items()]
            )

    new = new_key()
    play(scene)


@pytest.mark.parametrize("together", [1, 8])
def test_a_lost_read_is_asked_once_more(play: Play, mariadb_url: str, together: int) -> None:
    """The server ended the connection: no request fails; so it is for writes."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(together)))
        batching = BatchingBackend(backend)
        end_all(mariadb_url)
        found = await asyncio.gather(*map(batching.get, versions))
        assert [each and each.record for each in found] == [b"one"] * together
        end_all(mariadb_url)
        answers = await write_all(batching, versions)
        assert answers == [None] * together, [repr(each.__cause__) for each in answers if each]

    play(scene)


def end_all(url: str) -> None:
    """End every connection of the backends."""
    admin = url.replace("coatcheck:secret@", "admin:secret@")
    with rival_at(admin) as rival:
        found = rival.execute(
            text("SELECT id FROM information_schema.processlist WHERE user = 'coatcheck'")
        )
        for (connection,) in found.all():
            with suppress(OperationalError):  # it has ended meanwhile
                rival.execute(text(f"KILL {connection}"))


def test_an_expired_row_can_be_claimed_and_not_replaced(play: Play) -> None:
    """Also in a batch, where the claim is made again alone."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        keys = [new_key() for _ in range(3)]
        for key in keys:
            await backend.swap(key, None, b"one", 10)
        there = await backend.get_many(keys)
        versions = {key: stored.version for key, stored in there.items()}
        clock.advance(11)
        assert await backend.get_many(keys) == {}
        batching = BatchingBackend(backend)
        assert await write_all(batching, versions) == [Refused(None)] * 3
        assert await write_all(batching, dict.fromkeys(keys)) == [None] * 3

    clock = Clock()
    play(scene, clock=clock)


def test_a_sweep_removes_what_expired(play: Play) -> None:
    """So many at once, the oldest first; `swept` tells how far the round is."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
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
        await backend.delete(kept)
        assert await backend.get(kept) is None

    clock = Clock()
    play(scene, clock=clock)


def test_a_request_that_is_cancelled_leaves_a_connection_for_others(play: Play) -> None:
    """asyncmy closes the connection of a call that is cancelled; another one is made."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        ((key, version),) = (await claimed(backend, new_key())).items()
        for turns in range(12):
            call = asyncio.ensure_future(backend.get(key))
            for _each in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            found = await backend.get(key)
            assert found and found.version == version

    play(scene, size=1)


@pytest.mark.parametrize("together", [1, 8])
def test_an_answer_resumes_its_request_where_it_arrives(play: Play, together: int) -> None:
    """The loop's callback that reads the socket runs the request, in no other turn of the loop."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        versions = await claimed(backend, *(new_key() for _ in range(together)))
        callers: list[set[str]] = []

        async def read() -> None:
            await (backend.get(key) if together == 1 else backend.get_many(list(versions)))
            callers.append({frame.name for frame in extract_stack()})

        key = next(iter(versions))
        await asyncio.gather(read(), read())
        assert all("buffer_updated" in names for names in callers)

    play(scene, size=2)


def test_a_driver_without_that_attribute_is_used_as_it_is(play: Play) -> None:
    """Then an answer takes one turn of the loop more."""

    async def scene(backend: AsyncMariadbBackend, _: str) -> None:
        monkeypatch.setattr("coatcheck.storage.backends.async_mariadb_pool.resume", pytest.fail)
        ((key, version),) = (await claimed(backend, new_key())).items()
        found = await backend.get(key)
        assert found and found.version == version

    class Hiding:
        def __init__(self, opened: Any) -> None:
            self._opened = opened

        def __getattr__(self, name: str) -> Any:
            if name == "_proto":
                raise AttributeError(name)
            return getattr(self._opened, name)

    with pytest.MonkeyPatch.context() as monkeypatch:
        connect = asyncmy.connect

        async def connected(**named: Any) -> Any:
            return Hiding(await connect(**named))

        monkeypatch.setattr(asyncmy, "connect", connected)
        play(scene)


def test_errors_are_told_apart_by_their_codes() -> None:
    """And their messages are shown only where the server quotes no value."""
    from asyncmy.errors import OperationalError

    kinds = {
        1213: Deadlock,
        1205: Held,
        1290: Demoted,
        1062: Taken,
        2013: Lost,
        1927: Lost,
        4025: Rejected,
    }
    for code, kind in kinds.items():
        told = error_of(OperationalError(code, "says 'secret'"), "mysql", "write")
        assert type(told) is kind
        shown = code not in (1062, 4025)
        assert ("secret" in str(told.__cause__)) is shown
    assert isinstance(error_of(OSError(1), "mysql", "write"), Lost)
    assert isinstance(error_of(OperationalError(), "mysql", "write"), Lost)
