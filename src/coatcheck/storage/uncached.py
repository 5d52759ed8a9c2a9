"""
Reads that must be true now: they ask the server, past copies that a storage keeps in this process.

    with uncached():
        session = storage.read(value)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_reads_uncached: ContextVar[bool] = ContextVar("coatcheck_uncached", default=False)


@contextmanager
def uncached() -> Iterator[None]:
    """Let the reads of the block, and what they await or run in a thread, ask the server."""
    before = _reads_uncached.get()
    _reads_uncached.set(True)
    try:
        yield
    finally:
        _reads_uncached.set(before)  # reset() would refuse a coroutine that went on in another task


def reads_uncached() -> bool:
    """Tell whether a read must ask the server."""
    return _reads_uncached.get()
