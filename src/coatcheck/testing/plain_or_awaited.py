"""
Drive what may be plain or asynchronous with one text.

A contract's rules are coroutines. Each becomes a plain test, so that pytest needs no plugin, and
calls its subject through `Driven`, which awaits what is to be awaited.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Make = Callable[[], Any]
"""Makes the subject of a contract, or an asynchronous context manager that yields it."""


class Driven:
    """A subject whose methods are awaited; plain ones run in a worker thread, so that they race."""

    def __init__(self, subject: Any) -> None:
        self._subject = subject

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._subject, name)

        async def call(*args: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return await method(*args)
            return await asyncio.to_thread(method, *args)

        return call


@asynccontextmanager
async def opened(make: Make) -> AsyncIterator[Any]:
    """Yield what *make* makes, opened and closed if it can be."""
    made = make()
    if hasattr(made, "__aenter__"):
        async with made as yielded:
            yield yielded
    else:
        yield made


def rule(scenario: Callable[[Any, Driven], Awaitable[None]]) -> Callable[[Any, Make], None]:
    """Return *scenario* as a test that pytest runs with the fixture `make`."""

    async def play(contract: Any, make: Make) -> None:
        async with opened(make) as subject:
            await scenario(contract, Driven(subject))

    def test(self: Any, make: Make) -> None:
        asyncio.run(play(self, make))

    test.__doc__ = scenario.__doc__
    return test
