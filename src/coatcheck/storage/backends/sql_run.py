"""
One statement on a connection of an engine, in a commit of its own.

Each further command on the connection takes as long as the statement. Autocommit, switched on and
off, is two further calls on MariaDB and SQLite, so a write is one transaction there. On other
databases AUTOCOMMIT is shorter: PostgreSQL's drivers would send a BEGIN.

SQLite's drivers begin a transaction in several ways, some of them by events of the application, and
autocommit would not end those.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Executable, Row, Table
from sqlalchemy.exc import DBAPIError

from coatcheck.storage.backends.sql_errors import telling

_MYSQL = frozenset({"mysql", "mariadb"})

_IN_TRANSACTION = _MYSQL | {"sqlite"}
"""SQLAlchemy's names of the databases whose connections are not switched to autocommit."""


class SqlResult(NamedTuple):
    """The number of rows that a statement changed, and the rows that it found."""

    changed: int
    rows: Sequence[Row[Any]]

    @property
    def row(self) -> Row[Any] | None:
        """The first row."""
        return self.rows[0] if self.rows else None


@contextmanager
def connected(engine: Engine, doing: str) -> Iterator[Connection]:
    """Yield a connection; what goes wrong is a `BackendError`."""
    with telling(engine, doing), engine.connect() as connection:
        if engine.dialect.name not in _IN_TRANSACTION:
            # As an option of the engine it would be an event, and then each step asks for events.
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield connection


def run(engine: Engine, doing: str, statement: Executable, values: Any) -> SqlResult:
    """Run one statement to its end."""
    with connected(engine, doing) as connection:
        done = connection.execute(statement, values)
        if done.returns_rows:
            return SqlResult(0, done.all())
        _commit(connection)
        return SqlResult(done.rowcount, ())


def create(engine: Engine, table: Table) -> None:
    """Make a table and its index, if there is no table of that name."""
    with connected(engine, "create the table of") as connection:
        table.create(connection, checkfirst=True)
        _commit(connection)


def _commit(connection: Connection) -> None:
    dialect = connection.dialect
    if dialect.name in _MYSQL and _is_in_autocommit(connection):
        return  # the driver would send a COMMIT all the same
    try:
        connection.commit()
    except DBAPIError as error:
        error.statement = "COMMIT"  # so it is not taken for an attempt to connect
        raise


def _is_in_autocommit(connection: Connection) -> bool:
    detect = getattr(connection.dialect, "detect_autocommit_setting", None)  # since 2.0.43
    return bool(detect and detect(connection.connection.dbapi_connection))
