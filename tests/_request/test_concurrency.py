"""What an application hands in may be plain or `async def`."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coatcheck._request.concurrency import call


def test_an_async_function_is_awaited_in_place() -> None:
    """In the thread of the event loop, with its arguments."""

    async def where(*, named: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return threading.get_ident(), named

    function: Callable[..., Any] = where
    assert asyncio.run(call(function, named=7)) == (threading.get_ident(), 7)


def test_a_plain_function_runs_in_a_thread() -> None:
    """It may wait for a database, and other requests are served meanwhile."""
    assert asyncio.run(call(threading.get_ident)) != threading.get_ident()


def test_what_a_plain_function_returns_to_be_awaited_is_awaited() -> None:
    """Such as a lambda around an async function."""

    async def answer() -> int:
        return 7

    def plain() -> Awaitable[int]:
        return answer()

    function: Callable[..., Any] = plain
    assert asyncio.run(call(function)) == 7


def test_errors_pass() -> None:
    """From either kind."""

    def fails() -> None:
        raise LookupError

    async def fails_awaited() -> None:
        raise LookupError

    for function in (fails, fails_awaited):
        with pytest.raises(LookupError):
            asyncio.run(call(function))
