"""
Futures for writes: a task that is cancelled while it waits for one still waits for its result.

A plain future is cancelled with the task that waits for it. So a write that must run to its end
needs a task of its own, which takes longer than many a write. A `Lasting` refuses: the task is
cancelled when the result has come.
"""

import asyncio
from typing import TypeVar

T = TypeVar("T")


class Lasting(asyncio.Future[T]):
    """A future that is not cancelled with a task that waits for it."""

    __slots__ = ()

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        """Refuse; asyncio then cancels the task when it goes on."""
        return False


def abandon(future: "asyncio.Future[T]") -> None:
    """Cancel a future whose result will never come, also a `Lasting`."""
    asyncio.Future.cancel(future)
