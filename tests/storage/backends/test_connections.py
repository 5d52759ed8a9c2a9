"""Connections of an event loop to a database: shared fairly, made again, given up in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coatcheck.errors import BackendError
from coatcheck.storage.backends import async_connections
from coatcheck.storage.backends.async_connections import AsyncConnections
from coatcheck.storage.backends.database_place import Place


class Line:
    """A connection that does nothing."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.asked_at = 0.0
        self.is_last = False
        self.is_busy = False
        self.cause: BaseException | None = None
        self.ending = asyncio.Event()

    def end(self, cause: BaseException) -> None:
        self.cause = cause
        self.ending.set()
        self.pool.ended(self)


class Pool(AsyncConnections[Line]):
    """Connections that are made when the test opens the gate, or fail with its error."""

    def __init__(self, size: int = 2, timeout: float = 5.0) -> None:
        super().__init__(Place("test", {}, size=size, timeout=timeout), self.connected, ValueError)
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.tries = 0

    async def connected(self) -> Line:
        self.tries += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return Line(self)

    async def take(self) -> Line:
        return self.idle() or await self.wait("read")


def play(scene: Callable[[Pool], Awaitable[None]], **more: Any) -> None:
    """Let a scene run over a new pool, and close it."""

    async def played() -> None:
        pool = Pool(**more)
        await scene(pool)
        await pool.close()
        assert not pool._all

    asyncio.run(played())


def asked(pool: Pool, count: int) -> list[asyncio.Task[Line]]:
    return [asyncio.ensure_future(pool.take()) for _ in range(count)]


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_an_idle_connection_is_taken_again() -> None:
    """No second one is made for calls one after another."""

    async def scene(pool: Pool) -> None:
        for _ in range(3):
            pool.free(await pool.take())
        assert pool.tries == 1

    play(scene)


def test_calls_wait_in_their_order() -> None:
    """No more than so many connections are made; who waited longest is next."""

    async def scene(pool: Pool) -> None:
        calls = asked(pool, 5)
        await turns()
        assert [call.done() for call in calls] == [True, True, False, False, False]
        pool.free(calls[0].result())
        await turns()
        assert [call.done() for call in calls] == [True, True, True, False, False]
        calls[3].cancel()
        pool.free(calls[1].result())
        await turns()
        assert calls[4].done()
        assert pool.tries == 2

    play(scene)


def test_a_call_that_is_cancelled_when_it_is_its_turn_passes_the_connection_on() -> None:
    """The connection is not lost: the next call gets it."""

    async def scene(pool: Pool) -> None:
        first = await pool.take()
        calls = asked(pool, 2)
        await turns()
        pool.free(first)
        calls[0].cancel()
        await turns()
        assert calls[1].result() is first

    play(scene, size=1)


def test_a_call_waits_so_long_for_a_connection() -> None:
    """Then it is an error, and the connection that is in use goes on."""

    async def scene(pool: Pool) -> None:
        first = await pool.take()
        with pytest.raises(BackendError, match="test failed to read") as raised:
            await pool.take()
        assert isinstance(raised.value.__cause__, TimeoutError)
        pool.free(first)
        assert await pool.take() is first

    play(scene, size=1, timeout=0.02)


def test_a_second_attempt_that_fails_is_the_error_of_all_who_wait() -> None:
    """Attempts come after pauses; one attempt serves all who come meanwhile."""

    async def scene(pool: Pool) -> None:
        pool.error = ValueError("no")
        calls = asked(pool, 3)
        calls[1].cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in found] == [
            BackendError,
            asyncio.CancelledError,
            BackendError,
        ]
        assert pool.tries == 2
        pool.error = None
        since = asyncio.get_running_loop().time()
        assert await pool.take()
        assert asyncio.get_running_loop().time() - since > 0.01
        assert pool.tries == 3

    play(scene)


def test_calls_wait_for_those_in_use_if_the_server_allows_no_more() -> None:
    """An attempt that fails is no error of a call that another connection can serve."""

    async def scene(pool: Pool) -> None:
        first = await pool.take()
        pool.error = ValueError("too many")
        (call,) = asked(pool, 1)
        await turns()
        assert not call.done()
        pool.free(first)
        assert await call is first

    play(scene)


def test_a_connection_that_ends_makes_room_for_another() -> None:
    """A call that waits gets a new one; the ended one is never taken again."""

    async def scene(pool: Pool) -> None:
        first = await pool.take()
        (call,) = asked(pool, 1)
        await turns()
        first.end(ValueError("broken"))
        second = await call
        pool.free(first)
        pool.free(second)
        second.end(ValueError("broken"))
        assert pool.idle() is None

    play(scene, size=1)


def test_dropped_connections_are_closed_when_they_are_free() -> None:
    """One with a call under way is closed after its answer."""

    async def scene(pool: Pool) -> None:
        busy, idle = [await pool.take() for _ in range(2)]
        busy.is_busy = True
        pool.free(idle)
        pool.drop()
        assert (busy.cause, type(idle.cause)) == (None, ConnectionError)
        assert busy.is_last

    play(scene)


def test_a_connection_whose_answer_takes_too_long_is_ended() -> None:
    """One timer watches all, and rests while there is none."""

    async def scene(pool: Pool) -> None:
        slow, idle = [await pool.take() for _ in range(2)]
        slow.is_busy, slow.asked_at = True, asyncio.get_running_loop().time()
        await slow.ending.wait()
        assert isinstance(slow.cause, TimeoutError)
        assert idle.cause is None
        idle.end(ValueError())
        await asyncio.sleep(0.02)
        assert pool._watch is None

    play(scene, timeout=0.02)


@pytest.mark.parametrize("succeeds", [True, False])
def test_closing_waits_a_little_for_an_attempt(
    monkeypatch: pytest.MonkeyPatch, *, succeeds: bool
) -> None:
    """Then it is cancelled; a call that waits raises at once, and no connection is left."""
    monkeypatch.setattr(async_connections, "LONGEST_CLOSE", 5 if succeeds else 0.01)

    async def scene(pool: Pool) -> None:
        pool.gate.clear()
        (call,) = asked(pool, 1)
        await turns()
        closing = asyncio.ensure_future(pool.close())
        with pytest.raises(BackendError):
            await call
        if succeeds:
            pool.gate.set()
        await closing
        assert pool._opening is None
        assert not pool._all

    play(scene)


def test_a_call_that_goes_on_after_the_end_does_not_wait() -> None:
    """It lost its connection to the close, and would wait for a new one until its time is up."""

    async def scene(pool: Pool) -> None:
        await pool.take()
        await pool.close()
        with pytest.raises(BackendError, match="the storage was closed"):
            await pool.take()
        assert not pool._waiting

    play(scene)
