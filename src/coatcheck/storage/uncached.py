"""
Reads that must be true now: they ask the server, past copies that a storage keeps in this process.

    with uncached():
        session = storage.read(value)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _Block:
    """A block of reads that ask the server; whether it has ended is known in every context."""

    __slots__ = ("has_ended",)

    def __init__(self) -> None:
        self.has_ended = False


_block: ContextVar[_Block | None] = ContextVar("coatcheck_uncached", default=None)


@contextmanager
def uncached() -> Iterator[None]:
    """Let the reads of the block, and what they await or run in a thread, ask the server."""
    before, block = _block.get(), _Block()
    _block.set(block)
    try:
        yield
    finally:
        # A save may begin in the task of its request and end in another, with a context of its own.
        # So the block is ended for both; and reset() would refuse.
        block.has_ended = True
        _block.set(before)


def reads_uncached() -> bool:
    """Tell whether a read must ask the server."""
    block = _block.get()
    return block is not None and not block.has_ended
