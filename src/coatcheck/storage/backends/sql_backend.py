"""
Written by scripts/twins from src/coatcheck/storage/backends/async_sql_backend.py: change that.

The backend in a table of an SQL database.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import randbits

from sqlalchemy import Connection, Engine, Executable, Table

from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.sql_table import (
    SWEEP_TRIES,
    Deadlock,
    Round,
    Statements,
    Taken,
    telling,
)
from coatcheck.storage.clock import Clock

VERSION_BITS = 63
"""A BIGINT that is not negative."""


class SqlBackend:
    """
    A row a record.

    Args:
        engine: Its pool and its timeouts are the application's.
        table: As `sessions_table` makes it.
        clock: Seconds since 1970.
    """

    def __init__(self, engine: Engine, table: Table, *, clock: Clock) -> None:
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._sql = Statements(table, engine.dialect.name)
        self._clock = clock
        self._round = Round()

    def get(self, key: str) -> Stored | None:
        asked = {"of": key, "now": self._clock()}
        with self._connected("read") as connection:
            found = connection.execute(self._sql.get, asked)
            row = found.first()
        return Stored(row.record, version=row.version) if row else None

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        now = self._clock()
        row = {"record": record, "version": randbits(VERSION_BITS), "expires": now + ttl}
        if version is None:
            done = self._claim({"key": key, **row}, now)
        else:
            where = {"of": key, "was": version, "now": now}
            done = bool(self._run("write", self._sql.replace, {**row, **where}))
        return None if done else Refused(self.get(key))

    def delete(self, key: str) -> None:
        self._run("delete", self._sql.delete, {"of": key})

    def sweep(self, limit: int = 1000) -> int:
        """
        Remove at most so many expired records, in the order of their deadlines; return how many.

        Several processes may do it at the same time.
        """
        now = {"now": self._clock()}
        if self._round.is_new:
            with self._connected("sweep") as connection:
                counted = connection.execute(self._sql.count, now)
                self._round.begin(counted.scalar_one())
        for tries_left in reversed(range(SWEEP_TRIES)):
            try:
                removed = self._run("sweep", self._sql.sweep(limit), now)
                break
            except Deadlock:
                if not tries_left:
                    raise
        self._round.note(removed, limit)
        return removed

    @property
    def swept(self) -> float:
        """The share of the round of sweeps that is done; 0 when it has come round."""
        return self._round.share

    def create_table(self) -> None:
        """Make the table and its index, if there is no table of that name."""
        with self._connected("create the table of") as connection:
            self._table.create(connection, checkfirst=True)

    def _claim(self, row: Mapping[str, object], now: float) -> bool:
        for _ in range(2):  # the second time if what was there had expired
            try:
                return bool(self._run("write", self._sql.claim, row))
            except Taken:
                if not self._run("write", self._sql.expel, {"of": row["key"], "now": now}):
                    break
        return False

    def _run(self, doing: str, statement: Executable, values: Mapping[str, object]) -> int:
        """Run one statement, and return how many rows it changed."""
        with self._connected(doing) as connection:
            done = connection.execute(statement, values)
            return done.rowcount

    @contextmanager
    def _connected(self, doing: str) -> Iterator[Connection]:
        with telling(self.engine, doing), self.engine.connect() as connection:
            yield connection
