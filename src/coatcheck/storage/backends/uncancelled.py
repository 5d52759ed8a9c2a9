"""
Work that runs to its end, also if the request that waits for it is cancelled.

SQLAlchemy's asyncio engines lose a connection if a request is cancelled at the wrong moment: it
counts as in use for ever, and the garbage collector complains. So a statement, with all that it
needs of the pool, runs in a task of its own. It is plain code, in one greenlet: each method of an
asyncio engine would make another one.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.util import greenlet_spawn

T = TypeVar("T")

_under_way: set["asyncio.Task[Any]"] = set()  # an event loop refers to its tasks weakly


async def async_uncancelled(do: Callable[..., T], *what: Any) -> T:
    """
    Return the result of *do*; a caller that is cancelled leaves it to end by itself.

    Args:
        do: Plain code that uses the engine under an asyncio engine.
        what: Its arguments.
    """
    loop = asyncio.get_running_loop()
    # Not as arguments: the frame of greenlet_spawn is not ours, and would show them.
    task = loop.create_task(greenlet_spawn(lambda: do(*what)))
    ended = loop.create_future()

    def end(task: "asyncio.Task[T]") -> None:
        _under_way.discard(task)
        if not ended.done():
            ended.set_result(None)
        elif not task.cancelled():  # nothing waits any more, and asyncio would log the error
            task.exception()

    _under_way.add(task)
    task.add_done_callback(end)
    await ended
    return task.result()


def uncancelled(do: Callable[..., T], *what: Any) -> T:
    """Return the result of *do*: a thread is not cancelled."""
    return do(*what)
