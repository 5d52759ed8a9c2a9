"""
The backend in a table of MariaDB or MySQL, over connections of its own, awaited.

A read is one SELECT, a write one conditional UPDATE, a new session one INSERT. Several writes are
one packet, in one transaction: one UPDATE for all rows that are there, a SELECT that tells which of
them were written if not all were, and an INSERT for each new row. The table is the one of
`SqlStorage`.

`INSERT … ON DUPLICATE KEY UPDATE` is never used: it would bring a session back that was signed out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Stored
from coatcheck.storage.backends.async_mariadb_pool import AsyncMariadbConnection, AsyncMariadbPool
from coatcheck.storage.backends.async_row_backend import (
    SWEEP_TRIES,
    TRIES,
    AsyncRowBackend,
    Write,
    some,
)
from coatcheck.storage.backends.mariadb_statements import NewRow, Statements
from coatcheck.storage.backends.sql_codes import Held, Lost, Rejected, Taken, Undone
from coatcheck.storage.backends.sql_rounds import deadline
from coatcheck.storage.clock import TimeSource

_execute = AsyncMariadbConnection.execute
_execute_all = AsyncMariadbConnection.execute_all
_select = AsyncMariadbConnection.select


class AsyncMariadbBackend(AsyncRowBackend):
    """
    A row a record.

    Args:
        pool: Its connections.
        statements: The statements over its table.
        clock: Seconds since 1970.
    """

    def __init__(
        self, pool: AsyncMariadbPool, statements: Statements, *, clock: TimeSource
    ) -> None:
        super().__init__(pool, clock=clock)
        self._sql = statements

    async def get(self, key: str) -> Stored | None:
        what = _select, self._sql.get, (key, self._clock())
        try:  # _ask would be one more coroutine to step through
            rows = await self._pool.run("read", *what)
        except (Undone, Lost) as error:
            rows = await self._again(error, "read", what, TRIES)
        return Stored(*rows[0]) if rows else None

    async def get_many(self, keys: Sequence[str]) -> dict[str, Stored]:
        try:
            rows = await self._ask("read", _select, self._sql.get_many(keys, self._clock()))
        except Rejected as error:
            raise AskAlone(error.server, error.doing) from error
        return {key: Stored(record, version) for key, record, version in rows}

    async def delete(self, key: str) -> None:
        for pause in self._pauses():
            try:
                await self._ask("delete", _execute, self._sql.delete, (key,))
            except Held:
                await asyncio.sleep(some(pause))
            else:
                return
        raise BackendError(self._pool.place.name, "delete", "another transaction holds the row")

    async def create_table(self) -> None:
        """Make the table and its index, if there is no table of that name."""
        await self._ask("create the table of", _execute_all, [self._sql.create])

    async def _put(self, write: Write) -> bool:
        swap, now = write.swap, self._clock()
        row = (swap.record, write.version, deadline(now, swap.ttl))
        try:
            if swap.version is None:
                return await self._claim((swap.key, *row), now)
            values = (*row, swap.key, swap.version, now)
            done = await self._write(_execute, self._sql.replace, values)
        except Held:
            return False
        return bool(done.affected_rows)

    async def _claim(self, row: tuple[Any, ...], now: float) -> bool:
        for _ in range(2):  # the second time if what was there had expired
            try:
                await self._write(_execute, self._sql.claim, row)
            except Taken:
                done = await self._write(_execute, self._sql.expel, (row[0], now))
                if not done.affected_rows:
                    break
            else:
                return True
        return False

    async def _put_many(self, writes: Sequence[Write]) -> set[str]:
        now = self._clock()
        rows = [_row(write, now) for write in writes]
        old = [row for row in rows if row.was is not None]
        new = [row for row in rows if row.was is None]
        statements = [*self._sql.replace_many(old, now)] if old else []
        statements += map(self._sql.claim_one, new)
        results = await self._write(_in_transaction, statements, tries=2)
        replaced: set[str] = set()
        if old:
            (changed, found), results = results[:2], results[2:]
            is_all = changed == len(old)
            replaced = {row.key for row in old} if is_all else {key for (key,) in found}
        return replaced | {row.key for row, count in zip(new, results, strict=True) if count}

    async def _sweep(self, limit: int) -> int:
        statement = self._sql.sweep(self._clock(), limit)
        changed = await self._ask("sweep", _patiently, statement, tries=SWEEP_TRIES)
        return int(changed)

    async def _count(self, limit: int) -> int:
        ((count,),) = await self._ask("sweep", _select, self._sql.count(self._clock(), limit))
        return int(count)


def _row(write: Write, now: float) -> NewRow:
    swap = write.swap
    return NewRow(swap.key, swap.version, swap.record, write.version, deadline(now, swap.ttl))


async def _in_transaction(
    connection: AsyncMariadbConnection, statements: Sequence[str]
) -> list[Any]:
    """Run statements in one commit; if one fails, none of them has changed anything."""
    try:
        results = await connection.execute_all(["START TRANSACTION", *statements, "COMMIT"])
    except BaseException:
        connection.is_last = True  # its transaction may be open: it ends with the connection
        raise
    return results[1:-1]


async def _patiently(connection: AsyncMariadbConnection, statement: str) -> int:
    """Run a statement that waits for rows which others hold."""
    wait = "SET SESSION innodb_lock_wait_timeout = {}"
    try:
        results = await connection.execute_all([wait.format(2), statement, wait.format(0)])
    except BaseException:
        connection.is_last = True  # it would go on to wait
        raise
    changed: int = results[1]
    return changed
