"""
The backend in a table of PostgreSQL, over connections of its own.

A read is one SELECT, a write one conditional UPDATE, a new session one INSERT, each in a commit of
its own. Several writes are one statement, which tells row by row which were done. The table is the
one of `SqlStorage`.

A row has a random version, new with every write. So a write whose answer was lost is recognized.
"""

from collections.abc import Sequence
from typing import Any

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Stored
from coatcheck.storage.backends.async_postgresql_pool import AsyncPostgresqlPool
from coatcheck.storage.backends.async_row_backend import SWEEP_TRIES, AsyncRowBackend, Write
from coatcheck.storage.backends.postgresql_statements import (
    BIGINT,
    BYTEA,
    DOUBLE,
    TEXT,
    Statements,
    array,
    array_of_equals,
    bigint,
    double,
    number,
)
from coatcheck.storage.backends.sql_codes import Lost, Rejected, Undone
from coatcheck.storage.backends.sql_rounds import deadline
from coatcheck.storage.clock import TimeSource


class AsyncPostgresqlBackend(AsyncRowBackend):
    """
    A row a record.

    Args:
        pool: Its connections.
        statements: The statements over its table.
        clock: Seconds since 1970.
    """

    def __init__(
        self, pool: AsyncPostgresqlPool, statements: Statements, *, clock: TimeSource
    ) -> None:
        super().__init__(pool, clock=clock)
        self._sql = statements

    async def get(self, key: str) -> Stored | None:
        values = (key.encode(), double(self._clock()))
        try:  # `_ask` would be one more coroutine to step through
            found = await self._pool.run("read", self._sql.get, values)
        except (Undone, Lost) as error:
            found = await self._again(error, "read", (self._sql.get, values))
        value = found.get_value
        return Stored(value(0, 0), number(value(0, 1))) if found.ntuples else None

    async def get_many(self, keys: Sequence[str]) -> dict[str, Stored]:
        values = (array(TEXT, [key.encode() for key in keys]), double(self._clock()))
        try:
            found = await self._ask("read", self._sql.get_many, values)
        except Rejected as error:
            raise AskAlone(error.server, error.doing) from error
        value = found.get_value
        return {
            value(row, 0).decode(): Stored(value(row, 1), number(value(row, 2)))
            for row in range(found.ntuples)
        }

    async def delete(self, key: str) -> None:
        await self._ask("delete", self._sql.delete, (key.encode(),))

    async def create_table(self) -> None:
        """Make the table and its index, if there is no table of that name."""
        doing = "create the table of"
        if await self._is_there(doing):
            return
        try:
            for statement in self._sql.create:
                await self._ask(doing, statement, ())
        except BackendError:
            if not await self._is_there(doing):  # else another process was faster
                raise

    async def _is_there(self, doing: str) -> bool:
        found = await self._ask(doing, self._sql.is_there, (self._sql.name,))
        return bool(found.get_value(0, 0) == b"\1")

    async def _put(self, write: Write) -> bool:
        swap, now = write.swap, self._clock()
        key, expires = swap.key.encode(), double(deadline(now, swap.ttl))
        row = (swap.record, bigint(write.version), expires)
        if swap.version is not None:
            was: Any = swap.version
            values: Any = (*row, key, bigint(was), double(now))
            return bool((await self._write(self._sql.replace, values)).command_tuples)
        values = (key, *row)
        if (await self._write(self._sql.claim, values)).command_tuples:
            return True
        if not (await self._write(self._sql.expel, (key, double(now)))).command_tuples:
            return False
        return bool((await self._write(self._sql.claim, values)).command_tuples)

    async def _put_many(self, writes: Sequence[Write]) -> set[str]:
        now, swaps = self._clock(), [write.swap for write in writes]
        versions: list[Any] = [swap.version for swap in swaps]
        was: Any = [None if version is None else bigint(version) for version in versions]
        values = (
            array(TEXT, [swap.key.encode() for swap in swaps]),
            array(BYTEA, [swap.record for swap in swaps]),
            array_of_equals(BIGINT, [bigint(write.version) for write in writes]),
            array(BIGINT, was) if None in was else array_of_equals(BIGINT, was),
            array_of_equals(DOUBLE, [double(deadline(now, swap.ttl)) for swap in swaps]),
            double(now),
        )
        statement = self._sql.swap_many if None in was else self._sql.replace_many
        found = await self._write(statement, values, tries=2)
        if found.ntuples == len(swaps):
            return {swap.key for swap in swaps}
        return {(found.get_value(row, 0) or b"").decode() for row in range(found.ntuples)}

    async def _sweep(self, limit: int) -> int:
        values = (double(self._clock()), bigint(limit))
        done = await self._ask("sweep", self._sql.sweep, values, tries=SWEEP_TRIES)
        return int(done.command_tuples)

    async def _count(self, limit: int) -> int:
        values = (double(self._clock()), bigint(limit))
        return number((await self._ask("sweep", self._sql.count, values)).get_value(0, 0))
