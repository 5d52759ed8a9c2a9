"""Reads that must be true now."""

import asyncio
from contextlib import suppress

from coatcheck.storage.uncached import reads_uncached, uncached


def test_the_reads_of_a_block_ask_anew() -> None:
    """And no read after it, also where blocks are inside each other."""
    with uncached():
        with uncached():
            assert reads_uncached()
        assert reads_uncached()
    assert not reads_uncached()


def test_a_thread_that_a_block_starts_reads_uncached() -> None:
    """asyncio takes the context along."""

    async def ask() -> bool:
        with uncached():
            return await asyncio.to_thread(reads_uncached)

    assert asyncio.run(ask())


def test_a_block_that_ends_in_another_task_has_ended_in_both() -> None:
    """A save may begin in the task of its request, and end in one of its own."""

    async def work() -> None:
        with uncached():
            await asyncio.sleep(0)

    async def begin() -> bool:
        begun = work()
        begun.send(None)
        assert reads_uncached()

        async def end() -> None:
            with suppress(StopIteration):
                begun.send(None)

        await asyncio.create_task(end())
        return reads_uncached()

    assert not asyncio.run(begin())
