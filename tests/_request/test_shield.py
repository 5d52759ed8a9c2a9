"""Work that outlives the request that waits for it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from coatcheck._request.shield import Shield


def test_who_waits_gets_what_the_work_returns_or_raises() -> None:
    """As if it had been awaited in place."""

    async def scene() -> None:
        shield = Shield()

        async def works() -> str:
            await asyncio.sleep(0)
            return "done"

        async def fails() -> str:
            await asyncio.sleep(0)
            raise LookupError

        assert await shield.wait(works()) == "done"
        with pytest.raises(LookupError):
            await shield.wait(fails())

    asyncio.run(scene())


def test_work_goes_on_when_who_waits_is_cancelled() -> None:
    """And the cancellation is told when it has ended, no earlier."""

    async def scene() -> None:
        may_end, ended = asyncio.Event(), False

        async def work() -> None:
            nonlocal ended
            await may_end.wait()
            ended = True

        waiting = asyncio.ensure_future(Shield().wait(work()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended

    asyncio.run(scene())


async def never_ends() -> None:
    await asyncio.Event().wait()


def future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("make", [never_ends, future])
@pytest.mark.parametrize("turns", [1, 2], ids=["before it begins", "while it waits"])
def test_work_that_is_cancelled_itself_cancels_who_waits(
    make: Callable[[], Awaitable[None]], turns: int
) -> None:
    """An event loop that ends cancels every task: nobody is left waiting."""

    async def scene() -> None:
        shield = Shield()
        waiting = asyncio.ensure_future(shield.wait(make()))
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in shield._under_way:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scene())


def test_an_error_that_nobody_hears_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The request is cancelled in the same turn of the event loop in which its save fails."""

    async def scene() -> None:
        async def fails() -> None:
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(waiting.cancel)
            raise LookupError("the reason")

        waiting = asyncio.ensure_future(Shield().wait(fails()))
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scene())
    assert "the reason" in caplog.text


def test_work_and_who_waits_may_be_cancelled_at_once() -> None:
    """An event loop that ends cancels both; the work need not have begun."""

    async def scene() -> None:
        shield = Shield()
        waiting = asyncio.ensure_future(shield.wait(never_ends()))
        await asyncio.sleep(0)
        waiting.cancel()
        for task in shield._under_way:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scene())


def test_an_error_after_the_request_was_cancelled_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody waits for it any more; the request ends as what it is, cancelled."""

    async def scene() -> None:
        may_end = asyncio.Event()

        async def fails() -> None:
            await may_end.wait()
            raise LookupError("the reason")

        waiting = asyncio.ensure_future(Shield().wait(fails()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scene())
    assert "the reason" in caplog.text
