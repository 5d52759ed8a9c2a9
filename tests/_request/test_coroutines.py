"""Coroutines that seldom or never wait, run without a task of their own where that is possible."""

import asyncio

import pytest

from coatcheck._request.coroutines import rest, run_now


def test_what_has_begun_goes_on_where_it_is_awaited() -> None:
    """It gets the answers it waits for, also several, and its result is the result."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()

        async def work() -> list[int]:
            return [await first, await second]

        begun = work()
        task = asyncio.ensure_future(rest(begun, begun.send(None)))
        await asyncio.sleep(0)
        first.set_result(1)
        await asyncio.sleep(0)
        second.set_result(2)
        assert await task == [1, 2]

    asyncio.run(scene())


def test_what_has_begun_may_recover_from_errors() -> None:
    """It gets the error of what it waits for."""

    async def scene() -> None:
        waited = asyncio.get_running_loop().create_future()

        async def recovers() -> str:
            try:
                await waited
            except LookupError:
                return "recovered"
            return "not reached"

        begun = recovers()
        to_wait_for = begun.send(None)
        waited.set_exception(LookupError())
        assert await rest(begun, to_wait_for) == "recovered"

    asyncio.run(scene())


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
