"""
A coroutine that is carried out step by step, by whoever has come to the next one.

    steps = Steps(work())     work() awaits stop() where it is to stand still
    await steps.go_on()       until the next stop, or the end

A task for it would be another context, would cost a switch at each stop, and would go on when the
request that it serves is cancelled. Here what is cancelled is what waits in there.
"""

from collections.abc import Coroutine, Generator
from functools import partial
from inspect import CORO_CLOSED, getcoroutinestate
from types import coroutine
from typing import Any

_STOP = object()
"""What a coroutine yields where it stands still; anything else is for the event loop."""


class Steps:
    """What is left of *work*."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work

    async def go_on(self) -> None:
        """Carry the work out until it stands still, if it has not ended."""
        if getcoroutinestate(self._work) != CORO_CLOSED:
            await _driven(self._work)

    def close(self) -> None:
        """Leave the rest of the work undone."""
        self._work.close()


@coroutine
def stop() -> Generator[object, None, None]:
    """Stand still until somebody calls `go_on`."""
    yield _STOP


@coroutine
def _driven(work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    step = partial(work.send, None)
    while True:
        try:
            waits_for = step()
        except StopIteration:
            return
        if waits_for is _STOP:
            return
        try:
            step = partial(work.send, (yield waits_for))
        except BaseException as error:  # a cancellation, for what waits in there
            step = partial(work.throw, error)
