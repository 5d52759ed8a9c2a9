"""The backend in a table of an SQL database: PostgreSQL, MariaDB, SQLite, plain and asyncio."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, MetaData, create_engine, event, inspect, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage import SqlStorage, sessions_table
from coatcheck.storage.backends.async_sql_backend import AsyncSqlBackend
from coatcheck.storage.backends.sql_backend import SqlBackend
from coatcheck.storage.backends.sql_codes import Deadlock
from coatcheck.storage.backends.sql_errors import telling
from coatcheck.storage.clock import system_clock
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import HOUR, Make, new_key
from tests.engines import async_engine, plain_engine
from tests.processes import CONTEXT

DATABASES = ["postgresql", "mariadb", "sqlite"]


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that has a table of sessions."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'db'}"
        with plain_engine(url) as engine:
            SqlStorage(engine).create_table()
        return url
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with plain_engine(url) as opened:
        yield opened


def backend_of(engine: Engine, *, clock: Clock | None = None) -> SqlBackend:
    table = sessions_table(MetaData())
    return SqlBackend(engine, table, clock=clock or system_clock)


@pytest.fixture
def own_table(engine: Engine, clock: Clock) -> Iterator[SqlBackend]:
    """A backend over a table of this test's own."""
    storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}", clock=clock)
    storage.create_table()
    yield storage.backend
    storage.backend._table.drop(engine)


class TestSqlBackend(BackendContract):
    """Every rule of a backend, over plain engines."""

    @pytest.fixture
    def make(self, engine: Engine) -> Make:
        return lambda: backend_of(engine)


class TestAsyncSqlBackend(BackendContract):
    """Every rule of a backend, over asyncio engines."""

    @pytest.fixture
    def make(self, url: str) -> Make:
        @asynccontextmanager
        async def backend() -> AsyncIterator[AsyncSqlBackend]:
            engine = async_engine(url)
            yield AsyncSqlBackend(engine, sessions_table(MetaData()), clock=system_clock)
            await engine.dispose()

        return backend


def statements(engine: Engine) -> list[str]:
    """Return a list that grows with each statement that the engine sends."""
    sent: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement.split(maxsplit=1)[0])

    return sent


def test_one_statement_a_read_and_one_a_write(engine: Engine) -> None:
    """Nothing is begun, locked or asked beside them."""
    backend = backend_of(engine)
    key = new_key()
    backend.get(key)
    sent = statements(backend.engine)
    backend.swap(key, None, b"one", HOUR)
    stored = backend.get(key)
    assert stored
    backend.swap(key, stored.version, b"two", HOUR)
    backend.delete(key)
    assert sent == ["INSERT", "SELECT", "UPDATE", "DELETE"]


def test_the_deadline_has_an_index(own_table: SqlBackend, engine: Engine) -> None:
    """A sweep searches it; the key is the primary key."""
    found = inspect(engine)
    name = own_table._table.name
    assert [index["column_names"] for index in found.get_indexes(name)] == [["expires"]]
    assert found.get_pk_constraint(name)["constrained_columns"] == ["key"]


def test_the_table_is_made_once(own_table: SqlBackend) -> None:
    """`create_table` does nothing if the table is there."""
    own_table.swap("kept", None, b"one", HOUR)
    own_table.create_table()
    assert own_table.get("kept") is not None


def test_an_asyncio_storage_makes_its_table_too(url: str) -> None:
    """The same method, awaited."""

    async def scenario() -> None:
        engine = async_engine(url)
        storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}")
        await storage.create_table()
        session = await storage.read(None)
        session["user"] = 1
        assert (await storage.read(await storage.save(session)))["user"] == 1
        async with engine.begin() as connection:
            await connection.run_sync(storage.backend._table.drop)
        await engine.dispose()

    asyncio.run(scenario())


def test_keys_that_differ_in_case_are_two(engine: Engine) -> None:
    """Also where the database compares text without regard to case."""
    backend, key = backend_of(engine), new_key()
    backend.swap(f"{key}-a", None, b"small", HOUR)
    backend.swap(f"{key}-A", None, b"large", HOUR)
    found = backend.get(f"{key}-a")
    assert found and found.record == b"small"


def test_a_prefix_keeps_applications_apart(engine: Engine) -> None:
    """Two storages with other prefixes on one table see nothing of each other."""
    ours, theirs = SqlStorage(engine, prefix="ours:"), SqlStorage(engine, prefix="theirs:")
    session = ours.read(None)
    session["user"] = 1
    value = ours.save(session)
    assert theirs.read(value).is_new
    assert ours.read(value)["user"] == 1


def test_the_transactions_of_the_application_are_its_own(engine: Engine) -> None:
    """A session is saved though the transaction around it is rolled back, and commits nothing."""
    storage, key = SqlStorage(engine), new_key()
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: a transaction that writes keeps others out")
    with engine.connect() as connection:
        table = sessions_table(MetaData())
        row = {"key": key, "record": b"", "version": 1, "expires": 0.0}
        connection.execute(table.insert(), row)
        session = storage.read(None)
        session["user"] = 1
        value = storage.save(session)
        connection.rollback()
        found = connection.execute(select(table.c.key).where(table.c.key == key)).first()
    assert found is None
    assert storage.read(value)["user"] == 1


def test_the_engine_of_the_application_keeps_its_isolation(url: str) -> None:
    """A connection that the storage used comes back to the pool as it was."""
    with plain_engine(url) as fresh:
        with fresh.connect() as connection:
            level = connection.get_isolation_level()
        SqlStorage(fresh).read("A" * 40)
        with fresh.connect() as connection:
            assert connection.get_isolation_level() == level


def test_a_sweep_removes_what_expired(own_table: SqlBackend, clock: Clock) -> None:
    """So many at once, the oldest first; `swept` tells how far the round is."""
    for _ in range(250):
        own_table.swap(new_key(), None, b"short", 10)
    kept = new_key()
    own_table.swap(kept, None, b"long", HOUR)
    clock.advance(11)
    shares, removed = [own_table.swept], []
    for _ in range(3):
        removed.append(own_table.sweep(limit=100))
        shares.append(own_table.swept)
    assert removed == [100, 100, 50]
    assert shares == [0, 0.4, 0.8, 0]
    assert own_table.get(kept) is not None
    assert own_table.sweep() == 0


def test_an_asyncio_sweep_does_the_same(url: str, clock: Clock) -> None:
    """A bounded number, and the share of the round."""

    async def scenario() -> None:
        engine = async_engine(url)
        storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}", clock=clock)
        await storage.create_table()
        for _ in range(3):
            await storage.backend.swap(new_key(), None, b"short", 10)
        clock.advance(11)
        assert await storage.sweep(2) == 2
        assert storage.backend.swept == 2 / 3
        assert await storage.sweep(2) == 1
        async with engine.begin() as connection:
            await connection.run_sync(storage.backend._table.drop)
        await engine.dispose()

    asyncio.run(scenario())


def sweep_all(url: str, table: str, start: object, removed: object) -> None:
    with plain_engine(url) as engine:
        storage = SqlStorage(engine, table=table)
        start.wait(30)  # type: ignore[attr-defined]
        total = 0
        while count := storage.sweep(50):
            total += count
        removed.put(total)  # type: ignore[attr-defined]


def test_several_processes_may_sweep_at_once(
    own_table: SqlBackend, clock: Clock, engine: Engine, url: str
) -> None:
    """None fails, and each record is removed by one of them."""
    clock.now = 1_000_000_000
    for _ in range(500):
        own_table.swap(new_key(), None, b"short", 10)
    start, removed = CONTEXT.Barrier(4), CONTEXT.Queue()
    arguments = (url, own_table._table.name, start, removed)
    workers = [CONTEXT.Process(target=sweep_all, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    with engine.connect() as connection:
        left = connection.execute(select(own_table._table.c.key)).all()
    assert sum(removed.get(timeout=30) for _ in workers) == 500
    assert left == []


def test_an_expired_record_is_absent_before_it_is_swept(
    own_table: SqlBackend, clock: Clock
) -> None:
    """It can be claimed, and not replaced."""
    own_table.swap("key", None, b"one", 10)
    stored = own_table.get("key")
    assert stored
    clock.advance(11)
    assert own_table.get("key") is None
    refused = own_table.swap("key", stored.version, b"two", HOUR)
    assert refused and refused.stored is None
    assert own_table.swap("key", None, b"two", HOUR) is None


def test_a_table_that_is_not_there_is_a_backend_error(engine: Engine) -> None:
    """The database's own error is the cause; the message names the server and no password."""
    storage = SqlStorage(engine, table="nowhere")
    with pytest.raises(BackendError, match=engine.dialect.name) as raised:
        storage.read("A" * 40)
    assert "secret" not in str(raised.value)
    with pytest.raises(BackendError):
        storage.sweep()


def test_a_server_that_is_not_there_is_a_backend_error() -> None:
    """Each call raises BackendError, plain and asyncio."""
    url = "postgresql+psycopg://coatcheck:secret@127.0.0.1:1/none"
    with pytest.raises(BackendError, match=r"postgresql at 127\.0\.0\.1:1") as raised:
        SqlStorage(create_engine(url)).read("A" * 40)
    assert "secret" not in str(raised.value)

    async def scenario() -> None:
        engine = create_async_engine(url)
        with pytest.raises(BackendError):
            await SqlStorage(engine).read("A" * 40)
        await engine.dispose()

    asyncio.run(scenario())


def test_what_is_no_engine_is_refused() -> None:
    """A URL, for one: an engine is the application's to make."""
    with pytest.raises(ConfigurationError, match="engine must be an engine of SQLAlchemy"):
        SqlStorage("sqlite://")  # type: ignore[call-overload]


def test_a_storage_sweeps_by_itself_if_asked(engine: Engine, clock: Clock) -> None:
    """With every so many new sessions."""
    storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}", sweep_every=2, clock=clock)
    storage.create_table()
    storage.backend.swap("old", None, b"short", 10)
    clock.advance(11)
    for _ in range(2):
        session = storage.read(None)
        session["user"] = 1
        storage.save(session)
    with engine.connect() as connection:
        table = storage.backend._table
        left = connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()
        assert left == 2
    storage.backend._table.drop(engine)


@pytest.mark.parametrize("lost", [2, 5])
def test_a_sweep_that_loses_a_deadlock_is_tried_again(
    own_table: SqlBackend, clock: Clock, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """Nothing was done; after five in a row it is an error."""
    own_table.swap("old", None, b"short", 10)
    clock.advance(11)
    run, left = own_table._run, [Deadlock("test", "sweep") for _ in range(lost)]

    def losing(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return run(*arguments)

    monkeypatch.setattr(own_table, "_run", losing)
    if lost < 5:
        assert own_table.sweep() == 1
    else:
        with pytest.raises(BackendError):
            own_table.sweep()


def test_a_deadlock_of_the_database_is_told_from_other_errors(engine: Engine) -> None:
    """By the code that the database gives it."""
    code: Any = type("Error", (Exception,), {"sqlstate": "40P01"})("deadlock detected")
    for cause, kind in ((code, Deadlock), (Exception(1213), Deadlock), (OSError(1), BackendError)):
        with pytest.raises(BackendError) as raised, telling(engine, "sweep"):
            raise OperationalError("DELETE", None, cause)
        assert type(raised.value) is kind
