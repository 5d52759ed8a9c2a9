"""Call what an application hands in, be it a plain function or `async def`."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutinefunction
from typing import ParamSpec, TypeVar, cast

from starlette.concurrency import run_in_threadpool

P = ParamSpec("P")
R = TypeVar("R")


async def call(function: Callable[P, R | Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what *function* returns. A plain one may block, and so runs in a worker thread."""
    if iscoroutinefunction(function):
        return await cast("Awaitable[R]", function(*args, **kwargs))
    result = await run_in_threadpool(function, *args, **kwargs)
    return cast("R", await result if isawaitable(result) else result)
