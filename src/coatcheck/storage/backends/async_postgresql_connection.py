"""
A connection to PostgreSQL on an event loop, through libpq as psycopg wraps it (`psycopg.pq`).

psycopg's cursors adapt values, look for prepared statements and await several steps for each call.
Here a call is one write to the socket, and its answer is taken where the loop finds the socket
readable, and handed over there. Values and answers are binary.

A connection carries one call at a time. It becomes free when the answer has come, also if the
request that asked was cancelled meanwhile.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from coatcheck.errors import BackendError
from coatcheck.storage.backends.database_place import Place, unreachable
from coatcheck.storage.backends.postgresql_errors import broken, error_of
from coatcheck.storage.backends.postgresql_statements import Statement
from coatcheck.storage.backends.sql_codes import WRITE, Demoted, Lost, Stale
from coatcheck.storage.lasting import Lasting
from coatcheck.storage.resuming import resume

Reply = asyncio.Future[PGresult]

_FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class Pool(Protocol):
    """The connections that one of them belongs to."""

    place: Place

    def free(self, connection: Any, /) -> None:
        """Note that it can carry the next call."""

    def ended(self, connection: Any, /) -> None:
        """Note that it is of no use any more."""

    def drop(self) -> None:
        """Close all connections."""


class AsyncPostgresqlConnection:
    """
    One connection.

    Args:
        opened: A connection of psycopg that nothing else uses.
        pool: Is told when it is free, and when it has ended.
    """

    def __init__(self, opened: psycopg.AsyncConnection[Any], pool: Pool) -> None:
        self._opened = opened  # psycopg warns when it is collected while it is open
        self._pool = pool
        self._pg = opened.pgconn
        self._pg.nonblocking = 1
        self._socket = self._pg.socket
        self._loop = asyncio.get_running_loop()
        self._prepared: set[bytes] | None = set() if pool.place.prepares else None
        self._reply: Reply | None = None
        self._doing = ""
        self._result: PGresult | None = None
        self._after: tuple[Statement, Sequence[bytes]] | None = None
        """The call that follows when its statement has been prepared."""
        self.asked_at = 0.0
        """The loop's time of the last call."""
        self.is_last = False
        """Whether it is closed when the answer to its call has come."""
        self._loop.add_reader(self._socket, self._read)

    @property
    def is_busy(self) -> bool:
        """Whether the answer to a call is still to come."""
        return self._reply is not None

    def ask(self, doing: str, statement: Statement, values: Sequence[bytes]) -> Reply:
        """
        Send a statement; return the future of its result, for a write a `Lasting`.

        The future raises `BackendError`: see `sql_codes` for its kinds.
        """
        failure = None
        try:
            if self._prepared is None:
                self._pg.send_query_params(statement.text, values, None, statement.formats, 1)
            elif statement.name in self._prepared:
                self._pg.send_query_prepared(statement.name, values, statement.formats, 1)
            else:
                self._after = (statement, values)
                self._pg.send_prepare(statement.name, statement.text)
            self._flush()
        except psycopg.Error as error:
            failure = error
        # The server is at work from here on, so the rest takes no time of the request.
        reply = self._reply = (Lasting if doing == WRITE else asyncio.Future)(loop=self._loop)
        self._doing = doing
        self.asked_at = self._loop.time()
        if failure:
            self.end(failure)
        return reply

    def end(self, cause: BaseException) -> None:
        """Close the connection; a call that is under way fails, and *cause* is the reason."""
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = -1
            self._pg.finish()
            self._pool.ended(self)
        reply, self._reply = self._reply, None
        if reply is None:
            return
        cause = cause.with_traceback(None)
        error: BackendError
        if isinstance(cause, TimeoutError):  # another try would wait as long again
            error = unreachable(self._pool.place.name, self._doing, cause)
        else:
            error = broken(self._pool.place.name, self._doing, cause)
            self._pool.drop()
        if not reply.done():  # its request was cancelled
            reply.set_exception(error)

    def _flush(self) -> None:
        if self._pg.flush():  # 1: the socket takes no more for now
            self._loop.add_writer(self._socket, self._write)

    def _write(self) -> None:
        try:
            if not self._pg.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self.end(error)

    def _read(self) -> None:
        pg = self._pg
        try:
            pg.consume_input()
            while not pg.is_busy():
                result = pg.get_result()
                if result is None:
                    break
                self._result = result
            else:
                return
            if self._after and self._result and self._result.status == ExecStatus.COMMAND_OK:
                self._go_on(*self._after)
                return
        except psycopg.Error as error:
            self.end(error)
            return
        self._answer()

    def _go_on(self, statement: Statement, values: Sequence[bytes]) -> None:
        """Send the call whose statement was prepared."""
        self._after = self._result = None
        if self._prepared is not None:
            self._prepared.add(statement.name)
        self._pg.send_query_prepared(statement.name, values, statement.formats, 1)
        self._flush()

    def _answer(self) -> None:
        """Hand over the result that is complete now; nothing waits for a notice of the server."""
        reply, result = self._reply, self._result
        if reply is None or result is None:
            return
        self._after = self._result = self._reply = None
        if self.is_last or self._pg.transaction_status != TransactionStatus.IDLE:
            self.end(ConnectionError("the connection is of no use any more"))
        else:
            self._pool.free(self)
        if result.status not in _FINE:
            self._refuse(reply, result)
        elif not reply.done():  # its request was cancelled
            resume(reply, result)  # it may ask again at once

    def _refuse(self, reply: Reply, result: PGresult) -> None:
        """Hand over a result that is an error."""
        refusal = error_of(result, self._pool.place.name, self._doing)
        if isinstance(refusal, Demoted | Stale | Lost):
            self._pool.drop()
        if not reply.done():
            reply.set_exception(refusal)
