"""
Tests for a subject that may be plain or asynchronous, written once.

The rules of a contract are coroutines. Each becomes a plain test, so that pytest needs no plugin.
The test calls the subject through `Driven`, which awaits the methods of an asynchronous subject.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Make = Callable[[], Any]
"""A function that returns the subject, or an asynchronous context manager that yields it."""


class Driven:
    """A subject with awaited methods. Plain methods run in worker threads, so calls can race."""

    def __init__(self, subject: Any) -> None:
        self.subject = subject

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.subject, name)

        async def call(*args: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return await method(*args)
            return await asyncio.to_thread(method, *args)

        return call


@asynccontextmanager
async def opened(make: Make) -> AsyncIterator[Any]:
    """Yield what *make* returns, entered and closed if it is a context manager."""
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
