"""
What a backend is: the one contract behind every storage that keeps records on a server.

A backend moves bytes and decides nothing. It never sees an id, only a key made from one, and never
looks into a record. Its one power is `swap`: replace a record only if it is still the one that was
read. No lost update, logout that holds and no fixation all follow from that.

`coatcheck.testing.BackendContract` tests each sentence of the docstrings below.
"""

from typing import Protocol

import msgspec

from coatcheck._session.record import Stored, reveal_nothing

__all__ = ["AsyncBackend", "Backend", "Refused", "Stored"]


class Refused(msgspec.Struct, frozen=True):
    """A swap that changed nothing, and what is there instead; None says that nothing is."""

    __repr__ = reveal_nothing

    stored: Stored | None


class Backend(Protocol):
    """
    Where records live.

    Every method raises `BackendError` when the server fails, and for nothing else: a record that is
    missing is an answer, not an error. A key is at most 200 ASCII letters, digits, "-", "_", ":".

    Under ASGI it is called in a worker thread, unless it says that a call never waits for a disk or
    a server: `waits = False`.
    """

    def get(self, key: str, /) -> Stored | None:
        """Return the record, or None if it was never stored, was deleted, or outlived its ttl."""

    def swap(self, key: str, version: object, record: bytes, ttl: float, /) -> Refused | None:
        """
        Replace the record if it is still that version, in one atomic step.

        Args:
            version: Of the `Stored` that `get` or a refusal told of. None claims the key: nothing
                may be there yet.
            ttl: Seconds after which the backend may drop the record; above 0.

        Returns:
            None when the record is in place. Otherwise nothing changed, and `Refused` tells what is
            there now.
        """

    def delete(self, key: str, /) -> None:
        """Remove the record; one that is not there is no error."""


class AsyncBackend(Protocol):
    """A `Backend` whose methods are awaited. The contract is the same, word for word."""

    async def get(self, key: str, /) -> Stored | None:
        """Return the record, or None if it was never stored, was deleted, or outlived its ttl."""

    async def swap(self, key: str, version: object, record: bytes, ttl: float, /) -> Refused | None:
        """Replace the record if it is still that version, in one atomic step; see `Backend`."""

    async def delete(self, key: str, /) -> None:
        """Remove the record; one that is not there is no error."""
