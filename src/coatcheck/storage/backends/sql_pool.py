"""
Events that a storage adds to the pool of an engine, also of the application's own.

- A connection stays in the process that opened it. Two processes that use one connection get each
  other's answers, and a server that forks its workers after the application was imported hands them
  every connection that was open then. A child opens its own, and leaves what it inherited as it is:
  to close it properly would end it for the parent, too.
- If a server refuses a write because it was demoted, every connection of the pool is dropped. A new
  one may lead to the server that takes writes now. So too if a connection turns out to be broken
  before anything was asked.

Source: https://docs.sqlalchemy.org/en/20/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork
"""

import os
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from coatcheck.storage.backends.sql_codes import DEMOTED, codes_of

OURS = "coatcheck"
"""The execution option that marks the statements of a storage."""

_PROCESS = "coatcheck_process"

_inherited: list[Any] = []
"""Connections of a parent process, kept so that nothing closes them."""


class Watched:
    """
    The pool of an engine that follows the rules above.

    Args:
        engine: Its connections that are open already belong to this process.
    """

    def __init__(self, engine: Engine) -> None:
        self._opened_before = os.getpid()
        self._is_stale = False
        event.listen(engine, "handle_error", _drop_if_demoted)
        in_memory = engine.dialect.name == "sqlite" and isinstance(
            engine.pool, SingletonThreadPool | StaticPool
        )
        if not in_memory:  # a child has a copy of a database in memory, and no other way to it
            event.listen(engine, "connect", self._note)
            event.listen(engine, "checkout", self._check)

    def drop(self) -> None:
        """Let every connection that is open now be replaced before it is used again."""
        self._is_stale = True

    def _note(self, _: object, record: Any) -> None:
        record.info[_PROCESS] = os.getpid()

    def _check(self, connection: Any, record: Any, proxy: Any) -> None:
        if record.info.setdefault(_PROCESS, self._opened_before) != os.getpid():
            _inherited.append(connection)
            record.dbapi_connection = proxy.dbapi_connection = None
            raise DisconnectionError("the connection belongs to another process")
        if self._is_stale:
            self._is_stale = False
            raise InvalidatePoolError("the connections of this pool are broken")


_all: WeakKeyDictionary[Engine, Watched] = WeakKeyDictionary()


def watch(engine: Engine) -> Watched:
    """Let the pool of an engine follow the rules above, however many storages are on it."""
    watched = _all.get(engine)
    if watched is None:
        watched = _all[engine] = Watched(engine)
    return watched


def _drop_if_demoted(context: ExceptionContext) -> None:
    # Only for our statements: a transaction of the application may be read-only on purpose.
    ours = context.connection and context.connection.get_execution_options().get(OURS)
    if ours and codes_of(context.original_exception) & DEMOTED:
        context.is_disconnect = True  # SQLAlchemy drops the whole pool then
