"""
A coroutine that seldom waits, begun at once.

A task of its own costs about 18 µs and a turn of the event loop, as much as a write to SQLite. So
what seldom waits is begun in the task that asks, and only what then does wait goes on in its own.
Nothing in its first step may depend on the task that it is in, as a timeout does.
"""

from collections.abc import Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def begin(work: Coroutine[Any, Any, T]) -> T | Coroutine[Any, Any, T]:
    """Return what *work* returns, or, if it has to wait for anything, the rest of it."""
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    return _rest(work, waits_for)


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
