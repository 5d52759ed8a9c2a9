"""
The common part of the backends over a database's own driver: recognized and retried writes.

Each row has a random version, new with every write. A write that changed nothing looks at what is
there: its own version means that it was done, though its answer was lost; the version that it was
to replace means that another transaction holds the row, and the write is made again a little later,
on whichever connection is free then.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from os import urandom
from random import uniform
from typing import Any, Protocol

from coatcheck.errors import BackendError
from coatcheck.storage.backend import AskAlone, Refused, Stored, Swap
from coatcheck.storage.backends.database_place import Place
from coatcheck.storage.backends.sql_codes import WRITE, Deadlock, Lost, Rejected, Undone
from coatcheck.storage.backends.sql_rounds import COUNTED, Round
from coatcheck.storage.clock import TimeSource

TRIES = 20
"""Deadlocks with other writers, or lost serializations, that one call may meet."""

SWEEP_TRIES = 5
"""The same for a sweep, which may be left to the next one."""

LONGEST_PAUSE = 0.02
"""Seconds between two tries, at the most."""


class AsyncRuns(Protocol):
    """A pool of connections that runs what a backend wants."""

    place: Place

    async def run(self, doing: str, *what: Any) -> Any:
        """
        Run a statement, and return its result.

        Raises:
            BackendError: See `sql_codes` for its kinds.
        """


class AsyncRowBackend:
    """
    A row a record. A subclass adds `get`, `get_many`, and how rows are written.

    Args:
        pool: Its connections.
        clock: Seconds since 1970.
    """

    def __init__(self, pool: AsyncRuns, *, clock: TimeSource) -> None:
        self._pool = pool
        self._clock = clock
        self._round = Round()

    async def get(self, key: str) -> Stored | None:
        raise NotImplementedError

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, Stored]:
        raise NotImplementedError

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
        writes = list(map(Write, sorted(swaps, key=_key)))
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

    async def sweep(self, limit: int = 1000) -> int:
        """
        Remove at most so many expired records, in the order of their deadlines; return how many.

        Several processes may do it at the same time.
        """
        count = await self._sweep(limit)
        self._round.note(count, limit)
        if self._round.wants_count:
            with suppress(BackendError):  # the sweep is done, and only its progress is unknown
                self._round.count(await self._count(COUNTED * limit), limit)
        return count

    @property
    def swept(self) -> float:
        """The share of the round of sweeps that is done; 0 when it has come round."""
        return self._round.share

    async def _put(self, write: "Write") -> bool:
        """Write a row if the one there is still that version; tell whether it was."""
        raise NotImplementedError

    async def _put_many(self, writes: Sequence["Write"]) -> set[str]:
        """Write the rows that are still of their versions; return their keys."""
        raise NotImplementedError

    async def _sweep(self, limit: int) -> int:
        """Remove so many expired rows; return how many there were."""
        raise NotImplementedError

    async def _count(self, limit: int) -> int:
        """Return how many rows have expired, up to a limit."""
        raise NotImplementedError

    async def _ask(self, doing: str, *what: Any, tries: int = TRIES) -> Any:
        """Run a statement that may be run twice; once more if its connection breaks."""
        try:
            return await self._pool.run(doing, *what)
        except (Undone, Lost) as error:
            return await self._again(error, doing, what, tries)

    async def _write(self, *what: Any, tries: int = TRIES) -> Any:
        """Run a statement; again if the database says that it did nothing."""
        try:
            return await self._pool.run(WRITE, *what)
        except Undone as error:
            return await self._again(error, WRITE, what, tries)

    async def _again(
        self, error: BackendError, doing: str, what: tuple[Any, ...], tries: int = TRIES
    ) -> Any:
        """Run a statement again that failed with *error*."""
        for tried in range(1, tries):
            if not isinstance(error, Deadlock):
                break  # the pool has dropped its connections
            await asyncio.sleep(some(LONGEST_PAUSE * (tried - 1) / tries))
            try:
                return await self._pool.run(doing, *what)
            except Undone as again:
                error = again
        else:
            raise error
        return await self._pool.run(doing, *what)

    def _pauses(self) -> Iterator[float]:
        """Yield pauses between tries, about as long as a call may take in all."""
        pause, until = 0.0, time.monotonic() + self._pool.place.timeout
        while time.monotonic() < until:
            yield some(pause)
            pause = min(LONGEST_PAUSE, pause * 2 or 0.001)


class Write:
    """A swap, and the version that its row gets: 63 random bits."""

    __slots__ = ("swap", "version")

    def __init__(self, swap: Swap) -> None:
        self.swap = swap
        self.version = int.from_bytes(urandom(8)) >> 1

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


_key = attrgetter("key")


def raised(answer: Refused | BackendError | None) -> Refused | None:
    """Return an answer, or raise it if it is an error."""
    if isinstance(answer, BackendError):
        raise answer
    return answer


def some(longest: float) -> float:
    """Return a pause of up to so many seconds, so that writers do not keep in step."""
    return uniform(0, longest)  # noqa: S311 - keeps no secret
