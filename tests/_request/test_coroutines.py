"""Coroutines that seldom or never wait, run without a task of their own where that is possible."""

import asyncio

import pytest

from coatcheck import session
from coatcheck._request.coroutines import begin, run_now
from coatcheck.storage import AsyncKeyedStorage, MemoryStorage
from coatcheck.storage.backends.inline import InlineBackend
from tests.applications import fill, look, sets
from tests.hosts import COOKIE, asgi_app, ask_asgi


def test_what_waits_for_nothing_has_ended() -> None:
    """There is nothing left to await."""

    async def work() -> int:
        return 7

    assert begin(work()) == 7


def test_what_waits_goes_on_where_it_is_awaited() -> None:
    """It gets the answers it waits for, also several, and its result is the result."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()

        async def work() -> list[int]:
            return [await first, await second]

        rest = begin(work())
        assert asyncio.iscoroutine(rest)
        task = asyncio.ensure_future(rest)
        await asyncio.sleep(0)
        first.set_result(1)
        await asyncio.sleep(0)
        second.set_result(2)
        assert await task == [1, 2]

    asyncio.run(scene())


def test_errors_pass_in_both_directions() -> None:
    """What fails in its first step fails at once; from what fails later it may recover."""

    async def fails() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        begin(fails())

    async def scene() -> None:
        waited = asyncio.get_running_loop().create_future()

        async def recovers() -> str:
            try:
                await waited
            except LookupError:
                return "recovered"
            return "not reached"

        rest = begin(recovers())
        assert asyncio.iscoroutine(rest)
        waited.set_exception(LookupError())
        assert await rest == "recovered"

    asyncio.run(scene())


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


async def _one_more(number: int) -> int:
    return number + 1


async def _two_more(number: int) -> int:
    return await _one_more(await _one_more(number))


def test_what_never_waits_is_run_without_an_event_loop() -> None:
    """Coroutines that await nothing but each other end at once."""
    assert run_now(_two_more(1)) == 3


def test_what_waits_for_an_event_loop_cannot_be_run_now() -> None:
    """It is closed, and the error says so."""
    with pytest.raises(RuntimeError, match="event loop"):
        run_now(asyncio.sleep(0))
