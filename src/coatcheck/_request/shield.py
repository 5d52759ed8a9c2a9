"""
Shield a save from the cancellation of its request.

If a client disconnects, the server cancels the request. A save that has begun runs to its end,
because half of a save could leave a session under two ids.

A task costs as much as a write to SQLite (see decision 0014). So a save that seldom waits begins in
the task of the request, and stays there while it waits for nothing but a `Lasting`, which outlives
a cancellation. Else it gets a task of its own.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

from coatcheck._request.coroutines import rest
from coatcheck.storage.lasting import Lasting

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

    def begin(self, work: Coroutine[Any, Any, T]) -> T | Awaitable[T]:
        """
        Begin *work* in the task of the caller; return its result, or what is to be awaited for it.

        Its first step must not depend on the task that runs it, as a timeout does; nor must a step
        that follows a `Lasting`.
        """
        try:
            waits_for = work.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        if type(waits_for) is Lasting:
            return self._steps(work, waits_for)
        return self.wait(rest(work, waits_for))

    @coroutine
    def _steps(self, work: Coroutine[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
        """Return the result of *work*, which has begun and waits."""
        cancelled: asyncio.CancelledError | None = None
        try:
            while type(waits_for) is Lasting:
                try:
                    yield waits_for
                except asyncio.CancelledError as error:
                    cancelled = error
                except Exception:  # noqa: S110 - the work gets it when it goes on
                    pass
                waits_for = work.send(None)
            result: T = yield from self.wait(rest(work, waits_for)).__await__()
        except StopIteration as end:
            if cancelled is None:
                return end.value  # type: ignore[no-any-return]
        except Exception as error:
            if cancelled is None:
                raise
            _report(error)
        else:
            if cancelled is None:
                return result
            del result  # it may be an id, and error reporters print the locals of a frame
        raise cancelled

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
