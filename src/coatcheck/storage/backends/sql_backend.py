"""
Written by scripts/twins from src/coatcheck/storage/backends/async_sql_backend.py: change that.

The backend in a table of an SQL database.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import uniform
from secrets import randbits

from sqlalchemy import Engine, Executable, Table

from coatcheck.errors import BackendError
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.sql_codes import Deadlock, Demoted, Lost, Stale, Taken
from coatcheck.storage.backends.sql_pool import OURS, watch
from coatcheck.storage.backends.sql_rounds import COUNTED, Round, deadline
from coatcheck.storage.backends.sql_run import SqlResult, create, run
from coatcheck.storage.backends.sql_table import Statements
from coatcheck.storage.backends.uncancelled import uncancelled
from coatcheck.storage.clock import TimeSource

VERSION_BITS = 63
"""A BIGINT that is not negative."""

TRIES = 20
"""Deadlocks with other writers, or lost serializations, that one read or write may meet."""

SWEEP_TRIES = 5
"""The same for a sweep, which may be left to the next one."""

LONGEST_PAUSE = 0.02
"""Seconds between two tries after a deadlock, at the most."""


TOGETHER = 2000
"""Keys that one statement reads: some databases take no more values."""


class SqlBackend:
    """
    A row a record.

    Args:
        engine: Its pool and its timeouts are the application's.
        table: As `sessions_table` makes it.
        clock: Seconds since 1970.
    """

    def __init__(self, engine: Engine, table: Table, *, clock: TimeSource) -> None:
        self._pool = watch(engine)
        self.engine = engine.execution_options(**{OURS: True})
        self._table = table
        self._sql = Statements(table, engine.dialect.name)
        self._clock = clock
        self._round = Round()

    def get(self, key: str) -> Stored | None:
        asked = {"of": key, "now": self._clock()}
        row = (self._ask("read", self._sql.get, asked)).row
        return Stored(row.record, version=row.version) if row else None

    def get_many(self, keys: Sequence[str]) -> dict[str, Stored]:
        now, found = self._clock(), {}
        for first in range(0, len(keys), TOGETHER):
            asked = {"among": keys[first : first + TOGETHER], "now": now}
            for row in (self._ask("read", self._sql.get_many, asked)).rows:
                found[row.key] = Stored(row.record, version=row.version)
        return found

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        now = self._clock()
        row = {
            "record": record,
            "version": randbits(VERSION_BITS),
            "expires": deadline(now, ttl),
        }
        try:
            done = self._put(key, version, row, now)
        except Lost as lost:
            return self._put_again(key, version, row, now, lost)
        return None if done else Refused(self.get(key))

    def delete(self, key: str) -> None:
        self._ask("delete", self._sql.delete, {"of": key})

    def sweep(self, limit: int = 1000) -> int:
        """
        Remove at most so many expired records, in the order of their deadlines; return how many.

        Several processes may do it at the same time.
        """
        now = {"now": self._clock()}
        answer = self._ask("sweep", self._sql.sweep(limit), now, tries=SWEEP_TRIES)
        self._round.note(answer.changed, limit)
        if self._round.wants_count:
            with suppress(BackendError):  # the sweep is done, and only its progress is unknown
                counted = self._ask("sweep", self._sql.count(COUNTED * limit), now)
                self._round.count(counted.row[0] if counted.row else 0, limit)
        return answer.changed

    @property
    def swept(self) -> float:
        """The share of the round of sweeps that is done; 0 when it has come round."""
        return self._round.share

    def create_table(self) -> None:
        """Make the table and its index, if there is no table of that name."""
        uncancelled(create, self.engine, self._table)

    def _put(self, key: str, version: object, row: Mapping[str, object], now: float) -> bool:
        """Write a row if the one there is still that version; tell whether it was."""
        if version is None:
            return self._claim({"key": key, **row}, now)
        where = {"of": key, "was": version, "now": now}
        return bool((self._write(self._sql.replace, {**row, **where})).changed)

    def _put_again(
        self, key: str, version: object, row: Mapping[str, object], now: float, lost: Lost
    ) -> Refused | None:
        """Write a row that may have been written before the connection broke."""
        if self._put(key, version, row, now):
            return None
        found = self.get(key)
        if found and found.version == row["version"]:
            return None
        raise lost  # another write may have come after ours, and its request built on it

    def _claim(self, row: Mapping[str, object], now: float) -> bool:
        for _ in range(2):  # the second time if what was there had expired
            try:
                return bool((self._write(self._sql.claim, row)).changed)
            except Taken:
                expired = {"of": row["key"], "now": now}
                if not (self._write(self._sql.expel, expired)).changed:
                    break
        return False

    def _ask(
        self,
        doing: str,
        statement: Executable,
        values: Mapping[str, object],
        *,
        tries: int = TRIES,
    ) -> SqlResult:
        """Run a statement that may be run twice; once more if its connection breaks."""
        try:
            return self._write(statement, values, doing=doing, tries=tries)
        except Lost:
            return self._write(statement, values, doing=doing, tries=tries)

    def _write(
        self,
        statement: Executable,
        values: Mapping[str, object],
        *,
        doing: str = "write",
        tries: int = TRIES,
    ) -> SqlResult:
        """Run a statement; again if the database says that it did nothing."""
        for tried in range(1, tries):
            try:
                return self._run(doing, statement, values)
            except Deadlock:
                longest = LONGEST_PAUSE * (tried - 1) / tries
                time.sleep(uniform(0, longest))  # noqa: S311 - keeps no secret
            except Stale:
                self._pool.drop()
                break
            except Demoted:
                break  # SQLAlchemy was told to drop the pool
        return self._run(doing, statement, values)

    def _run(self, doing: str, statement: Executable, values: Mapping[str, object]) -> SqlResult:
        """Run one statement, to its end."""
        return uncancelled(run, self.engine, doing, statement, values)
