"""SQL servers in real deployments: quiet nights, restarts, failovers, poolers, deadlocks."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from coatcheck import BackendError, Session
from coatcheck.storage import KeyedStorage, SqlStorage, storage_from_url
from coatcheck.storage.backend import Refused
from coatcheck.storage.backends.sql_backend import SqlBackend
from coatcheck.testing import Clock
from coatcheck.testing.backend_contract import HOUR, new_key
from tests import servers
from tests.engines import PLAIN, create_table, plain_engine, with_driver
from tests.faults.breakable_servers import Place, place_of
from tests.faults.forwarder import forwarder
from tests.hosts import Browser, Front
from tests.servers import wait_until
from tests.storage_kinds import Made, front_of


@contextmanager
def folder_of(name: str) -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with TemporaryDirectory(prefix="coatcheck-") as place:
        Path(place).chmod(0o755)
        own = Path(place) / name
        own.mkdir()
        yield own


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A server whose settings the tests may change."""
    with folder_of("s") as folder, place_of(request.param, folder) as place:
        yield place


@contextmanager
def front_at(url: str, name: str) -> Iterator[Front]:
    """Open a front end over the storage at a URL, or over an engine of the application."""
    form, _, engine = name.partition("-")
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    assert storage.aio
    with plain_engine(url.partition("?")[0]) as own:
        made = Made(SqlStorage(own)) if engine else Made(storage, storage.aio.close)
        with front_of(form, made) as front:
            yield front
    storage.close()


FRONTS = ["wsgi", "asgi", "wsgi-engine"]

CLIENTS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE user = 'coatcheck'",
}


def ask(url: str, *commands: str) -> list[object]:
    """Return the first column of what an administrator's commands answer."""
    bare = with_driver(url.partition("?")[0], PLAIN).replace("coatcheck:secret@", "admin:secret@")
    engine = create_engine(bare, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    found: list[object] = []
    with engine.connect() as connection:
        for command in commands:
            done = connection.exec_driver_sql(command)
            found += done.scalars().all() if done.returns_rows else []
    return found


def signs_in(session: Session) -> None:
    session["user"] = 1


def reads(session: Session) -> object:
    return session.get("user")


def writes(session: Session) -> None:
    session.apply("n", lambda n: n + 1, 0)


def ends(session: Session) -> None:
    session.destroy()


HANDLERS: list[Callable[[Session], object]] = [reads, writes, signs_in, ends]

IMPATIENT = {
    "postgresql": [
        "ALTER SYSTEM SET idle_session_timeout = '500ms'",
        "SELECT pg_reload_conf()",
    ],
    "mysql": ["SET GLOBAL wait_timeout = 1"],
}

PATIENT = {
    "postgresql": ["ALTER SYSTEM RESET idle_session_timeout", "SELECT pg_reload_conf()"],
    "mysql": ["SET GLOBAL wait_timeout = 28800"],
}


@pytest.fixture
def impatient(place: Place) -> Iterator[None]:
    """The server closes connections that are idle for a second, or for less."""
    kind = urlsplit(place.url).scheme
    ask(place.url, *IMPATIENT[kind])
    yield
    ask(place.url, *PATIENT[kind])


@contextmanager
def visitors(url: str, name: str) -> Iterator[list[Browser]]:
    """Yield a browser for each handler; each is signed in, over a pool of its own."""
    with ExitStack() as stack:
        browsers = [stack.enter_context(front_at(url, name)).browser() for _ in HANDLERS]
        for browser in browsers:
            browser.ask(signs_in)
        yield browsers


def each_works(browsers: list[Browser]) -> None:
    """Let the next request of each browser be another one; none fails."""
    for handler, browser in zip(HANDLERS, browsers, strict=True):
        browser.ask(handler)
        assert browser.ask(reads).json == (None if handler is ends else 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", FRONTS)
def test_the_first_request_after_a_quiet_night_works(place: Place, name: str) -> None:
    """The server closed what was idle: the request opens a connection, and does not fail."""
    with visitors(place.url, name) as browsers:
        count = CLIENTS[urlsplit(place.url).scheme]
        wait_until(lambda: ask(place.url, count) == [0])
        each_works(browsers)


@pytest.mark.parametrize("name", FRONTS)
def test_the_first_request_after_a_restart_works(place: Place, name: str) -> None:
    """Every connection of the pool is dead, and none of them costs a request."""
    with visitors(place.url, name) as browsers:
        place.server.stop()
        place.server.start()
        each_works(browsers)


@contextmanager
def failover(kind: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield a URL whose server takes no more writes once the function was called."""
    with folder_of("a") as folder, ExitStack() as stack:
        (folder.parent / "b").mkdir()
        if kind == "postgresql":
            url, _ = stack.enter_context(servers.postgresql_server(folder))
            create_table(url)
            standby = servers.postgresql_standby(folder.parent / "b", url)
            first, then = stack.enter_context(standby), url
        else:
            first, _ = stack.enter_context(servers.mariadb_server(folder))
            then, _ = stack.enter_context(servers.mariadb_server(folder.parent / "b"))
            create_table(first)
            create_table(then)
        way = stack.enter_context(forwarder(urlsplit(first).port or 0))

        def demote() -> None:
            way.to = urlsplit(then).port or 0
            if kind == "mariadb":
                ask(first, "SET GLOBAL read_only = 1")

        yield re.sub(r":\d+/", f":{way.port}/", first), demote


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_was_demoted_costs_no_request(kind: str) -> None:
    """It refuses writes (25006, 1290): its connections are dropped, and a new one is asked."""
    with failover(kind) as (url, demote):
        for name in FRONTS:
            with front_at(url, name) as front:
                browsers = [front.browser() for _ in range(3)]
                for browser in browsers:
                    browser.ask(reads, headers=())
                    front.read("A" * 43)
                demote()
                for browser in browsers:
                    browser.ask(signs_in)
                    browser.ask(writes)
                    assert browser.ask(reads).json == 1


@pytest.mark.parametrize("name", FRONTS)
def test_a_server_that_stays_read_only_is_a_backend_error(place: Place, name: str) -> None:
    """A write is tried once more, on a new connection; reads go on."""
    scheme = urlsplit(place.url).scheme
    closed = {
        "postgresql": [
            "ALTER DATABASE postgres SET default_transaction_read_only = on",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle'",
        ],
        "mysql": ["SET GLOBAL read_only = 1"],
    }
    opened = {
        "postgresql": [
            "SET default_transaction_read_only = off",
            "ALTER DATABASE postgres RESET default_transaction_read_only",
        ],
        "mysql": ["SET GLOBAL read_only = 0"],
    }
    with front_at(place.url, name) as front:
        browser = front.browser()
        browser.ask(signs_in)
        ask(place.url, *closed[scheme])
        try:
            with pytest.raises(BackendError):
                browser.ask(writes)
            assert browser.ask(reads).json == 1
        finally:
            ask(place.url, *opened[scheme])
        browser.ask(writes)
        assert browser.ask(lambda session: session["n"]).json == 1


def busy(storage: KeyedStorage, seen: Counter[str], visits: int) -> None:
    """Make a session, and write to it; note what became of each visit."""
    session = storage.read(None)
    session["n"] = 0
    value = storage.save(session)
    for number in range(visits):
        try:
            session = storage.read(value)
            session["n"] = number
            storage.save(session)
            seen["ok"] += 1
        except BackendError as error:
            seen[repr(error.__cause__)] += 1


def test_a_pooler_of_transactions_works_with_an_option() -> None:
    """Behind it a prepared statement is not found again: `prepare=no` prepares none."""
    with folder_of("p") as folder, servers.postgresql_server(folder) as (url, _):
        create_table(url)
        behind = folder.parent / "b"
        behind.mkdir()
        with servers.pgbouncer(behind, url) as pooled:
            storage = storage_from_url(f"{pooled}?prepare=no")
            assert isinstance(storage, KeyedStorage)
            seen: Counter[str] = Counter()
            with ThreadPoolExecutor(8) as pool:
                for _ in range(8):
                    pool.submit(busy, storage, seen, 30)
            assert seen == {"ok": 240}
            storage.close()
            asyncio.run(busy_awaited(f"{pooled}?prepare=no"))


async def busy_awaited(url: str) -> None:
    """Let eight visitors write at once, each ten times."""
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    aio = storage.aio
    assert aio

    async def visit() -> None:
        session = await aio.read(None)
        session["n"] = 0
        value = await aio.save(session)
        for number in range(10):
            session = await aio.read(value)
            session["n"] = number
            await aio.save(session)

    await asyncio.gather(*(visit() for _ in range(8)))
    await aio.close()


def test_a_pooler_without_the_option_is_an_error_that_names_it() -> None:
    """The message says which option helps."""
    with folder_of("p") as folder, servers.postgresql_server(folder) as (url, _):
        create_table(url)
        behind = folder.parent / "b"
        behind.mkdir()
        with servers.pgbouncer(behind, url) as pooled:
            storage = storage_from_url(pooled)
            assert isinstance(storage, KeyedStorage)
            told: set[str] = set()
            with ThreadPoolExecutor(8) as pool:
                for _ in range(8):
                    pool.submit(until_refused, storage, told)
            assert all("prepare=no" in each for each in told)
            assert told
            storage.close()


def until_refused(storage: KeyedStorage, told: set[str]) -> None:
    """Visit until a visit fails; note what the error says."""
    try:
        for _ in range(1000):
            session = storage.read(None)
            session["n"] = 0
            storage.read(storage.save(session))
    except BackendError as error:
        told.add(str(error))


@pytest.fixture
def backend(place: Place, clock: Clock) -> Iterator[SqlBackend]:
    """A backend over a table of this test's own."""
    with plain_engine(place.url.partition("?")[0]) as engine:
        storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}", clock=clock)
        storage.create_table()
        yield storage.backend
        storage.backend._table.drop(engine)


SWAP = "swap"
CLAIM = "claim"
DELETE = "delete"


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
@pytest.mark.parametrize("call", [SWAP, CLAIM, DELETE])
def test_a_write_that_loses_a_deadlock_is_tried_again(
    place: Place, backend: SqlBackend, call: str
) -> None:
    """It changed nothing, and what it races with may be a transaction of the application."""
    table, key = backend._table.name, new_key()
    backend.swap("other", None, b"x", HOUR)
    if call != CLAIM:
        backend.swap(key, None, b"one", HOUR)
    stored = backend.get(key)
    engine = backend.engine
    with plain_engine(place.url.partition("?")[0]) as other, other.connect() as rival:
        # The rival holds the index of the deadlines, and has more to lose than one row.
        rival.exec_driver_sql(f"CREATE TABLE big_{table} (n int)")
        rows = ", ".join(f"({number})" for number in range(500))
        rival.exec_driver_sql(f"INSERT INTO big_{table} VALUES {rows}")
        rival.exec_driver_sql(
            f"SELECT `key` FROM {table} FORCE INDEX (ix_{table}_expires) "
            "WHERE expires > 0 LOCK IN SHARE MODE"
        )
        calls: dict[str, Callable[[], object]] = {
            SWAP: lambda: backend.swap(key, stored and stored.version, b"two", 2 * HOUR),
            CLAIM: lambda: backend.swap(key, None, b"two", 2 * HOUR),
            DELETE: lambda: backend.delete(key),
        }
        lost = deadlocks(place.url)
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(calls[call])
            waits = (
                "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            )
            wait_until(lambda: ask(place.url, waits) == [1])
            rival.exec_driver_sql(f"UPDATE {table} SET version = 1 WHERE `key` = '{key}'")
            if call == CLAIM:
                rival.exec_driver_sql(f"DELETE FROM {table} WHERE `key` = '{key}'")
            rival.rollback()
            assert done.result(30) is None
        rival.exec_driver_sql(f"DROP TABLE big_{table}")
    assert engine
    assert deadlocks(place.url) == lost + 1
    found = backend.get(key)
    assert (found and found.record) == (None if call == DELETE else b"two")


def deadlocks(url: str) -> int:
    (found,) = ask(
        url,
        "SELECT variable_value FROM information_schema.global_status "
        "WHERE variable_name = 'INNODB_DEADLOCKS'",
    )
    return int(str(found))


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
@pytest.mark.parametrize("handler", [writes, ends])
def test_a_write_that_loses_a_deadlock_of_postgresql_is_tried_again(
    place: Place, handler: Callable[[Session], None]
) -> None:
    """
    The application holds the row, and wants the whole table, as a migration does.

    The storage waits first, so it is the one that finds the deadlock after a second, and gives way.
    A storage from a URL waits for no row, and takes part in no deadlock.
    """
    bare = place.url.partition("?")[0]
    create_table(bare)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    lost = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with front_at(place.url, "wsgi-engine") as front, plain_engine(bare) as other:
        browser = front.browser()
        browser.ask(signs_in)
        (before,) = ask(place.url, lost)
        with other.connect() as rival, ThreadPoolExecutor(1) as pool:
            rival.exec_driver_sql("UPDATE coatcheck_sessions SET expires = expires")
            done = pool.submit(browser.ask, handler)
            wait_until(lambda: ask(place.url, waits) == [1])
            rival.exec_driver_sql("LOCK TABLE coatcheck_sessions")
            rival.rollback()
            assert done.result(30).status == 200
        wait_until(lambda: ask(place.url, lost) != [before])
        assert browser.ask(reads).json == (1 if handler is writes else None)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_write_that_cannot_be_serialized_is_tried_again(
    place: Place, backend: SqlBackend
) -> None:
    """Where the database's default is REPEATABLE READ; then it finds what the other one wrote."""
    table, key = backend._table.name, new_key()
    backend.swap(key, None, b"one", HOUR)
    stored = backend.get(key)
    assert stored
    ask(place.url, "ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read'")
    try:
        with plain_engine(place.url.partition("?")[0]) as strict, strict.connect() as rival:
            own = SqlBackend(strict, backend._table, clock=backend._clock)
            rival.exec_driver_sql(f"UPDATE {table} SET version = 1 WHERE key = '{key}'")
            with ThreadPoolExecutor(1) as pool:
                done = pool.submit(own.swap, key, stored.version, b"two", HOUR)
                waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                wait_until(lambda: ask(place.url, waits) == [1])
                rival.commit()
                refused = done.result(30)
    finally:
        ask(place.url, "ALTER DATABASE postgres RESET default_transaction_isolation")
    assert isinstance(refused, Refused)
    assert refused.stored
    assert refused.stored.version == 1


def test_sweepers_beside_visitors_cost_no_request(place: Place, clock: Clock) -> None:
    """Two sweepers work through what expired while eight visitors come and go: no error at all."""
    bare = place.url.partition("?")[0]
    with plain_engine(bare) as engine:
        storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}", clock=clock)
        storage.create_table()
        table = storage.backend._table
        rows = [
            {"key": new_key(), "record": b"x", "version": 1, "expires": clock.now - number / 100}
            for number in range(1500)
        ]
        with engine.begin() as connection:
            connection.execute(table.insert(), rows)
        seen: Counter[str] = Counter()
        swept: list[int] = []
        with ThreadPoolExecutor(10) as pool:
            for _ in range(2):
                pool.submit(sweep_all, storage, seen, swept)
            for _ in range(8):
                pool.submit(busy, storage, seen, 40)
        assert seen == {"ok": 320}
        assert sum(swept) == 1500
        table.drop(engine)


def sweep_all(storage: KeyedStorage, seen: Counter[str], swept: list[int]) -> None:
    """Sweep in small steps until nothing is left."""
    try:
        while removed := storage.sweep(50):
            swept.append(removed)
    except BackendError as error:
        seen[repr(error.__cause__)] += 1
