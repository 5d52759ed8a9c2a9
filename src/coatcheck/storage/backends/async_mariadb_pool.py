"""
The connections of one event loop to MariaDB or MySQL, through asyncmy.

A statement never waits for a row that another transaction holds (`innodb_lock_wait_timeout` is 0;
MySQL makes that one second). A single statement is prepared; several go in one packet, in one
transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from weakref import ref

import asyncmy
from asyncmy.constants.CLIENT import FOUND_ROWS, MULTI_STATEMENTS
from asyncmy.errors import Error

from coatcheck.errors import BackendError
from coatcheck.storage.backends.async_connections import LONGEST_CLOSE, AsyncConnections
from coatcheck.storage.backends.database_place import Place, unreachable
from coatcheck.storage.backends.sql_codes import (
    DEADLOCKS,
    DEMOTED,
    WITHHELD,
    Deadlock,
    Demoted,
    Held,
    Lost,
    Rejected,
    Taken,
)
from coatcheck.storage.resuming import resume

T = TypeVar("T")

_TAKEN, _HELD = 1062, frozenset({1205, 3572})

_LOST = frozenset({1053, 1077, 1317, 1927, 2006, 2013, 2014, 2055, 4031})
"""The server ended the connection, or shuts down; the driver lost it."""

_QUIET = frozenset({*DEADLOCKS, *DEMOTED, *_HELD, *_LOST, 1045, 1142, 1146, 2003})
"""Errors whose messages quote no value of a statement."""


class AsyncMariadbConnection:
    """
    One connection.

    Args:
        opened: A connection of asyncmy that nothing else uses.
        ended: Called with this connection when it is of no use any more.
    """

    def __init__(self, opened: Any, ended: Callable[["AsyncMariadbConnection"], None]) -> None:
        self._opened = opened
        self._cursor = opened.cursor()
        _hasten(opened)
        self._statements: dict[str, Any] = {}
        self._ended = ended
        self.cause: BaseException | None = None
        """The error that ended it."""
        self.is_busy = self.is_last = False
        self.asked_at = 0.0

    async def execute(self, text: str, values: Sequence[object]) -> Any:
        """Run a statement with markers of the server (`?`), prepared; return asyncmy's result."""
        statement = self._statements.get(text)
        if statement is None:
            statement = self._statements[text] = await self._opened.prepare(text)
        return await statement.execute(values)

    async def select(
        self, text: str, values: Sequence[object] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """
        Return the rows of a statement.

        Args:
            values: For its markers (`%s`): then asyncmy prepares it, and reads its rows in fewer
                steps than those of `execute`.
        """
        cursor = self._cursor
        await cursor.execute(text, values)
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
        return rows

    async def execute_all(self, statements: Sequence[str]) -> list[Any]:
        """Run statements in one packet; return how many rows each changed, or the rows it found."""
        cursor = self._cursor
        await cursor.execute(";".join(statements))
        results = [cursor.rowcount]
        while await cursor.nextset():
            is_found = cursor.description is not None
            results.append(await cursor.fetchall() if is_found else cursor.rowcount)
        return results

    async def quit(self) -> None:
        """Take leave of the server, and wait until the socket is closed."""
        await self._opened.ensure_closed()

    def end(self, cause: BaseException) -> None:
        """Close the connection; a call that is under way raises."""
        if self.cause is None:
            self.cause = cause
            self._opened.close()
            self._ended(self)


Do = Callable[..., Awaitable[T]]


class AsyncMariadbPool(AsyncConnections[AsyncMariadbConnection]):
    """
    Connections of the running event loop.

    Args:
        place: Where the server is, and how it is reached.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place, self._connected, Error)

    async def run(self, doing: str, do: Do[T], *what: Any) -> T:
        """
        Call *do* with a connection and *what*, and return its result.

        Raises:
            BackendError: See `sql_codes` for its kinds.
        """
        connection = self._idle.pop() if self._idle else await self.wait(doing)
        connection.asked_at, connection.is_busy = self._loop.time(), True
        try:
            result = await do(connection, *what)
        except (Error, OSError) as error:
            connection.is_busy = False
            told = self._told(error, doing, connection)
            raise told from told.__cause__
        except BaseException as error:  # asyncmy may wait for the rest of an answer
            connection.end(error)
            raise
        connection.is_busy = False
        self._give_back(connection)
        return result

    async def _leave(self, connection: AsyncMariadbConnection) -> None:
        """Close a connection; over TLS that takes an answer, and the loop may end after it."""
        if not connection.is_busy:
            with suppress(Error, OSError):  # without an answer it is closed all the same
                async with asyncio.timeout(LONGEST_CLOSE):
                    await connection.quit()
        await super()._leave(connection)

    def _told(
        self, error: Exception, doing: str, connection: AsyncMariadbConnection
    ) -> BackendError:
        """Return what an error means; give the connection back, or end it."""
        if isinstance(connection.cause, TimeoutError):
            return unreachable(self.place.name, doing, connection.cause)
        told = error_of(error, self.place.name, doing)
        if isinstance(told, Lost | Demoted):
            connection.end(error)
            self.drop()
        else:
            self._give_back(connection)
        return told

    def _give_back(self, connection: AsyncMariadbConnection) -> None:
        if connection.is_last:
            connection.end(ConnectionError("the connection is of no use any more"))
        else:
            self.free(connection)

    async def _connected(self) -> AsyncMariadbConnection:
        opened = await asyncmy.connect(
            autocommit=True,
            client_flag=MULTI_STATEMENTS | FOUND_ROWS,
            init_command="SET SESSION innodb_lock_wait_timeout = 0",
            stmt_cache_size=1,
            **self.place.arguments,
        )
        return AsyncMariadbConnection(opened, self.ended)


def _hasten(opened: Any) -> None:
    """
    Let an answer resume its request where it arrives.

    asyncmy resumes it in the next turn of the loop, and has no option for that. So it is if its
    attributes have other names one day, or if a transport holds the method already (TLS, uvloop).
    """
    protocol: Any = getattr(opened, "_proto", None)
    if not hasattr(protocol, "_read_waiter"):
        return
    received, found = type(protocol).buffer_updated, ref(protocol)  # in no cycle with its protocol

    def buffer_updated(size: int) -> None:
        its: Any = found()
        waiter, its._read_waiter = its._read_waiter, None
        received(its, size)
        if waiter is not None and not waiter.done():
            resume(waiter, None)

    protocol.buffer_updated = buffer_updated


def error_of(error: Exception, server: str, doing: str) -> BackendError:
    """Return what an error of the driver means, with a cause that quotes no value."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    told = _kind_of(code, error)(server, doing)
    said = error.args[1:2] if code in _QUIET else (WITHHELD,)
    told.__cause__ = type(error)(code, *said) if isinstance(error, Error) else error
    return told


def _kind_of(code: int, error: Exception) -> type[BackendError]:
    if code in DEADLOCKS:
        return Deadlock
    if code in DEMOTED:
        return Demoted
    if code in _HELD:
        return Held
    if code == _TAKEN:
        return Taken
    return Lost if code in _LOST or isinstance(error, OSError) or not code else Rejected
