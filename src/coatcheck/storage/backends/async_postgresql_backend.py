"""
The backend in a table of PostgreSQL, over connections of its own.

A read is one SELECT, a write one conditional UPDATE, a new session one INSERT, each in a commit of
its own. Several writes are one statement, which tells row by row which were done. The table is the
one of `SqlStorage`.

A row has a random version, new with every write. So a write whose answer was lost is recognized.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os import urandom
from random import uniform
from typing import Any

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Refused, Stored, Swap
from coatcheck.storage.backends.async_postgresql_pool import AsyncPostgresqlPool
from coatcheck.storage.backends.postgresql_statements import (
    BIGINT,
    BYTEA,
    DOUBLE,
    TEXT,
    Statement,
    Statements,
    array,
    bigint,
    double,
)
from coatcheck.storage.backends.sql_codes import Deadlock, Lost, Rejected, Undone
from coatcheck.storage.backends.sql_rounds import COUNTED, Round, deadline
from coatcheck.storage.clock import TimeSource

TRIES = 20
"""Deadlocks with other writers, or lost serializations, that one call may meet."""

SWEEP_TRIES = 5
"""The same for a sweep, which may be left to the next one."""

LONGEST_PAUSE = 0.02
"""Seconds between two tries, at the most."""


class AsyncPostgresqlBackend:
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
        self._pool = pool
        self._sql = statements
        self._clock = clock
        self._round = Round()

    async def get(self, key: str) -> Stored | None:
        values = (key.encode(), double(self._clock()))
        found = await self._ask("read", self._sql.get, values)
        value = found.get_value
        return Stored(value(0, 0), value(0, 1)) if found.ntuples else None

    async def get_many(self, keys: Sequence[str]) -> dict[str, Stored]:
        values = (array(TEXT, [key.encode() for key in keys]), double(self._clock()))
        try:
            found = await self._ask("read", self._sql.get_many, values)
        except Rejected as error:
            raise AskAlone(error.server, error.doing) from error
        value = found.get_value
        return {
            value(row, 0).decode(): Stored(value(row, 1), value(row, 2))
            for row in range(found.ntuples)
        }

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        write, lost = Write(Swap(key, version, record, ttl)), None
        try:
            if await self._put(write):
                return None
        except Lost as error:
            lost = error
        return await self._settle(write, lost)

    async def _settle(self, write: "Write", lost: Lost | None) -> Refused | None:
        """Find out why a write changed nothing; make it again if its row was held."""
        for pause in self._pauses():
            if lost and await self._put(write):
                return None
            answer = write.verdict(await self.get(write.swap.key), lost)
            if not isinstance(answer, AskAlone):
                return raised(answer)
            await asyncio.sleep(pause)
            if await self._put(write):
                return None
        raise BackendError(self._pool.place.name, "write", "another transaction holds the row")

    async def swap_many(self, swaps: Sequence[Swap]) -> Sequence[Refused | BackendError | None]:
        # Several statements that wait for each other's new rows do so in one order.
        writes = sorted(map(Write, swaps), key=lambda write: write.swap.key)
        lost = None
        try:
            done = await self._put_many(writes)
        except Lost as error:
            lost = error
            done = await self._put_many(writes)
        except Rejected as error:
            raise AskAlone(error.server, error.doing) from error
        left = [write for write in writes if write.swap.key not in done]
        if not left:
            return [None] * len(writes)
        there = await self.get_many([write.swap.key for write in left])
        answers = {write.swap.key: write.verdict(there.get(write.swap.key), lost) for write in left}
        return [answers.get(swap.key) for swap in swaps]

    async def delete(self, key: str) -> None:
        await self._ask("delete", self._sql.delete, (key.encode(),))

    async def sweep(self, limit: int = 1000) -> int:
        """
        Remove at most so many expired records, in the order of their deadlines; return how many.

        Several processes may do it at the same time.
        """
        now = double(self._clock())
        removed = await self._ask("sweep", self._sql.sweep, (now, bigint(limit)), tries=SWEEP_TRIES)
        count = removed.command_tuples or 0
        self._round.note(count, limit)
        if self._round.wants_count:
            with suppress(BackendError):  # the sweep is done, and only its progress is unknown
                most = bigint(COUNTED * limit)
                found = await self._ask("sweep", self._sql.count, (now, most))
                self._round.count(int.from_bytes(found.get_value(0, 0) or b""), limit)
        return count

    @property
    def swept(self) -> float:
        """The share of the round of sweeps that is done; 0 when it has come round."""
        return self._round.share

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

    async def _put(self, write: "Write") -> bool:
        """Write a row if the one there is still that version; tell whether it was."""
        swap, now = write.swap, self._clock()
        key, expires = swap.key.encode(), double(deadline(now, swap.ttl))
        row = (swap.record, write.version, expires)
        if swap.version is not None:
            values: Any = (*row, key, swap.version, double(now))
            return bool((await self._write(self._sql.replace, values)).command_tuples)
        values = (key, *row)
        if (await self._write(self._sql.claim, values)).command_tuples:
            return True
        if not (await self._write(self._sql.expel, (key, double(now)))).command_tuples:
            return False
        return bool((await self._write(self._sql.claim, values)).command_tuples)

    async def _put_many(self, writes: Sequence["Write"]) -> set[str]:
        """Write the rows that are still of their versions; return their keys."""
        now, swaps = self._clock(), [write.swap for write in writes]
        versions: list[Any] = [swap.version for swap in swaps]
        values = (
            array(TEXT, [swap.key.encode() for swap in swaps]),
            array(BYTEA, [swap.record for swap in swaps]),
            array(BIGINT, [write.version for write in writes]),
            array(BIGINT, versions),
            array(DOUBLE, [double(deadline(now, swap.ttl)) for swap in swaps]),
            double(now),
        )
        found = await self._write(self._sql.swap_many, values, tries=2)
        return {(found.get_value(row, 0) or b"").decode() for row in range(found.ntuples)}

    async def _ask(
        self, doing: str, statement: Statement, values: Sequence[bytes], *, tries: int = TRIES
    ) -> Any:
        """Run a statement that may be run twice; once more if its connection breaks."""
        try:
            return await self._pool.run(doing, statement, values)
        except (Undone, Lost) as error:
            return await self._again(error, doing, statement, values, tries)

    async def _write(
        self, statement: Statement, values: Sequence[bytes], tries: int = TRIES
    ) -> Any:
        """Run a statement; again if the database says that it did nothing."""
        try:
            return await self._pool.run("write", statement, values)
        except Undone as error:
            return await self._again(error, "write", statement, values, tries)

    async def _again(
        self,
        error: BackendError,
        doing: str,
        statement: Statement,
        values: Sequence[bytes],
        tries: int,
    ) -> Any:
        """Run a statement again that failed with *error*."""
        for tried in range(1, tries):
            if not isinstance(error, Deadlock):
                break  # the pool has dropped its connections
            await asyncio.sleep(some(LONGEST_PAUSE * (tried - 1) / tries))
            try:
                return await self._pool.run(doing, statement, values)
            except Undone as again:
                error = again
        else:
            raise error
        return await self._pool.run(doing, statement, values)

    def _pauses(self) -> Iterator[float]:
        """Yield pauses between tries, about as long as a call may take in all."""
        pause, until = 0.0, time.monotonic() + self._pool.place.timeout
        while time.monotonic() < until:
            yield some(pause)
            pause = min(LONGEST_PAUSE, pause * 2 or 0.001)


class Write:
    """A swap, and the version that its row gets."""

    __slots__ = ("swap", "version")

    def __init__(self, swap: Swap) -> None:
        self.swap = swap
        self.version = urandom(8)

    def verdict(self, there: Stored | None, lost: Lost | None) -> Refused | BackendError | None:
        """
        Return what became of a write that changed nothing, by what is there now.

        Args:
            lost: An earlier try, whose answer was lost: it may have been done.
        """
        was = self.swap.version
        if there and there.version == self.version:
            return None
        if there and there.version == was:
            return AskAlone("the database", "write", "another transaction holds the row")
        if lost:
            return lost  # another write may have come after ours, and its request built on it
        if there is None and was is None:
            return AskAlone("the database", "write", "another transaction holds the key")
        return Refused(there)


def raised(answer: Refused | BackendError | None) -> Refused | None:
    """Return an answer, or raise it if it is an error."""
    if isinstance(answer, BackendError):
        raise answer
    return answer


def some(longest: float) -> float:
    """Return a pause of up to so many seconds, so that writers do not keep in step."""
    return uniform(0, longest)  # noqa: S311 - keeps no secret
