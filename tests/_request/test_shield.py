"""Work that outlives the request that waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coatcheck import session
from coatcheck._request.shield import Shield
from coatcheck.storage import AsyncKeyedStorage, MemoryStorage
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.lasting import Lasting
from tests.applications import fill, look, sets
from tests.hosts import COOKIE, asgi_app, ask_asgi


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


def test_work_that_waits_for_nothing_has_ended_when_it_began() -> None:
    """There is nothing left to await; an error is raised at once."""

    async def works() -> int:
        return 7

    async def fails() -> int:
        raise LookupError

    assert Shield().begin(works()) == 7
    with pytest.raises(LookupError):
        Shield().begin(fails())


def test_a_save_that_waits_for_nothing_needs_no_task() -> None:
    """A storage in place is saved in the task of the request."""
    memory = MemoryStorage()
    backend = InlineBackend(memory.backend, memory.backend)
    app = session(COOKIE, AsyncKeyedStorage(backend, seldom_waits=True))(asgi_app)
    header = fill(memory, user=1)

    async def scene() -> None:
        made: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, work: made.append(work) or asyncio.Task(work, loop=loop))  # type: ignore[func-returns-value]
        await ask_asgi(app, sets(user=2), header)
        assert made == []

    asyncio.run(scene())
    assert look(memory, header)["user"] == 2


class Steps:
    """Work that waits for one future after the other, and the tasks that were made meanwhile."""

    def __init__(self, *waits_for: "asyncio.Future[Any]", fails: bool = False) -> None:
        self.ended = False
        self.tasks: list[object] = []
        self._waits_for = waits_for
        self._fails = fails
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._made)
        self.request = asyncio.Task(self._asked(), loop=loop)

    def _made(self, loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> "asyncio.Task[Any]":
        self.tasks.append(work)
        return asyncio.Task(work, loop=loop, **more)

    async def _asked(self) -> list[object]:
        then: Any = Shield().begin(self._work())
        found: list[object] = await then
        return found

    async def _work(self) -> list[object]:
        found = [await each for each in self._waits_for]
        if self._fails:
            raise LookupError("the reason")
        self.ended = True
        return found


def test_work_that_waits_for_what_lasts_needs_no_task() -> None:
    """It goes on in the task of its request, and gets results and errors there."""

    async def scene() -> None:
        first, second = Lasting[int](), Lasting[int]()
        steps = Steps(first, second)
        await asyncio.sleep(0)
        first.set_result(1)
        await asyncio.sleep(0)
        second.set_result(2)
        assert await steps.request == [1, 2]
        failing = Lasting[int]()
        steps = Steps(failing)
        await asyncio.sleep(0)
        failing.set_exception(LookupError())
        with pytest.raises(LookupError):
            await steps.request
        assert steps.tasks == []

    asyncio.run(scene())


def plain() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("kinds", [(plain,), (Lasting[int], plain)], ids=["at once", "later"])
def test_work_that_waits_for_anything_else_gets_a_task(
    kinds: tuple[Callable[[], "asyncio.Future[int]"], ...],
) -> None:
    """It returns its result to the request that waits."""

    async def scene() -> None:
        waits_for = [kind() for kind in kinds]
        steps = Steps(*waits_for)
        for future in waits_for:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            future.set_result(1)
        assert await steps.request == [1] * len(waits_for)
        assert len(steps.tasks) == 1

    asyncio.run(scene())


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("then_lasts", [True, False], ids=["lasts", "is cancelled with its task"])
def test_work_that_waits_for_what_lasts_ends_before_its_cancelled_request(
    then_lasts: bool, times: int
) -> None:
    """Whatever it waits for next: a task of its own waits for what does not last."""

    async def scene() -> None:
        first = Lasting[int]()
        then = Lasting[int]() if then_lasts else plain()
        steps = Steps(first, then)
        await asyncio.sleep(0)
        steps.request.cancel()
        await asyncio.sleep(0)
        assert not steps.request.done()
        first.set_result(1)
        await asyncio.sleep(0)
        if times == 2:
            steps.request.cancel()
            await asyncio.sleep(0)
        assert not steps.request.done()
        then.set_result(2)
        with pytest.raises(asyncio.CancelledError):
            await steps.request
        assert steps.ended
        assert len(steps.tasks) == (0 if then_lasts else 1)

    asyncio.run(scene())


def test_work_that_ends_with_its_cancelled_request_ends() -> None:
    """There is nothing left to wait for when the result has come."""

    async def scene() -> None:
        last = Lasting[int]()
        steps = Steps(last)
        await asyncio.sleep(0)
        steps.request.cancel()
        last.set_result(1)
        with pytest.raises(asyncio.CancelledError):
            await steps.request
        assert steps.ended

    asyncio.run(scene())


def test_an_error_that_came_too_late_for_a_cancelled_request_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request ends as what it is, cancelled."""

    async def scene() -> None:
        last = Lasting[int]()
        steps = Steps(last, fails=True)
        await asyncio.sleep(0)
        steps.request.cancel()
        last.set_result(1)
        with pytest.raises(asyncio.CancelledError):
            await steps.request

    asyncio.run(scene())
    assert "the reason" in caplog.text
