"""Reads that must be true now."""

import asyncio

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
