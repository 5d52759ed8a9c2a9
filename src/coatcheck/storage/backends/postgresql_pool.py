"""
The connections of one process to a PostgreSQL, for threads; see `async_postgresql_pool`.

A call takes a connection that is idle, or makes one if there are fewer than *size*; else it waits
until one is free, in the order in which calls came. After one could not be made, threads wait a
little longer each time before they try again.
"""

import selectors
import time
from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from coatcheck.storage.backends.database_place import Place, longer, unreachable
from coatcheck.storage.backends.postgresql_errors import broken, error_of
from coatcheck.storage.backends.postgresql_statements import Statement
from coatcheck.storage.backends.sql_codes import Demoted, Lost, Stale

_FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class PostgresqlConnection:
    """
    One connection, for one thread at a time.

    Args:
        opened: A connection of psycopg that nothing else uses.
        prepares: Whether statements are prepared.
    """

    def __init__(self, opened: psycopg.Connection[Any], *, prepares: bool) -> None:
        self._opened = opened
        self._pg = opened.pgconn
        self._pg.nonblocking = 1
        self._prepared: set[bytes] | None = set() if prepares else None
        self._selector = selectors.DefaultSelector()  # gevent replaces the class
        self._events = selectors.EVENT_READ
        self._selector.register(self._pg.socket, self._events)
        self.opened_at = time.monotonic()

    @property
    def is_usable(self) -> bool:
        """Whether it can carry the next call."""
        return self._pg.transaction_status == TransactionStatus.IDLE

    def ask(self, statement: Statement, values: Sequence[bytes], timeout: float) -> PGresult:
        """
        Run a statement; return its result, which may be an error of the server.

        Raises:
            TimeoutError: The answer took longer than *timeout* seconds.
            psycopg.Error: The connection broke.
        """
        until = time.monotonic() + timeout
        if self._prepared is None:
            self._pg.send_query_params(statement.text, values, None, statement.formats, 1)
            return self._answer(until)
        if statement.name not in self._prepared:
            self._pg.send_prepare(statement.name, statement.text)
            result = self._answer(until)
            if result.status not in _FINE:
                return result
            self._prepared.add(statement.name)
        self._pg.send_query_prepared(statement.name, values, statement.formats, 1)
        return self._answer(until)

    def end(self) -> None:
        """Close the connection."""
        self._selector.close()
        self._pg.finish()

    def _answer(self, until: float) -> PGresult:
        pg = self._pg
        while pg.flush():
            self._wait(until, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while pg.is_busy():
            self._wait(until, selectors.EVENT_READ)
        last = result = pg.get_result()
        while result:
            last, result = result, pg.get_result()
        if last is None:
            raise psycopg.OperationalError("the server sent no answer")
        return last

    def _wait(self, until: float, events: int) -> None:
        """Wait until the socket can be read, or written; take what has come."""
        if events != self._events:
            self._events = events
            self._selector.modify(self._pg.socket, events)
        ready = self._selector.select(max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError("timed out")
        if ready[0][1] & selectors.EVENT_READ:
            self._pg.consume_input()


class Waiter:
    """A thread that waits for its turn; then it has a connection, or may make one."""

    __slots__ = ("connection", "turn")

    def __init__(self) -> None:
        self.connection: PostgresqlConnection | None = None
        self.turn = Lock()
        self.turn.acquire()


class PostgresqlPool:
    """
    Connections of this process.

    Args:
        place: Where the server is, and how it is reached.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._lock = Lock()
        self._idle: list[PostgresqlConnection] = []
        self._waiting: deque[Waiter] = deque()
        self._count = 0
        """Connections that are open or being opened."""
        self._pause = 0.0
        self._not_before = 0.0
        self._dropped_at = 0.0
        """Connections from before that are not used again."""

    def run(self, doing: str, statement: Statement, values: Sequence[bytes]) -> PGresult:
        """
        Run a statement, and return its result.

        Raises:
            BackendError: See `sql_codes` for its kinds.
        """
        connection, result = self._free_one(doing), None
        try:
            result = connection.ask(statement, values, self.place.timeout)
        except TimeoutError as late:  # another try would wait as long again
            raise unreachable(self.place.name, doing, late) from late
        except (psycopg.Error, OSError) as error:
            self.drop()
            raise broken(self.place.name, doing, error.with_traceback(None)) from error
        finally:
            self._give_back(connection, is_fine=result is not None)
        if result.status in _FINE:
            return result
        refusal = error_of(result, self.place.name, doing)
        if isinstance(refusal, Demoted | Stale | Lost):
            self.drop()
        raise refusal

    def drop(self) -> None:
        """Close the connections that are open now; one with a call under way, after its answer."""
        with self._lock:
            self._dropped_at = time.monotonic()
            idle, self._idle = self._idle, []
            self._count -= len(idle)
        for connection in idle:
            connection.end()

    def close(self) -> None:
        """Close every connection that is idle; one that is in use, after its call."""
        self.drop()

    def _free_one(self, doing: str) -> PostgresqlConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            waiter = None
            if self._count < self.place.size:
                self._count += 1
            else:
                waiter = Waiter()
                self._waiting.append(waiter)
        try:
            connection = self._turn_of(waiter) if waiter else None
            return connection or self._opened()
        except (psycopg.Error, OSError) as error:
            raise unreachable(self.place.name, doing, error) from error

    def _turn_of(self, waiter: Waiter) -> PostgresqlConnection | None:
        """Wait for the turn of this thread; return its connection, or None: it may make one."""
        if not waiter.turn.acquire(timeout=self.place.timeout):
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                    raise TimeoutError("no connection was free in time")
        return waiter.connection

    def _opened(self) -> PostgresqlConnection:
        connection = None
        try:
            time.sleep(max(0.0, self._not_before - time.monotonic()))
            opened = psycopg.Connection.connect(autocommit=True, **self.place.arguments)
            connection = PostgresqlConnection(opened, prepares=self.place.prepares)
        finally:
            with self._lock:
                self._pause = 0.0 if connection else longer(self._pause)
                self._not_before = time.monotonic() + self._pause
                if connection is None:
                    self._leave_room()
        return connection

    def _give_back(self, connection: PostgresqlConnection, *, is_fine: bool) -> None:
        """Give a connection to the thread that has waited longest, keep it, or close it."""
        with self._lock:
            if is_fine and connection.is_usable and connection.opened_at >= self._dropped_at:
                if self._waiting:
                    waiter = self._waiting.popleft()
                    waiter.connection = connection
                    waiter.turn.release()
                else:
                    self._idle.append(connection)
                return
            self._leave_room()
        connection.end()

    def _leave_room(self) -> None:
        """Let the thread that has waited longest make a connection in place of one that is gone."""
        if self._waiting:
            self._waiting.popleft().turn.release()
        else:
            self._count -= 1
