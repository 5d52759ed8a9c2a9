"""Tasks that go on where their answer arrives, not in the next turn of the loop."""

import asyncio
from contextvars import ContextVar

import pytest

from coatcheck.storage.lasting import Lasting
from coatcheck.storage.resuming import resume

WHOSE: ContextVar[str] = ContextVar("WHOSE", default="the loop's")


@pytest.mark.parametrize("kind", [asyncio.Future, Lasting])
def test_the_task_goes_on_at_once(kind: type[asyncio.Future[int]]) -> None:
    """It runs until it waits again before `resume` returns, in its own context, and only once."""
    seen: list[object] = []

    async def wait(future: asyncio.Future[int]) -> None:
        WHOSE.set("the task's")
        seen.append(await future)
        seen.append(WHOSE.get())
        await asyncio.sleep(0)
        seen.append("after a turn")

    def arrives(future: asyncio.Future[int]) -> None:
        resume(future, 1)
        seen.append(WHOSE.get())

    async def scene() -> None:
        future = kind()
        waiting = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(arrives, future)
        await waiting

    asyncio.run(scene())
    assert seen == [1, "the task's", "the loop's", "after a turn"]


@pytest.mark.parametrize("waiting", [0, 2])
def test_else_the_loop_resumes_what_waits(waiting: int) -> None:
    """A future for which no task waits, or several, gets its result as any other."""

    async def wait(future: asyncio.Future[int]) -> int:
        return await future

    async def scene() -> None:
        future: asyncio.Future[int] = asyncio.Future()
        tasks = [asyncio.create_task(wait(future)) for _ in range(waiting)]
        await asyncio.sleep(0)
        resume(future, 1)
        assert await future == 1
        assert await asyncio.gather(*tasks) == [1] * waiting

    asyncio.run(scene())


def test_a_task_that_was_cancelled_ends_with_its_lasting() -> None:
    """It refused to be cancelled before the result came."""
    seen: list[bool] = []

    def arrives(future: asyncio.Future[int], waiting: asyncio.Task[int]) -> None:
        resume(future, 1)
        seen.append(waiting.cancelled())

    async def wait(future: asyncio.Future[int]) -> int:
        return await future

    async def scene() -> None:
        future = Lasting[int]()
        waiting = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        waiting.cancel()
        asyncio.get_running_loop().call_soon(arrives, future, waiting)
        await asyncio.wait([waiting])

    asyncio.run(scene())
    assert seen == [True]
