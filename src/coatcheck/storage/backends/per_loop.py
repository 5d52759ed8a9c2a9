"""
One value for each event loop: the clients that belong to a loop, until the loop ends.

A client holds its loop, so a weak dictionary of loops would keep both for ever. `asyncio.run`
closes the asynchronous generators of a loop before it closes the loop. So a generator holds each
value, and releases it there. A loop that ends in another way has its value dropped when the next
loop asks: then the sockets are closed by the garbage collector.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from threading import Thread, current_thread
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Held(NamedTuple, Generic[T]):
    opening: "asyncio.Task[T]"
    """Shared by the requests that wait for it: none of them cancels it for the others."""
    ending: AsyncGenerator[None, None]
    thread: Thread

    @property
    def failed(self) -> bool:
        opening = self.opening
        return opening.done() and (opening.cancelled() or opening.exception() is not None)


class _LeftBehind(Exception):
    """Ends the generator of a loop in which nothing runs any more; nothing is released."""


class PerLoop(Generic[T]):
    """
    The value of the running event loop.

    Args:
        open: Called by the first request of a loop. If it raises, the next request calls it again.
        release: Called in the loop before it ends, and by `close`. Its errors are dropped.
    """

    def __init__(
        self,
        open: Callable[[], Coroutine[Any, Any, T]],
        release: Callable[[T], Awaitable[object]],
    ) -> None:
        self._open = open
        self._release = release
        self._held: dict[asyncio.AbstractEventLoop, _Held[T]] = {}
        self._ready: dict[asyncio.AbstractEventLoop, T] = {}

    def peek(self) -> T | None:
        """Return the value of the running loop; None: it is not there yet."""
        return self._ready.get(asyncio.get_running_loop())

    async def get(self) -> T:
        """Return the value of the running loop; errors are those of *open*."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None or held.failed:
            held = await self._begin(loop)
        if not held.opening.done():
            # Unlike shield(), this logs nothing if all requests are cancelled and *open* fails.
            await asyncio.wait((held.opening,))
        value = held.opening.result()
        if self._held.get(loop) is held:
            self._ready[loop] = value
        return value

    async def close(self) -> None:
        """Release the value of the running loop, if there is one."""
        loop = asyncio.get_running_loop()
        self._ready.pop(loop, None)
        held = self._held.pop(loop, None)
        if held:
            await self._end(held.opening)
            await held.ending.aclose()

    def __len__(self) -> int:
        """Return how many loops have a value."""
        return len(self._held)

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> _Held[T]:
        self._drop_ended()
        opening = loop.create_task(self._open())
        opening.add_done_callback(_retrieve)
        held = self._held[loop] = _Held(
            opening, self._until_the_end(loop, opening), current_thread()
        )
        await anext(held.ending)  # from now on the loop knows the generator; this does not wait
        return held

    async def _until_the_end(
        self, loop: asyncio.AbstractEventLoop, opening: "asyncio.Task[T]"
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        except GeneratorExit:
            held = self._held.get(loop)
            if held and held.opening is opening:
                del self._held[loop]
                self._ready.pop(loop, None)
                await self._end(opening)
            raise

    async def _end(self, opening: "asyncio.Task[T]") -> None:
        opening.cancel()
        if not opening.done():
            await asyncio.wait((opening,))
        if not (opening.cancelled() or opening.exception()):
            with suppress(Exception):  # the server may be gone
                await self._release(opening.result())

    def _drop_ended(self) -> None:
        """Drop the values of loops that are closed, or that their thread left behind."""
        for loop, held in list(self._held.items()):
            left = not (loop.is_running() or held.thread.is_alive())
            # Of two threads that come here at once, one drops it.
            if (loop.is_closed() or left) and self._held.pop(loop, None) is not None:
                self._ready.pop(loop, None)
                # Else the generator would ask its loop to end it, which that loop never does.
                with suppress(_LeftBehind):
                    held.ending.athrow(_LeftBehind()).send(None)


def _retrieve(opening: "asyncio.Task[Any]") -> None:
    """Look at the error of an opening: asyncio would log it if no request waits any more."""
    if not opening.cancelled():
        opening.exception()
