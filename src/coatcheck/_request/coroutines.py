"""
Run coroutines by hand, without a task.

    rest(work, waits_for)    for a coroutine that has begun: its result
    run_now(work)            for a coroutine that never waits: its result
"""

from collections.abc import Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """
    Return the result of *work*, which awaits only coroutines that do not wait.

    Raises:
        RuntimeError: It waited for an event loop.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("a coroutine that must not wait waited for an event loop")


async def rest(work: Coroutine[Any, Any, T], waits_for: object) -> T:
    """Complete a coroutine that has begun, and waits for something."""
    return await _going_on(work, waits_for)


@coroutine
def _going_on(work: Coroutine[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
    while True:
        try:
            step = partial(work.send, (yield waits_for))
        except BaseException as error:  # for what waits in there
            step = partial(work.throw, error)
        try:
            waits_for = step()
        except StopIteration as end:
            result: T = end.value
            return result
