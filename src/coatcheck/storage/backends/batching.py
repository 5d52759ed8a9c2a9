"""
Batches: the calls of concurrent requests, made as one call of a backend.

    no call is under way    the backend is asked at once, in the task of the request
    others are              the call waits for the end of this turn of the event loop, and then for
                            a free lane; what comes meanwhile goes with it

A lane is what carries one batch at a time: a connection, as a rule. Reads and writes have lanes of
their own. A batch is bounded in calls and in bytes, and never holds two writes of one key. A
request that is cancelled leaves its batch of reads, and the batch goes on; it waits for its write,
which is made. A call that failed because of another one in its batch is made again, alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck.errors import BackendError
from coatcheck.storage.backend import (
    AskAlone,
    AsyncBackend,
    AsyncGetsMany,
    AsyncSwapsMany,
    AsyncSweeps,
    Refused,
    Stored,
    Swap,
    kind_of,
    swept,
)
from coatcheck.storage.lasting import Lasting, abandon
from coatcheck.storage.protocol import AsyncCloses
from coatcheck.storage.resuming import resume

Call = TypeVar("Call")
Answer = TypeVar("Answer")


class BatchBackend(AsyncBackend, AsyncGetsMany, AsyncSwapsMany, Protocol):
    """An asynchronous backend that reads and writes several keys in one round trip."""


class Limits(NamedTuple):
    """
    The limits of the batches of one kind of call.

    Attributes:
        lanes: Batches under way at the same time.
        calls: Calls in a batch.
        size: Bytes of the records in a batch; a larger record goes alone.
        spread: More calls than this are spread over the lanes.
        wait: Seconds that a call may wait for a lane; None: for ever.
    """

    lanes: int = 2
    calls: int = 128
    size: int = 1_000_000
    spread: int = 32
    wait: float | None = None


TWO_LANES = Limits()


class Waiting(Hidden, msgspec.Struct, Generic[Call, Answer]):
    """A call that waits for its batch, the future that gets its answer, and since when it waits."""

    call: Call
    answer: Any  # asyncio.Future[Answer]
    since: float


Batch = list[Waiting[Any, Any]]
Answered = asyncio.Task[Sequence[Any]]
"""The task that makes the calls of a batch, when it is done."""


class Batches(Generic[Call, Answer]):
    """
    Calls of one kind.

    Args:
        server: Its name, for errors.
        alone: Makes one call.
        together: Makes several; returns their answers in order.
        limits: What bounds a batch.
        fit: Returns the first calls that may share a batch; None: any may.
        lasting: A call is made also if its request is cancelled, which waits for the answer then.
    """

    def __init__(
        self,
        server: str,
        alone: Callable[[Call], Awaitable[Answer]],
        together: Callable[[Sequence[Call]], Awaitable[Sequence[Answer | BackendError]]],
        limits: Limits,
        fit: Callable[[list[Call]], list[bool]] | None = None,
        *,
        lasting: bool = False,
    ) -> None:
        self._server = server
        self._alone = alone
        self._together = together
        self._limits = limits
        self._fit = fit
        self._future: type[asyncio.Future[Answer]] = Lasting if lasting else asyncio.Future
        self._start(None)

    def _start(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin with an empty batch: calls that another loop left behind are not waited for."""
        self._loop = loop
        self._under_way = 0
        self._waiting: list[Waiting[Call, Answer]] = []
        self._is_due = False
        self._had_company = False
        """Whether the last batch had several calls: then the next one probably has, too."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[Answered] = set()  # the loop itself holds tasks weakly

    def begin_alone(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop if the next call is made at once; then `end_one` is to follow it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._start(loop)
        if self._under_way or self._had_company:
            return None
        self._under_way = 1
        return loop

    def join(self, call: Call) -> "asyncio.Future[Answer]":
        """Return the future of a call that is made in a batch; errors are the backend's own."""
        loop = asyncio.get_running_loop()
        answer = self._future(loop=loop)
        self._waiting.append(Waiting(call, answer, loop.time()))
        if self._under_way < self._limits.lanes:
            self._send_soon(loop)
        else:
            self._watch(loop)
        return answer

    def _send_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._send, loop)

    def end_one(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that a lane is free again."""
        if loop is not self._loop:
            return
        self._under_way -= 1
        if self._waiting:
            # Requests that were just answered run before that, and may ask again.
            self._send_soon(loop)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        # What was cancelled while it waited is not sent.
        self._waiting = [each for each in self._waiting if not each.answer.done()]
        self._had_company = len(self._waiting) > 1
        lanes = self._limits.lanes  # also the busy ones: one that is free soon gets its share then
        while self._waiting and self._under_way < self._limits.lanes:
            batch = self._next_batch(lanes)
            lanes -= 1
            self._under_way += 1
            self._ask(batch, self._end_batch)
        if self._waiting:
            self._watch(loop)

    def _next_batch(self, lanes: int) -> list[Waiting[Call, Answer]]:
        """Take the share of one of so many lanes; a call that does not fit keeps its place."""
        share = max(self._limits.spread, -(-len(self._waiting) // lanes))
        most = min(self._limits.calls, share)
        if self._fit is None:
            batch, self._waiting = self._waiting[:most], self._waiting[most:]
            return batch
        fits = self._fit([each.call for each in self._waiting])
        batch = [each for each, is_in in zip(self._waiting, fits, strict=True) if is_in][:most]
        taken = set(map(id, batch))
        self._waiting = [each for each in self._waiting if id(each) not in taken]
        return batch

    def _ask(self, batch: Batch, then: Callable[[Batch, Answered], None]) -> None:
        """Make the calls of a batch; *then* gets it, and the task that has the answers."""
        task = asyncio.ensure_future(self._answers([each.call for each in batch]))
        self._tasks.add(task)
        task.add_done_callback(partial(then, batch))

    def _end_batch(self, batch: Batch, task: Answered) -> None:
        """Free the lane of a batch, and give its answers."""
        self.end_one(task.get_loop())
        self._give(batch, task)

    def _give(self, batch: Batch, task: Answered) -> None:
        """Give its answer to each request of a batch."""
        self._tasks.discard(task)
        if task.cancelled() or task.exception():  # the loop ends
            for each in batch:
                abandon(each.answer)
        else:
            self._give_each(deque(zip(batch, task.result(), strict=True)), len(batch))

    def _give_each(self, answers: "deque[tuple[Waiting[Any, Any], Any]]", size: int) -> None:
        """Give answers, in the batch's order; each request runs until it waits again."""
        try:
            while answers:
                waiting, answer = answers.popleft()
                if waiting.answer.done():  # its request was cancelled
                    continue
                if not isinstance(answer, Exception):
                    resume(waiting.answer, answer)
                elif size > 1 and isinstance(answer, AskAlone):
                    self._ask([waiting], self._give)
                else:
                    waiting.answer.set_exception(answer)
        finally:
            if answers:  # a request ended the loop, which cancels the others and waits for them
                asyncio.get_running_loop().call_soon(self._give_each, answers, size)

    async def _answers(self, calls: list[Call]) -> Sequence[Answer | Exception]:
        try:
            if len(calls) == 1:
                return [await self._alone(calls[0])]
            answers = await self._together(calls)
        except Exception as error:
            return [error] * len(calls)
        return answers if len(answers) == len(calls) else [self._mixed_up()] * len(calls)

    def _mixed_up(self) -> BackendError:
        return BackendError(self._server, "reach", "it must give as many answers as it was asked")

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that no call waits too long for a lane."""
        if self._timer is None and self._limits.wait is not None:
            at = self._waiting[0].since + self._limits.wait
            self._timer = loop.call_at(at, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        wait, self._timer = self._limits.wait or 0.0, None
        late = BackendError(self._server, "reach", "no connection was free in time")
        for each in self._waiting:
            if not each.answer.done() and each.since + wait <= loop.time():
                each.answer.set_exception(late)
        self._waiting = [each for each in self._waiting if not each.answer.done()]
        if self._waiting:
            self._watch(loop)


class BatchingBackend:
    """
    A backend whose concurrent calls are made in batches.

    Args:
        backend: Its `get` and `swap` are called for single calls, `get_many` and `swap_many` for
            batches.
        reads: The limits of the batches of reads.
        writes: The limits of the batches of writes.
    """

    def __init__(
        self, backend: BatchBackend, *, reads: Limits = TWO_LANES, writes: Limits = TWO_LANES
    ) -> None:
        self._backend = backend
        server = kind_of(backend).removeprefix("Async").removesuffix("Backend")
        self._reads = Batches(server, backend.get, self._get_many, reads)
        self._writes = Batches(
            server, self._swap, backend.swap_many, writes, _fit(writes.size), lasting=True
        )

    @property
    def kind(self) -> str:
        """The name of the other backend's class."""
        return kind_of(self._backend)

    async def get(self, key: str) -> Stored | None:
        """Return the record; None if there is none."""
        loop = self._reads.begin_alone()
        if loop is None:
            return await self._reads.join(key)
        try:
            return await self._backend.get(key)
        finally:
            self._reads.end_one(loop)

    async def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        """Replace the record if it is still that version; see `Backend`."""
        loop = self._writes.begin_alone()
        if loop is None:
            return await self._writes.join(Swap(key, version, record, ttl))
        try:
            return await self._backend.swap(key, version, record, ttl)
        finally:
            self._writes.end_one(loop)

    async def delete(self, key: str) -> None:
        """Remove the record, by a call of its own."""
        await self._backend.delete(key)

    async def behind(self) -> AsyncBackend:
        """Return the backend whose calls are batched."""
        return self._backend

    async def sweep(self, limit: int) -> int:
        """Remove the expired among about *limit* records, if the backend has to be swept."""
        backend = self._backend
        return await backend.sweep(limit) if isinstance(backend, AsyncSweeps) else 0

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done; 0 at the end of a round."""
        return swept(self._backend)

    async def close(self) -> None:
        """Release what the backend opened."""
        if isinstance(self._backend, AsyncCloses):
            await self._backend.close()

    async def _swap(self, swap: Swap) -> Refused | None:
        return await self._backend.swap(swap.key, swap.version, swap.record, swap.ttl)

    async def _get_many(self, keys: Sequence[str]) -> list[Stored | None]:
        found = await self._backend.get_many(list(dict.fromkeys(keys)))
        return [found.get(key) for key in keys]


def _fit(size: int) -> Callable[[list[Swap]], list[bool]]:
    """Return a function that tells which swaps may share a batch, the first of them always."""

    def fit(swaps: list[Swap]) -> list[bool]:
        keys: set[str] = set()
        fits, left = [], size
        for swap in swaps:
            is_in = swap.key not in keys and (not keys or len(swap.record) <= left)
            if is_in:
                keys.add(swap.key)
                left -= len(swap.record)
            fits.append(is_in)
        return fits

    return fit
