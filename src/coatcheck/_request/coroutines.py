"""
Run coroutines by hand, without a task.

    begin(work)      for a coroutine that seldom waits: its result, or the rest of it
    run_now(work)    for a coroutine that never waits: its result

A task costs as much as a write to SQLite (see decision 0014). So a coroutine that seldom waits
begins in the task of its caller, and gets a task only if it has to wait. Its first step must not
depend on the task that runs it, as a timeout does.
"""

from collections.abc import Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> T | Coroutine[Any, Any, T]:
    """Return the result of *work*, or, if it has to wait, a coroutine that completes it."""
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    return _rest(work, waits_for)


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


async def _rest(work: Coroutine[Any, Any, T], waits_for: object) -> T:
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
