"""Reads that must be true now."""

import asyncio

from coatcheck.storage.anew import anew, asks_anew


def test_the_reads_of_a_block_ask_anew() -> None:
    """And no read after it, also where blocks are inside each other."""
    with anew():
        with anew():
            assert asks_anew()
        assert asks_anew()
    assert not asks_anew()


def test_a_thread_that_a_block_starts_asks_anew() -> None:
    """asyncio takes the context along."""

    async def ask() -> bool:
        with anew():
            return await asyncio.to_thread(asks_anew)

    assert asyncio.run(ask())
