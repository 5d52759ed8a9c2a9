"""Errors of a database: what kind they are, and that they show no value."""

import asyncio
import traceback
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, StatementError

from coatcheck import BackendError
from coatcheck.storage import SqlStorage, sessions_table
from coatcheck.storage.backends.async_sql_backend import AsyncSqlBackend
from coatcheck.storage.backends.sql_backend import SqlBackend
from coatcheck.storage.backends.sql_codes import Deadlock, Demoted, Lost, Taken
from coatcheck.storage.backends.sql_errors import telling
from coatcheck.storage.backends.sql_run import connected
from coatcheck.storage.clock import system_clock
from coatcheck.testing.backend_contract import new_key
from tests.engines import async_engine, engine_in_memory, plain_engine

VALUE = b"pin-4711"

ROW = {"record": VALUE, "version": 1, "expires": 4e9}


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'db'}"
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with plain_engine(url) as opened:
        yield opened


@pytest.fixture
def backend(engine: Engine) -> Iterator[SqlBackend]:
    """A backend over a table of this test's own, and over an engine of the application."""
    storage = SqlStorage(engine, table=f"test_{uuid4().hex[:8]}")
    storage.create_table()
    yield storage.backend
    storage.backend._table.drop(engine, checkfirst=True)


def tell(engine: Engine, *commands: str) -> None:
    with engine.begin() as connection:
        for command in commands:
            connection.exec_driver_sql(command)


def shown(error: BaseException | None) -> str:
    """Return all that a log or a reporter may show of an error and of its causes."""
    parts: list[str] = []
    while error:
        parts += traceback.format_exception(error, chain=False)
        parts += [repr(error), repr(error.args), repr(vars(error)), str(getattr(error, "orig", ""))]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "site-packages" in frame.f_code.co_filename:  # of SQLAlchemy and the driver
                parts.append(repr(frame.f_locals))
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def check_nothing_shown(error: BaseException, key: str) -> None:
    text = shown(error)
    for secret in (VALUE.decode(), VALUE.hex(), key):
        assert secret not in text


def refuse_by_missing_table(engine: Engine, table: str) -> None:
    tell(engine, f"DROP TABLE {table}")


def refuse_by_constraint(engine: Engine, table: str) -> None:
    if engine.dialect.name == "sqlite":
        refusal = f"CREATE UNIQUE INDEX one_{table} ON {table} ((1))"
        tell(engine, f"INSERT INTO {table} VALUES ('k', 'r', 1, 1)", refusal)
    else:
        tell(engine, f"ALTER TABLE {table} ADD CHECK (expires < 10)")


def refuse_by_trigger(engine: Engine, table: str) -> None:
    if engine.dialect.name == "postgresql":
        tell(
            engine,
            f"CREATE FUNCTION f_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'no %% of %%', encode(NEW.record, 'escape'), NEW.key; END $$",
            f"CREATE TRIGGER t_{table} BEFORE INSERT OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION f_{table}()",
        )
    elif engine.dialect.name == "mysql":
        raising = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = @told"
        tell(
            engine,
            f"CREATE TRIGGER t_{table} BEFORE INSERT ON {table} FOR EACH ROW BEGIN "
            f"SET @told = CONCAT('no ', NEW.record, ' of ', LEFT(NEW.key, 60)); {raising}; END",
        )
    else:
        tell(
            engine,
            f"CREATE TRIGGER t_{table} BEFORE INSERT ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'no such'); END",
        )


def refuse_by_type(engine: Engine, table: str) -> None:
    tell(engine, f"DROP TABLE {table}")
    kind = "varbinary(4)" if engine.dialect.name == "mysql" else "date"
    tell(engine, f"CREATE TABLE {table} (key1 int)") if engine.dialect.name == "sqlite" else tell(
        engine,
        f"CREATE TABLE {table} ({'`key`' if kind != 'date' else 'key'} varchar(200) primary key, "
        f"record {kind}, version bigint, expires double precision)",
    )


REFUSALS = [
    refuse_by_missing_table,
    refuse_by_constraint,
    refuse_by_trigger,
    refuse_by_type,
]


@pytest.mark.parametrize("refuse", REFUSALS)
def test_an_error_shows_no_value_of_the_statement(
    refuse: Any, backend: SqlBackend, engine: Engine
) -> None:
    """Neither SQLAlchemy's parameters nor what the server quotes; the class and the code stay."""
    refuse(engine, backend._table.name)
    key = new_key()
    with pytest.raises(BackendError) as raised:
        backend._run("write", backend._sql.claim, {"key": key, **ROW})
    check_nothing_shown(raised.value, key)


@pytest.mark.parametrize("refuse", REFUSALS)
def test_an_awaited_error_shows_none_either(
    refuse: Any, backend: SqlBackend, engine: Engine, url: str
) -> None:
    """The same over asyncio engines, whose drivers wrap their errors once more."""
    table, key = backend._table.name, new_key()
    refuse(engine, table)

    async def scenario() -> BaseException:
        waiting = async_engine(url)
        made = AsyncSqlBackend(waiting, sessions_table(MetaData(), table), clock=system_clock)
        try:
            await made._run("write", made._sql.claim, {"key": key, **ROW})
        except BackendError as error:
            return error
        finally:
            await waiting.dispose()
        pytest.fail("the write was not refused")

    check_nothing_shown(asyncio.run(scenario()), key)


def test_the_cause_says_what_is_wrong(backend: SqlBackend, engine: Engine) -> None:
    """The statement, the class, the code and the message of an error that quotes nothing stay."""
    refuse_by_missing_table(engine, backend._table.name)
    with pytest.raises(BackendError) as raised:
        backend.get(new_key())
    cause = raised.value.__cause__
    assert isinstance(cause, StatementError)
    assert backend._table.name in str(cause.orig)
    assert "SELECT" in str(cause)
    assert cause.params is None
    if engine.dialect.name == "postgresql":
        assert getattr(cause.orig, "sqlstate", None) == "42P01"


def test_a_key_that_is_taken_is_not_told(backend: SqlBackend) -> None:
    """PostgreSQL and MariaDB quote it in the error of the INSERT."""
    key = new_key()
    row = {"key": key, **ROW}
    backend._run("write", backend._sql.claim, row)
    with pytest.raises(Taken) as raised:
        backend._run("write", backend._sql.claim, row)
    check_nothing_shown(raised.value, key)
    assert isinstance(raised.value.__cause__, IntegrityError)


def test_an_error_frees_what_its_frames_held() -> None:
    """
    A cursor that is freed later can stop an event loop: with SQLAlchemy before 2.0.44, on SQLite.

    Its connection may wait for a lock by then, in a thread, and the lock's holder for the loop.
    """

    class Cursor:
        """What a driver keeps in a frame."""

    cursors: list[weakref.ref[Cursor]] = []

    def execute() -> None:
        cursor = Cursor()
        cursors.append(weakref.ref(cursor))
        raise ValueError("UNIQUE constraint failed")

    def wrap(error: ValueError) -> NoReturn:
        raise IntegrityError("INSERT", {}, error) from error

    def insert() -> None:
        try:
            execute()
        except ValueError as error:
            wrap(error)

    engine = engine_in_memory()
    with pytest.raises(Taken) as raised, connected(engine, "write"):
        insert()
    assert raised.value and cursors and cursors[0]() is None


def test_the_engine_of_the_application_shows_what_it_always_did(engine: Engine) -> None:
    """hide_parameters is the application's choice, for its own statements."""
    with engine.connect() as connection, pytest.raises(Exception, match="own-value"):
        connection.execute(text("SELECT x FROM nowhere WHERE y = :z"), {"z": "own-value"})


class Raised(Exception):
    """An error of a driver."""

    def __init__(self, *args: object, sqlstate: str | None = None) -> None:
        super().__init__(*args)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (Raised("x", sqlstate="40P01"), Deadlock),
        (Raised("x", sqlstate="40001"), Deadlock),
        (Raised(1213, "x"), Deadlock),
        (Raised(1020, "x"), Deadlock),
        (Raised("x", sqlstate="25006"), Demoted),
        (Raised(1290, "x"), Demoted),
        (Raised("x", sqlstate="53100"), BackendError),
    ],
)
def test_the_code_tells_what_can_be_done(engine: Engine, cause: Exception, kind: type) -> None:
    """Try it again, try it on a new connection, or give up."""
    with pytest.raises(BackendError) as raised, telling(engine, "write"):
        raise OperationalError("UPDATE", {"a": 1}, cause)
    assert type(raised.value) is kind


def test_a_broken_connection_is_told_from_a_timeout(engine: Engine) -> None:
    """After a timeout another try would wait as long again."""
    for cause, kind in ((Raised("gone"), Lost), (Raised("it timed out"), BackendError)):
        with pytest.raises(BackendError) as raised, telling(engine, "write"):
            raise OperationalError("UPDATE", {}, cause, connection_invalidated=True)
        assert type(raised.value) is kind


@pytest.mark.parametrize(
    "error",
    [
        DataError("INSERT", {"a": VALUE}, Raised(f"wrong: {VALUE!r}")),
        OperationalError("INSERT", {"a": VALUE}, Raised(1064, f"near '{VALUE!r}' at line 1")),
        OperationalError("INSERT", {"a": VALUE}, Raised(f"{VALUE!r}", sqlstate="P0001")),
        StatementError("cannot adapt", "INSERT", {"a": VALUE}, ValueError(f"{VALUE!r}")),
        OperationalError("INSERT", {"a": VALUE}, Raised(f"full\nDETAIL: {VALUE!r}")),
    ],
)
def test_messages_that_may_quote_a_value_are_withheld(engine: Engine, error: Exception) -> None:
    """Wrong data, syntax, triggers, what no driver raised, and the details of any message."""
    with pytest.raises(BackendError) as raised, telling(engine, "write"):
        raise error
    check_nothing_shown(raised.value, "no key")


def test_a_class_of_a_driver_that_takes_other_arguments_is_shown_too(engine: Engine) -> None:
    """Its text stands in a plain exception then."""

    class Strange(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(one + two)

    with pytest.raises(BackendError) as raised, telling(engine, "write"):
        raise OperationalError("UPDATE", {}, Strange("the disk is full", ""))
    assert "the disk is full" in str(raised.value.__cause__)


def test_a_pooler_that_mixes_statements_up_is_named(engine: Engine) -> None:
    """The error says which option helps."""
    with (
        pytest.raises(BackendError, match="prepare=no"),
        suppress(ValueError),
        telling(engine, "read"),
    ):
        raise OperationalError("SELECT", {}, Raised("x", sqlstate="26000"))
