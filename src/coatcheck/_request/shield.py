"""
Work that outlives the request that waits for it.

A client that hangs up cancels its request. A save that has begun then goes on to its end, in a task
of its own: half of one could leave a session under two ids.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_logger = logging.getLogger("coatcheck")


class Shield:
    """The tasks of one middleware that are under way."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks weakly

    async def wait(self, work: Awaitable[T]) -> T:
        """Return what *work* returns; who is cancelled meanwhile waits for its end, too."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[T] = loop.create_future()
        task = loop.create_task(_tell(told, work))
        self._under_way.add(task)
        task.add_done_callback(partial(self._end, told, work))
        try:
            return await told
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if told.done() and not told.cancelled() and (error := told.exception()):
                _report(error)  # it was told in the same turn, and nobody heard it
            raise

    def _end(
        self, told: "asyncio.Future[Any]", work: Awaitable[Any], task: "asyncio.Task[Any]"
    ) -> None:
        self._under_way.discard(task)
        told.cancel()  # if nothing was told: a loop that ends cancels tasks, also before they begin
        if inspect.iscoroutine(work):
            work.close()


async def _tell(told: "asyncio.Future[T]", work: Awaitable[T]) -> None:
    """
    Tell *told* how work ends, or the log, if nobody waits for it any more.

    In place of `asyncio.shield`, which takes one turn more of the event loop: 4 µs of 16.
    """
    try:
        value = await work
    except Exception as error:
        if told.cancelled():
            _report(error)
        else:
            told.set_exception(error)
    else:
        if not told.cancelled():
            told.set_result(value)


def _report(error: BaseException) -> None:
    _logger.error("saving a session failed after its request was cancelled", exc_info=error)
