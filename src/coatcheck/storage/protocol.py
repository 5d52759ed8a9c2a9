"""
What a storage is: two methods, plain or `async def`.

A storage may also say two things about itself, which the middleware reads:

    waits       False: a call never waits for a disk or a server, and is made in place under ASGI;
                without it, a plain storage is called in a worker thread
    saves_late  True: what changes after the headers have left can still be saved under the id that
                the client holds; without it, such a change raises `ResponseStarted`
    aio         the asynchronous form of the same storage, which ASGI applications use instead

`coatcheck.testing.StorageContract` tests each sentence of the docstrings below.
"""

from typing import Protocol

from coatcheck.sessions import Session


class SyncSessionStorage(Protocol):
    """A storage with plain methods, for WSGI and ASGI."""

    def read(self, value: str | None, /) -> Session:
        """
        Return the session that *value* stands for, or a new, empty one.

        Args:
            value: What the cookie carried, its seal verified; a client may still send an old one, or
                one of another storage. None: there is no cookie, and nobody is to be asked.

        Raises:
            BackendError: The server failed. A value that leads nowhere is an answer, not an error.
        """

    def save(self, session: Session, /) -> str | None:
        """
        Keep what a request did to *session*: changes, a new id, its end.

        Returns:
            The value for the cookie, None for nothing to send, "" for a removal.

        Raises:
            BackendError: The server failed.
        """


class AsyncSessionStorage(Protocol):
    """A storage whose methods are awaited, for ASGI. The contract is the same, word for word."""

    async def read(self, value: str | None, /) -> Session:
        """Return the session that *value* stands for, or a new, empty one."""

    async def save(self, session: Session, /) -> str | None:
        """Keep what a request did to *session*: changes, a new id, its end."""


SessionStorage = SyncSessionStorage | AsyncSessionStorage
"""What `session(cookie, storage)` takes."""
