"""
Reads that must be true now: they ask the server, past copies that a storage keeps in this process.

    with anew():
        session = storage.read(value)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asks_anew: ContextVar[bool] = ContextVar("coatcheck_anew", default=False)


@contextmanager
def anew() -> Iterator[None]:
    """Let the reads of the block, and what they await or run in a thread, ask the server."""
    before = _asks_anew.get()
    _asks_anew.set(True)
    try:
        yield
    finally:
        _asks_anew.set(before)  # reset() would refuse a coroutine that went on in another task


def asks_anew() -> bool:
    """Tell whether a read must ask the server."""
    return _asks_anew.get()
