"""
Work that runs to its end, also if the request that waits for it is cancelled.

SQLAlchemy's asyncio engines lose a connection if a request is cancelled at the wrong moment: it
counts as in use for ever, and the garbage collector complains. So a statement, with all that it
needs of the pool, runs in a task of its own.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_under_way: set["asyncio.Task[Any]"] = set()  # an event loop refers to its tasks weakly


async def async_uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of *work*; a caller that is cancelled leaves it to end by itself."""
    task = asyncio.get_running_loop().create_task(work)
    _under_way.add(task)
    task.add_done_callback(_end)
    await asyncio.wait(
        (task,)
    )  # unlike shield(), this logs no error after the request was cancelled
    return task.result()


def uncancelled(result: T) -> T:
    """Return the result of work that is done: a thread is not cancelled."""
    return result


def _end(task: "asyncio.Task[Any]") -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()
