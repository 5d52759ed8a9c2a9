"""
How an application in an event loop calls its storage: in place, in a thread, or awaited.

A save that has begun goes on to its end, whatever becomes of its request.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from coatcheck._request.coroutines import begin
from coatcheck._request.cycle import is_async
from coatcheck._request.shield import Shield
from coatcheck._session.session import Session
from coatcheck.storage.protocol import (
    AsyncCloses,
    Closes,
    HasAwaitedForm,
    SessionStorage,
    powers_of,
)


class AsyncCalls:
    """
    The calls to one storage.

    Args:
        storage: Its awaited form is used, if it has one.
    """

    def __init__(self, storage: SessionStorage) -> None:
        aio = storage.aio if isinstance(storage, HasAwaitedForm) else None
        self.storage = aio or storage
        self._given = storage
        powers = powers_of(self.storage)
        self._in_thread = powers.waits and not is_async(self.storage)
        self._seldom_waits = powers.seldom_waits
        self._shield = Shield()

    async def read(self, value: str | None) -> object:
        """Return what the storage has under a value."""
        if value and self._in_thread:
            return await asyncio.to_thread(self.storage.read, value)
        found = self.storage.read(value)
        return await found if hasattr(found, "__await__") else found

    async def save(self, session: Session) -> str | None:
        """Save, and return the value for the cookie."""
        if self._in_thread:
            return cast(
                "str | None",
                await self._shield.wait(asyncio.to_thread(self.storage.save, session)),
            )
        value = self.storage.save(session)
        if self._seldom_waits:
            value = begin(cast("Coroutine[Any, Any, str | None]", value))
        if value is None or isinstance(value, str):
            return value
        return await self._shield.wait(value)

    async def close(self) -> None:
        """Release what both forms of the storage opened."""
        for storage in dict.fromkeys((self.storage, self._given)):
            if isinstance(storage, Closes | AsyncCloses):
                closed = cast("Any", storage.close())
                if hasattr(closed, "__await__"):
                    await closed
