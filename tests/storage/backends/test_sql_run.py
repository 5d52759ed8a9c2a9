"""One statement on a connection of an engine, in a commit of its own."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import OperationalError

from coatcheck.errors import BackendError
from coatcheck.storage import KeyedStorage, SqlStorage, storage_from_url
from coatcheck.storage.backends.sql_backend import SqlBackend
from coatcheck.storage.backends.sql_codes import Deadlock, Lost
from coatcheck.testing.backend_contract import HOUR, new_key
from tests.engines import plain_engine


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with plain_engine(f"sqlite:///{tmp_path / 'db'}") as engine:
        yield engine


def backend_over(engine: Engine) -> SqlBackend:
    storage = SqlStorage(engine)
    storage.create_table()
    return storage.backend


def written_twice(backend: SqlBackend) -> bytes:
    """Write a record, and change it; return what is there then."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    stored = backend.get(key)
    assert stored
    backend.swap(key, stored.version, b"two", HOUR)
    found = backend.get(key)
    assert found
    return found.record


def test_a_write_is_kept_where_events_begin_the_transactions(sqlite: Engine) -> None:
    """As SQLAlchemy's documentation has it for transactions of SQLite that isolate."""

    @event.listens_for(sqlite, "connect")
    def begin_nothing(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(sqlite, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    assert written_twice(backend_over(sqlite)) == b"two"
    with sqlite.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        assert driver.isolation_level is None  # a storage leaves it as it was


def test_a_connection_is_as_the_application_left_it(sqlite: Engine) -> None:
    """Nothing of it is switched for a statement of a storage and back."""
    backend = backend_over(sqlite)
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    with sqlite.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        traced: list[str] = []
        driver.set_trace_callback(traced.append)
    backend.get(key)
    driver.set_trace_callback(None)
    assert [line.split(maxsplit=1)[0] for line in traced] == ["SELECT"]


@contextmanager
def asked_of_pymysql(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield a list that grows with each round trip of PyMySQL."""
    from pymysql.connections import Connection

    asked: list[str] = []
    execute = Connection._execute_command

    def note(connection: Any, command: int, sql: str | bytes) -> None:
        shown = sql.decode(errors="replace") if isinstance(sql, bytes) else sql
        asked.append(shown.split(maxsplit=1)[0])
        execute(connection, command, sql)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_execute_command", note)
        yield asked


IS_OLDER = not hasattr(DefaultDialect, "detect_autocommit_setting")
"""SQLAlchemy before 2.0.43: it does not tell what is in autocommit, and always rolls back."""

AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}

COMMIT = ["COMMIT"] if IS_OLDER else []


@pytest.mark.parametrize(
    ("options", "reads", "writes"),
    [
        ({}, ["SELECT", "ROLLBACK"], ["UPDATE", "COMMIT", "ROLLBACK"]),
        (AUTOCOMMIT, ["SELECT", "ROLLBACK"], ["UPDATE", *COMMIT, "ROLLBACK"]),
        pytest.param(
            AUTOCOMMIT | {"skip_autocommit_rollback": True},
            ["SELECT"],
            ["UPDATE"],
            marks=pytest.mark.skipif(IS_OLDER, reason="is an option since SQLAlchemy 2.0.43"),
        ),
    ],
)
def test_mariadb_is_asked_no_more_than_sqlalchemy_asks(
    mariadb_url: str,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    reads: list[str],
    writes: list[str],
) -> None:
    """No autocommit is switched on and off, and nothing is committed that is in autocommit."""
    engine = create_engine(mariadb_url.replace("mysql:", "mysql+pymysql:"), **options)
    backend = backend_over(engine)
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    with asked_of_pymysql(monkeypatch) as asked:
        stored = backend.get(key)
        assert stored
        assert asked == reads
        asked.clear()
        assert backend.swap(key, stored.version, b"two", HOUR) is None
        assert asked == writes
    engine.dispose()


def test_a_url_from_threads_asks_mariadb_once(
    mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine is in autocommit, and nothing is rolled back if SQLAlchemy can leave that out."""
    storage = storage_from_url(f"{mariadb_url}?create_table=yes")
    assert isinstance(storage, KeyedStorage)
    storage.backend.get(new_key())
    with asked_of_pymysql(monkeypatch) as asked:
        assert storage.backend.get(new_key()) is None
    assert asked == (["SELECT", "ROLLBACK"] if IS_OLDER else ["SELECT"])
    storage.close()


def failing(error: Callable[[], Exception]) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error()

    return fail


class Broken(sqlite3.OperationalError):
    """An error of a driver, with a code."""

    sqlstate: str | None = None


@pytest.mark.parametrize(("sqlstate", "kind"), [("08006", Lost), ("40001", Deadlock)])
def test_a_commit_that_fails_is_a_write_that_fails(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch, sqlstate: str, kind: type[BackendError]
) -> None:
    """Lost on the way it may be done; not serialized it is tried again."""
    backend = backend_over(sqlite)
    key = new_key()

    def error() -> Exception:
        raised = Broken("gone")
        raised.sqlstate = sqlstate
        return raised

    monkeypatch.setattr(sqlite.dialect, "do_commit", failing(error))
    monkeypatch.setattr(sqlite.dialect, "is_disconnect", lambda *_: sqlstate == "08006")
    with pytest.raises(kind) as raised:
        backend._run("write", backend._sql.delete, {"of": key})
    assert isinstance(raised.value.__cause__, OperationalError)
    assert raised.value.__cause__.statement == "COMMIT"


def test_a_transaction_of_the_application_is_not_committed(sqlite: Engine) -> None:
    """A session has a connection of its own."""
    backend = backend_over(sqlite)
    with sqlite.connect() as connection:
        connection.execute(text("CREATE TABLE theirs (n int)"))
        connection.commit()
        connection.execute(text("SELECT 1"))
        assert written_twice(backend) == b"two"
        connection.execute(text("INSERT INTO theirs VALUES (1)"))
        connection.rollback()
        assert connection.execute(text("SELECT count(*) FROM theirs")).scalar_one() == 0
