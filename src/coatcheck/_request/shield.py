"""
Shield a save from the cancellation of its request.

If a client disconnects, the server cancels the request. A save that has begun runs to its end in a
task of its own, because half of a save could leave a session under two ids.
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
    """The saves of one middleware that run."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()  # an event loop refers to its tasks weakly

    async def wait(self, work: Awaitable[T]) -> T:
        """Return the result of *work*; a caller that is cancelled still waits until it ends."""
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
                _report(error)  # the result came in the same turn, and no caller received it
            raise

    def _end(
        self, told: "asyncio.Future[Any]", work: Awaitable[Any], task: "asyncio.Task[Any]"
    ) -> None:
        self._under_way.discard(task)
        told.cancel()  # without a result: a loop that ends cancels tasks before they begin
        if inspect.iscoroutine(work):
            work.close()


async def _tell(told: "asyncio.Future[T]", work: Awaitable[T]) -> None:
    """
    Set the result of *work* on *told*; if no caller waits for it, log its error.

    `asyncio.shield` does the same and takes one more turn of the event loop: see decision 0014.
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
