"""
The contract of a storage: two methods, plain or `async def`.

A storage may say more of itself in `powers`, one value that is checked when it is made. Two further
members are used where a storage has them:

    aio        the awaited form of the same storage, which ASGI applications use instead
    close()    releases what the storage opened, when the application shuts down; plain or
               `async def`, and no end: a storage that is used again opens again

`coatcheck.testing.StorageContract` tests each sentence of the docstrings below.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

import msgspec

from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError


class Powers(msgspec.Struct, frozen=True, kw_only=True):
    """
    The abilities of a storage beyond its two methods.

    Args:
        waits: A call may wait for a disk or a server. A plain storage that waits is called in a
            worker thread under ASGI.
        in_place: No call waits, and each returns its result, never what is to be awaited: an event
            loop calls it as a thread does.
        seldom_waits: `save` is a coroutine that mostly ends without waiting, or waits for nothing
            that is cancelled with its task. It may begin in the task of the request and go on in
            another.
        saves_late: A change after the headers have left can be saved under the id that the client
            holds. Without it, such a change raises `ResponseStarted`.
        starts_empty: `read(None)` returns a new, empty session and does nothing more, so it need
            not be called.
        may_evict: The server may drop records that have not expired.
        rotates: Ids can be renewed with a hand-over: the option `rotate`.
    """

    waits: bool = True
    in_place: bool = False
    seldom_waits: bool = False
    saves_late: bool = False
    starts_empty: bool = False
    may_evict: bool = False
    rotates: bool = False


@runtime_checkable
class HasPowers(Protocol):
    """A storage that says what it can do."""

    @property
    def powers(self) -> Powers: ...


@runtime_checkable
class HasClock(Protocol):
    """A storage whose times come from a clock of its own, in seconds since 1970."""

    @property
    def clock(self) -> Callable[[], float]: ...


@runtime_checkable
class HasAwaitedForm(Protocol):
    """A plain storage with an awaited form of the same sessions."""

    @property
    def aio(self) -> "SessionStorage | None": ...


@runtime_checkable
class Closes(Protocol):
    """A storage or backend that opened something."""

    def close(self) -> None:
        """Release what was opened; a later use opens it again."""


@runtime_checkable
class AsyncCloses(Protocol):
    """A `Closes` whose method is awaited."""

    async def close(self) -> None:
        """Release what was opened; a later use opens it again."""


class SessionStorage(Protocol):
    """
    Turns the value of a cookie into a session, and back.

    Each method may be plain or `async def`. Both raise `BackendError` when the server fails; a
    value that leads nowhere is an answer, not an error.
    """

    def read(self, value: str | None, /) -> Session | Awaitable[Session]:
        """
        Return the session that *value* stands for, or a new, empty one.

        Args:
            value: What the cookie carried, its seal verified; a client may still send an old one,
                or one of another storage. None: there is no cookie, and no server is to be asked.
        """

    def save(self, session: Session, /) -> str | None | Awaitable[str | None]:
        """
        Keep what a request did to *session*: changes, a new id, its end.

        Returns:
            The value for the cookie, None for nothing to send, "" for a removal.
        """


def powers_of(storage: object) -> Powers:
    """
    Return what a storage says that it can do.

    Raises:
        ConfigurationError: Its `powers` are no `Powers`.
    """
    powers = storage.powers if isinstance(storage, HasPowers) else Powers()
    if not isinstance(powers, Powers):
        raise ConfigurationError(
            f"{type(storage).__name__}.powers must be a coatcheck.storage.Powers, "
            f"got {type(powers).__name__}"
        )
    return powers
