"""
Calls of a storage from an event loop: in place, in a thread, or awaited.

A save that has begun runs to its end, also if its request is cancelled.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from types import GeneratorType
from typing import Any, cast

from coatcheck._request.adoption import Reader
from coatcheck._request.cycle import is_async
from coatcheck._request.options import ListsSessions
from coatcheck._request.shield import Shield
from coatcheck._request.visit import Theirs
from coatcheck._session.record import Who
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

    def read(self, value: str | None) -> Any:
        """Return what the storage has under a value, or what is to be awaited for it."""
        if self._in_thread and value:
            return asyncio.to_thread(self.storage.read, value)
        return self.storage.read(value)

    def save(self, session: Session) -> Any:
        """Save, and return the value for the cookie, or what is to be awaited for it."""
        if self._in_thread:
            save = cast("Callable[[Session], str | None]", self.storage.save)
            return self._shield.wait(asyncio.to_thread(save, session))
        value: Any = self.storage.save(session)
        if self._seldom_waits:
            return self._shield.begin(value)
        if value is None or isinstance(value, str):
            return value
        return self._shield.wait(value)

    def check_readers(self, readers: Iterable[Reader]) -> None:
        """Accept readers of both kinds."""

    def look(self, theirs: Theirs, now: float, keeping: Collection[str]) -> Any:
        """Return what a reader finds, or what is to be awaited for it."""
        reader = theirs.reader
        if reader.waits:
            return asyncio.to_thread(reader.look, theirs.cookies, now, keeping)
        return reader.look(theirs.cookies, now, keeping)

    def is_cut_off(self, users: ListsSessions, who: Who) -> Any:
        """Tell whether a sign-in began before its user's sessions were ended: to be awaited."""
        return users.aio._is_cut_off(who)

    def forget(self, theirs: Theirs) -> Any:
        """Let a reader delete what its cookies lead to, or return what is to be awaited for it."""
        if theirs.reader.waits:
            return self._shield.wait(asyncio.to_thread(theirs.reader.forget, theirs.cookies))
        return theirs.reader.forget(theirs.cookies)

    async def close(self) -> None:
        """Release what both forms of the storage opened."""
        for storage in dict.fromkeys((self.storage, self._given)):
            if isinstance(storage, Closes | AsyncCloses):
                closed = cast("Any", storage.close())
                if hasattr(closed, "__await__"):
                    await closed


async def done(result: Any) -> Any:
    """Return what a call returned, awaited if it is to be, also what a thread returned so."""
    while hasattr(result, "__await__") or isinstance(result, GeneratorType):  # of Shield.begin
        result = await result
    return result
