"""
Sessions as records in an awaited backend: carry out the plans of `lifecycle` and `saving`.

The id goes to the client, its SHA-256 to the backend. `records` is the same text without `async`
and `await`, written by `scripts/twins`.
"""

import asyncio  # awaited only
import logging
from functools import lru_cache
from typing import TypeVar

from coatcheck._cookie.tracebacks import forget_frames
from coatcheck._session import lifecycle, saving
from coatcheck._session.draft import Found
from coatcheck._session.ids import ID_LENGTH, names_of
from coatcheck._session.plan import (
    Answer,
    Beside,
    Call,
    Delete,
    Get,
    GetMany,
    Keyspace,
    Plan,
    Swap,
    There,
    WarnOfEviction,
)
from coatcheck._session.record import Record
from coatcheck._session.session import Session
from coatcheck.errors import BackendError
from coatcheck.storage.async_innermost import async_eviction_policy, async_get_many
from coatcheck.storage.backend import AsyncBackend, AsyncSweeps
from coatcheck.storage.protocol import AsyncCloses
from coatcheck.storage.sweeping import SWEPT_AT_ONCE
from coatcheck.storage.uncached import uncached

T = TypeVar("T")

REMEMBERED = 11_000
"""Ids whose digests are remembered, as their cookies are. They take 3 MB at most."""

_logger = logging.getLogger("coatcheck")


class AsyncRecords:
    """
    Sessions over one backend.

    Args:
        space: The keys of this storage in the backend.
        sweep_every: New sessions between two small sweeps; None: this storage makes none by itself.
    """

    def __init__(self, backend: AsyncBackend, space: Keyspace, sweep_every: int | None) -> None:
        self.backend = backend
        self.space = space
        self.clock = space.clock
        self.prefix = space.prefix
        self._names_of = lru_cache(REMEMBERED)(names_of)
        self._sweep_every = sweep_every
        self._unswept = 0

    async def read(self, value: str | None) -> Session:
        """
        Return the session whose id the cookie carries, or a new one.

        Raises:
            BackendError: The backend failed, or answered with the record of another key.
        """
        if value is None:
            return Session()
        names = self._names_of(value) if len(value) == ID_LENGTH else None
        if names is None:
            return lifecycle.refused_session("unknown id")
        (digest, tag), space = names, self.space
        key = space.prefix + digest
        try:
            stored = await self.backend.get(key)
            if stored is None:
                return lifecycle.refused_session("unknown id")
            kept, now = space.unpacked(stored.record, tag, value), space.clock()
            if type(kept) is Record and now < kept.expires:
                return lifecycle.found(Found(kept, value, stored.version, now, digest))
            there = There(value, key, kept, stored.version)
            return await self._carry_out(lifecycle.follow(there, space))
        except BaseException as error:
            value = key = digest = ""  # error reporters print the locals of this frame
            forget_frames(error)
            raise

    async def save(self, session: Session) -> str | None:
        """
        Keep what a request did, and return what its cookie is to carry: None changes nothing, ""
        removes it.

        Raises:
            BackendError: The backend failed; nothing tells whether the change was kept.
            SessionConflict: Other requests kept winning the race.
            UnstorableValue, RecordTooLarge: Nothing was written.
        """
        space = self.space
        try:
            write = saving.first_write(session, space)
            if write is None:
                value = await self._in_steps(saving.save_in_steps(session, space))
            else:
                refused = await self.backend.swap(write.key, write.version, write.data, write.ttl)
                if refused is None:
                    value = saving.written(session, write)
                else:
                    plan = saving.write_again(session, write, refused, space)
                    value = await self._in_steps(plan)
        except BaseException as error:
            forget_frames(error)
            raise
        if value and self._sweep_every:
            await self._sweep_now_and_then(self._sweep_every)
        return value

    async def sweep(self, limit: int = 1000) -> int:
        """
        Remove expired records where the backend does not do it by itself; return how many.

        Args:
            limit: About how many records to look at; the next call goes on from there.

        Raises:
            BackendError: The backend failed.
        """
        backend = self.backend
        return await backend.sweep(limit) if isinstance(backend, AsyncSweeps) else 0

    async def close(self) -> None:
        """Release what the backend itself opened; it is opened again when it is used again."""
        if isinstance(self.backend, AsyncCloses):
            await self.backend.close()

    async def _in_steps(self, plan: Plan[T]) -> T:
        """Carry out the plan of a save: what it reads must be true now."""
        with uncached():
            return await self._carry_out(plan)

    async def _carry_out(self, plan: Plan[T]) -> T:
        """Ask the backend what a plan yields, and return the result of the plan."""
        answer: Answer = None
        try:
            while True:
                call = plan.send(answer)
                answer = await self._ask(call)
        except StopIteration as done:
            result: T = done.value
            return result
        except BaseException as error:
            forget_frames(error)
            raise

    async def _ask(self, call: Call) -> Answer:
        if type(call) is Swap:
            return await self.backend.swap(call.key, call.version, call.record, call.ttl)
        if type(call) is Get:
            return await self.backend.get(call.key)
        if type(call) is Beside:
            # In a task of the save from here on: time limits of another client may depend on it.
            await asyncio.sleep(0)  # awaited only
            records: AsyncRecords = call.place.async_records
            return await records._ask(call.call)
        if type(call) is GetMany:
            return await async_get_many(self.backend, call.keys)
        if type(call) is WarnOfEviction:
            await self._warn_of_eviction()
            return None
        assert type(call) is Delete  # noqa: S101 - there is no other
        await self.backend.delete(call.key)
        return None

    async def _warn_of_eviction(self) -> None:
        """Log a line if the server may drop the list of a user's sessions."""
        policy = await async_eviction_policy(self.backend)
        if policy:
            _logger.warning(
                "the server has maxmemory-policy %s, and may evict the list of a user's sessions: "
                "then a sign-out everywhere misses some; use noeviction, or Users(rosters=...)",
                policy,
            )

    async def _sweep_now_and_then(self, every: int) -> None:
        self._unswept += 1
        if self._unswept < every:
            return
        self._unswept = 0
        try:
            await self.sweep(SWEPT_AT_ONCE)
        except BackendError as error:
            _logger.warning("expired sessions stay for now: %s (%r)", error, error.__cause__)
