"""The one event loop that everything asynchronous runs on: clients keep their connections."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_loop = asyncio.new_event_loop()
asyncio.set_event_loop(_loop)


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns."""
    return _loop.run_until_complete(coroutine)
