"""Work that is carried out step by step."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from coatcheck.frameworks.steps import Steps, stop


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_work_stands_still_at_each_stop_and_ends_once() -> None:
    """What it awaits between is awaited by whoever goes on, in any task."""
    done: list[int] = []

    async def work() -> None:
        done.append(1)
        await stop()
        await asyncio.sleep(0)
        done.append(2)
        await stop()
        done.append(3)

    async def scene() -> None:
        steps = Steps(work())
        for expected in ([1], [1, 2], [1, 2, 3], [1, 2, 3]):
            await asyncio.create_task(steps.go_on())
            assert done == expected

    play(scene)


def test_what_it_awaits_answers_it() -> None:
    """Results and errors of futures reach the work, and its own error whoever goes on."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        good, bad = loop.create_future(), loop.create_future()
        loop.call_soon(good.set_result, "result")
        loop.call_soon(bad.set_exception, KeyError("of a future"))
        assert await good == "result"
        with pytest.raises(KeyError):
            await bad
        raise LookupError("of the work")

    async def scene() -> None:
        steps = Steps(work())
        with pytest.raises(LookupError, match="of the work"):
            await steps.go_on()
        await steps.go_on()  # it has ended

    play(scene)


def test_a_cancellation_goes_to_what_waits_inside() -> None:
    """The work may finish what it must before it gives way."""
    waits = asyncio.Event()
    finished: list[bool] = []

    async def work() -> None:
        try:
            waits.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            finished.append(True)
            raise

    async def scene() -> None:
        going = asyncio.create_task(Steps(work()).go_on())
        await waits.wait()
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert finished == [True]

    play(scene)


def test_closing_leaves_the_rest_undone() -> None:
    """What the work holds is released, as it is when nobody goes on any more."""
    released: list[bool] = []

    async def work() -> None:
        try:
            await stop()
        finally:
            released.append(True)

    async def scene() -> None:
        closed, forgotten = Steps(work()), Steps(work())
        await closed.go_on()
        closed.close()
        closed.close()
        assert released == [True]
        await forgotten.go_on()
        del forgotten
        gc.collect()
        assert released == [True, True]

    play(scene)
