"""
The table of sessions in an SQL database, and the statements over it.

    key         the primary key
    record      the session
    version     random, new with every write
    expires     seconds since 1970; indexed, so that a sweep finds what expired

What differs between databases is said here, and nowhere else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Executable,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from coatcheck.errors import BackendError

LONGEST_KEY = 200


SWEEP_TRIES = 5
"""Deadlocks with other sweeps that one sweep may lose."""

_DEADLOCKS = {"40P01", 1213, 1020}
"""How PostgreSQL and MariaDB say that somebody else was let through, and nothing was done."""


class Taken(BackendError):
    """There is a row with this key."""


class Deadlock(BackendError):
    """Another statement was let through, and this one changed nothing: it may be tried again."""


def table_of(metadata: MetaData, name: str) -> Table:
    """Return the table of sessions, as part of *metadata*."""
    # MySQL and MariaDB compare text without regard to case, and their plain BLOB ends at 64 kB.
    key = String(LONGEST_KEY).with_variant(
        mysql.VARCHAR(LONGEST_KEY, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )
    record = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    return Table(
        name,
        metadata,
        Column("key", key, primary_key=True),
        Column("record", record, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("expires", Double, nullable=False, index=True),
    )


class Statements:
    """
    Every statement over a table of sessions.

    Args:
        dialect: SQLAlchemy's name of the database.
    """

    def __init__(self, table: Table, dialect: str) -> None:
        rows: Any = table.c
        new: Any = {name: bindparam(name) for name in ("record", "version", "expires")}
        this, living = rows.key == bindparam("of"), rows.expires > bindparam("now")
        self._table, self._dialect = table, dialect
        self._spent = rows.expires <= bindparam("now")
        self.get = select(rows.record, rows.version).where(this, living)
        self.claim = insert(table).values(key=bindparam("key"), **new)
        self.expel = delete(table).where(this, self._spent)
        self.replace = (
            update(table).where(this, rows.version == bindparam("was"), living).values(**new)
        )
        self.delete = delete(table).where(this)
        self.count = select(func.count()).select_from(table).where(self._spent)

    def sweep(self, limit: int) -> Executable:
        """Return the statement that removes so many expired rows; several may run at once."""
        rows = self._table.c
        if self._dialect in ("mysql", "mariadb"):
            # It can neither limit a subquery nor order a DELETE through SQLAlchemy.
            table = mysql.dialect().identifier_preparer.format_table(self._table)
            return text(
                f"DELETE FROM {table} WHERE expires <= :now ORDER BY expires LIMIT {limit:d}"  # noqa: S608 - names of our own
            )
        spent = select(rows.key).where(self._spent).order_by(rows.expires).limit(limit)
        return delete(self._table).where(rows.key.in_(spent.with_for_update(skip_locked=True)))


class Round:
    """How far a round of sweeps is: the expired are counted once, when it begins."""

    def __init__(self) -> None:
        self._expected = self._removed = 0

    @property
    def is_new(self) -> bool:
        return self._removed == 0

    @property
    def share(self) -> float:
        """What is done, from 0 to 1; 0 when the round is over."""
        return min(self._removed / self._expected, 1.0) if self._expected else 0.0

    def begin(self, expected: int) -> None:
        self._expected = expected

    def note(self, removed: int, limit: int) -> None:
        """Note that a sweep was done; one that found less than it was allowed to ends the round."""
        if removed < limit:
            self._expected = self._removed = 0
        else:
            self._removed += removed


@contextmanager
def telling(engine: Any, doing: str) -> Iterator[None]:
    """Raise what goes wrong in the block as a `BackendError` that holds no password."""
    try:
        yield
    except IntegrityError as error:
        raise Taken(_server(engine), doing) from error
    except (SQLAlchemyError, OSError) as error:
        kind = Deadlock if _is_deadlock(error) else BackendError
        raise kind(_server(engine), doing) from error


def _is_deadlock(error: Exception) -> bool:
    cause = getattr(error, "orig", None)
    codes = {getattr(cause, "sqlstate", None), *getattr(cause, "args", ())[:1]}
    return not codes.isdisjoint(_DEADLOCKS)


def _server(engine: Any) -> str:
    url = engine.url
    place = f"{url.host}:{url.port}" if url.port else url.host or url.database or "memory"
    return f"{engine.dialect.name} at {place}"
