"""
What a storage is: two methods, plain or `async def`.

A storage may also have these, which the middleware uses:

    waits       False: a call never waits for a disk or a server, and is made in place under ASGI;
                without it, a plain storage is called in a worker thread
    saves_late  True: what changes after the headers have left can still be saved under the id that
                the client holds; without it, such a change raises `ResponseStarted`
    starts_empty  True: `read(None)` returns a new, empty session and does nothing more, so that it
                need not be called
    seldom_waits  True: `save` is a coroutine that mostly ends without waiting for anything, and may
                begin in the task of the request and go on in another
    aio         the asynchronous form of the same storage, which ASGI applications use instead
    close()     releases what the storage opened, when an ASGI application shuts down; plain or
                `async def`, and no end: a storage that is used again opens again

`coatcheck.testing.StorageContract` tests each sentence of the docstrings below.
"""

from collections.abc import Awaitable
from typing import Protocol

from coatcheck._session.session import Session


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
                or one of another storage. None: there is no cookie, and nobody is to be asked.
        """

    def save(self, session: Session, /) -> str | None | Awaitable[str | None]:
        """
        Keep what a request did to *session*: changes, a new id, its end.

        Returns:
            The value for the cookie, None for nothing to send, "" for a removal.
        """
