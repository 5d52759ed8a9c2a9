"""The backend in a table of an SQL database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from secrets import randbits

from sqlalchemy import Executable, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

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


class AsyncSqlBackend:
    """
    A row a record.

    Args:
        engine: Its pool and its timeouts are the application's.
        table: As `sessions_table` makes it.
        clock: Seconds since 1970.
    """

    def __init__(self, engine: AsyncEngine, table: Table, *, clock: Clock) -> None:
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._sql = Statements(table, engine.dialect.name)
        self._clock = clock
        self._round = Round()

    async def get(self, key: str) -> Stored | None:
        asked = {"of": key, "now": self._clock()}
        async with self._connected("read") as connection:
            found = await connection.execute(self._sql.get, asked)
            row = found.first()
        return Stored(row.record, version=row.version) if row else None

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        now = self._clock()
        row = {"record": record, "version": randbits(VERSION_BITS), "expires": now + ttl}
        if version is None:
            done = await self._claim({"key": key, **row}, now)
        else:
            where = {"of": key, "was": version, "now": now}
            done = bool(await self._run("write", self._sql.replace, {**row, **where}))
        return None if done else Refused(await self.get(key))

    async def delete(self, key: str) -> None:
        await self._run("delete", self._sql.delete, {"of": key})

    async def sweep(self, limit: int = 1000) -> int:
        """
        Remove at most so many expired records, in the order of their deadlines; return how many.

        Several processes may do it at the same time.
        """
        now = {"now": self._clock()}
        if self._round.is_new:
            async with self._connected("sweep") as connection:
                counted = await connection.execute(self._sql.count, now)
                self._round.begin(counted.scalar_one())
        for tries_left in reversed(range(SWEEP_TRIES)):
            try:
                removed = await self._run("sweep", self._sql.sweep(limit), now)
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

    async def create_table(self) -> None:
        """Make the table and its index, if there is no table of that name."""
        async with self._connected("create the table of") as connection:
            await connection.run_sync(self._table.create, checkfirst=True)

    async def _claim(self, row: Mapping[str, object], now: float) -> bool:
        for _ in range(2):  # the second time if what was there had expired
            try:
                return bool(await self._run("write", self._sql.claim, row))
            except Taken:
                if not await self._run("write", self._sql.expel, {"of": row["key"], "now": now}):
                    break
        return False

    async def _run(self, doing: str, statement: Executable, values: Mapping[str, object]) -> int:
        """Run one statement, and return how many rows it changed."""
        async with self._connected(doing) as connection:
            done = await connection.execute(statement, values)
            return done.rowcount

    @asynccontextmanager
    async def _connected(self, doing: str) -> AsyncIterator[AsyncConnection]:
        with telling(self.engine, doing):
            async with self.engine.connect() as connection:
                yield connection
