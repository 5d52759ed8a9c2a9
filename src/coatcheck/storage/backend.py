"""
The contract of a backend, which keeps the records of a storage.

A backend moves bytes and decides nothing. It never sees an id, only a key made from one, and never
looks into a record. Its one power is `swap`: replace a record only if it is still the one that was
read. No lost update, logout that holds and no fixation all follow from that.

`coatcheck.testing.BackendContract` tests each sentence of the docstrings below.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from coatcheck._session.plan import Swap
from coatcheck._session.record import Refused, Stored
from coatcheck.errors import BackendError

__all__ = [
    "AskAlone",
    "AsyncBackend",
    "AsyncEvicts",
    "AsyncGetsMany",
    "AsyncInFront",
    "AsyncSwapsMany",
    "AsyncSweeps",
    "Backend",
    "Evicts",
    "GetsMany",
    "InFront",
    "Refused",
    "Stored",
    "Swap",
    "Sweeps",
    "SweepsInRounds",
]


class Backend(Protocol):
    """
    Keeps records under keys.

    Every method raises `BackendError` when the server fails, and for nothing else: a record that is
    missing is an answer, not an error. A key is at most 200 ASCII letters, digits, "-", "_", ":".

    Under ASGI it is called in a worker thread, unless its storage is made with `waits=False`: no
    call waits for a disk or a server.
    """

    def get(self, key: str, /) -> Stored | None:
        """Return the record; None if it was never stored, was deleted, or outlived its ttl."""

    def swap(self, key: str, version: object, record: bytes, ttl: float, /) -> Refused | None:
        """
        Replace the record if it is still that version, in one atomic step.

        Args:
            version: Of the `Stored` that `get` or a refusal told of. None claims the key: nothing
                may be there yet.
            ttl: Seconds after which the backend may drop the record; above 0, up to 100 years. A
                server that cannot hold a time so far away keeps the record for longer.

        Returns:
            None when the record is in place. Otherwise nothing changed, and `Refused` tells what is
            there now.
        """

    def delete(self, key: str, /) -> None:
        """Remove the record; one that is not there is no error."""


class AsyncBackend(Protocol):
    """A `Backend` whose methods are awaited. The contract is the same, word for word."""

    async def get(self, key: str, /) -> Stored | None:
        """Return the record; None if it was never stored, was deleted, or outlived its ttl."""

    async def swap(self, key: str, version: object, record: bytes, ttl: float, /) -> Refused | None:
        """Replace the record if it is still that version, in one atomic step; see `Backend`."""

    async def delete(self, key: str, /) -> None:
        """Remove the record; one that is not there is no error."""


class AskAlone(BackendError):
    """A batch, or one call of it, changed nothing: the same call alone may succeed."""


@runtime_checkable
class Evicts(Protocol):
    """A backend whose server can be told to drop records that have not expired."""

    def evicts(self) -> str:
        """Return the policy by which it does; "": it does not, or tells nothing."""


@runtime_checkable
class AsyncEvicts(Protocol):
    """An `Evicts` whose method is awaited."""

    async def evicts(self) -> str:
        """Return the policy by which it does; "": it does not, or tells nothing."""


@runtime_checkable
class InFront(Protocol):
    """A backend in front of another, which tells what both can do beyond the contract."""

    def behind(self) -> Backend:
        """Return the other one."""


@runtime_checkable
class AsyncInFront(Protocol):
    """An `InFront` whose method is awaited."""

    async def behind(self) -> AsyncBackend:
        """Return the other one."""


@runtime_checkable
class StandsFor(Protocol):
    """A backend that passes calls on, and says to what: for reprs and messages."""

    @property
    def kind(self) -> str:
        """The name of the other one's class."""


def kind_of(backend: object) -> str:
    """Return the name of a backend's class, or of the one to which it passes calls on."""
    return backend.kind if isinstance(backend, StandsFor) else type(backend).__name__


@runtime_checkable
class GetsMany(Protocol):
    """An `AsyncGetsMany` whose method is plain."""

    def get_many(self, keys: Sequence[str], /) -> Mapping[str, Stored]:
        """Return the records that are there, by key; see `AsyncGetsMany`."""


@runtime_checkable
class AsyncGetsMany(Protocol):
    """A backend that reads several keys in one round trip."""

    async def get_many(self, keys: Sequence[str], /) -> Mapping[str, Stored]:
        """
        Return the records that are there, by key; a key without a record is left out.

        Args:
            keys: No key is there twice.

        Raises:
            AskAlone: One of the keys may be the reason: each is to be read by `get`.
            BackendError: The server failed.
        """


@runtime_checkable
class AsyncSwapsMany(Protocol):
    """A backend that makes several swaps in one round trip."""

    async def swap_many(self, swaps: Sequence[Swap], /) -> Sequence[Refused | BackendError | None]:
        """
        Do what `swap` does for each, every one with its own version; return the answers in order.

        Args:
            swaps: No key is there twice.

        Returns:
            For each swap what `swap` returns, or the error that it would raise; `AskAlone` if it
            changed nothing and is to be made by `swap`.

        Raises:
            AskAlone: None of them changed anything: each is to be made by `swap`.
            BackendError: The server failed; nothing tells which of them were done.
        """


@runtime_checkable
class Sweeps(Protocol):
    """A backend whose expired records stay until they are removed."""

    def sweep(self, limit: int, /) -> int:
        """Remove the expired among about *limit* records, and return how many."""


@runtime_checkable
class AsyncSweeps(Protocol):
    """A `Sweeps` whose method is awaited."""

    async def sweep(self, limit: int, /) -> int:
        """Remove the expired among about *limit* records, and return how many."""


@runtime_checkable
class SweepsInRounds(Protocol):
    """A backend that sweeps its keys in an order, and tells how far it is."""

    @property
    def swept(self) -> float:
        """The share of a round of sweeps that is done; 0 at the end of a round."""


def swept(backend: object) -> float:
    """Return the share of a round of sweeps that a backend has done; 0 if it tells none."""
    return backend.swept if isinstance(backend, SweepsInRounds) else 0.0
