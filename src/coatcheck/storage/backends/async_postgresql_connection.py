"""
A connection to PostgreSQL on an event loop, through libpq as psycopg wraps it (`psycopg.pq`).

psycopg's cursors adapt values, look for prepared statements and await several steps for each call.
Here a call is one write to the socket, and its answer is taken where the loop finds the socket
readable. Values and answers are binary.

A connection carries one call at a time. It becomes free when the answer has come, also if the
request that asked was cancelled meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from coatcheck.storage.backends.postgresql_statements import Statement
from coatcheck.storage.lasting import Lasting

Reply = asyncio.Future[PGresult]


class AsyncPostgresqlConnection:
    """
    One connection.

    Args:
        opened: A connection of psycopg that nothing else uses.
        prepares: Whether statements are prepared.
        free: Called with this connection when it can carry the next call.
        ended: Called with this connection when it is of no use any more.
    """

    def __init__(
        self,
        opened: psycopg.AsyncConnection[Any],
        *,
        prepares: bool,
        free: Callable[["AsyncPostgresqlConnection"], None],
        ended: Callable[["AsyncPostgresqlConnection"], None],
    ) -> None:
        self._opened = opened  # psycopg warns when it is collected while it is open
        self._pg = opened.pgconn
        self._pg.nonblocking = 1
        self._socket = self._pg.socket
        self._loop = asyncio.get_running_loop()
        self._prepared: set[bytes] | None = set() if prepares else None
        self._free, self._ended = free, ended
        self._reply: Reply | None = None
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

    def ask(self, statement: Statement, values: Sequence[bytes], *, lasting: bool = False) -> Reply:
        """
        Send a statement; return the future of its result, which may be an error of the server.

        The future raises what ended the connection if it broke before the answer came.

        Args:
            lasting: The future is a `Lasting`.
        """
        reply = self._reply = (Lasting if lasting else asyncio.Future)(loop=self._loop)
        self.asked_at = self._loop.time()
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
            self.end(error)
        return reply

    def end(self, cause: BaseException) -> None:
        """Close the connection; a call that is under way raises *cause*."""
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = -1
            self._pg.finish()
            self._ended(self)
        reply, self._reply = self._reply, None
        if reply and not reply.done():
            reply.set_exception(cause)

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
                    self._answer()
                    return
                self._result = result
        except psycopg.Error as error:
            self.end(error)

    def _answer(self) -> None:
        """Hand over the result that is complete now; nothing waits for a notice of the server."""
        reply, result = self._reply, self._result
        if reply is None or result is None:
            return
        self._result = None
        if self._after and result.status == ExecStatus.COMMAND_OK:
            self._go_on(*self._after)
            return
        self._after = self._reply = None
        if not reply.done():  # its request was cancelled
            reply.set_result(result)
        if self.is_last or self._pg.transaction_status != TransactionStatus.IDLE:
            self.end(ConnectionError("the connection is of no use any more"))
        else:
            self._free(self)

    def _go_on(self, statement: Statement, values: Sequence[bytes]) -> None:
        """Send the call whose statement was prepared."""
        self._after = None
        if self._prepared is not None:
            self._prepared.add(statement.name)
        self._pg.send_query_prepared(statement.name, values, statement.formats, 1)
        self._flush()
