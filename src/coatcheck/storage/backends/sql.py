"""
Sessions in a table of an SQL database, over SQLAlchemy's engines, plain or asyncio.

A read is one SELECT, a write one conditional UPDATE, a new session one INSERT, each in a commit of
its own, on a connection of its own: the application's transactions are not touched. A row has a
random version, new with every write, so that a write need not send the old record along.
"""

from importlib import import_module
from typing import TYPE_CHECKING, overload

from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import check_text, not_of_form
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table
    from sqlalchemy.ext.asyncio import AsyncEngine

    from coatcheck.storage.backends.async_sql_backend import AsyncSqlBackend
    from coatcheck.storage.backends.sql_backend import SqlBackend

TABLE = "coatcheck_sessions"


class SqlKeyedStorage(KeyedStorage):
    """A `KeyedStorage` that can make its table."""

    backend: "SqlBackend"

    def create_table(self) -> None:
        """
        Make the table and its index, if there is no table of that name.

        Raises:
            BackendError: The database failed, or does not allow it.
        """
        self.backend.create_table()


class AsyncSqlKeyedStorage(AsyncKeyedStorage):
    """An `AsyncKeyedStorage` that can make its table."""

    backend: "AsyncSqlBackend"

    async def create_table(self) -> None:
        """
        Make the table and its index, if there is no table of that name.

        Raises:
            BackendError: The database failed, or does not allow it.
        """
        await self.backend.create_table()


def sessions_table(metadata: "MetaData", name: str = TABLE) -> "Table":
    """Return the table of sessions as part of the application's own, for its migrations."""
    from coatcheck.storage.backends.sql_table import table_of

    return table_of(metadata, name)


@overload
def SqlStorage(
    engine: "AsyncEngine",
    *,
    table: str = ...,
    prefix: str = ...,
    sweep_every: int | None = ...,
    clock: TimeSource | None = ...,
    encrypt: bool = ...,
) -> AsyncSqlKeyedStorage: ...
@overload
def SqlStorage(
    engine: "Engine",
    *,
    table: str = ...,
    prefix: str = ...,
    sweep_every: int | None = ...,
    clock: TimeSource | None = ...,
    encrypt: bool = ...,
) -> SqlKeyedStorage: ...
def SqlStorage(
    engine: "Engine | AsyncEngine",
    *,
    table: str = TABLE,
    prefix: str = "",
    sweep_every: int | None = None,
    clock: TimeSource | None = None,
    encrypt: bool = False,
) -> SqlKeyedStorage | AsyncSqlKeyedStorage:
    """
    Return a storage in a table of an SQL database.

    Args:
        engine: SQLAlchemy's, plain for any application, or asyncio for ASGI. Its pool and its
            timeouts are the application's; a request that holds a connection itself needs one more.
        table: Made by `create_table()`, or by a migration of the application.
        prefix: Goes before every key, so that applications can share a table.
        sweep_every: New sessions between two small sweeps; None: the application sweeps.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id, which the database never
            sees (extra `coatcheck[encrypt]`).

    Raises:
        ConfigurationError: An argument is of another kind, or SQLAlchemy or greenlet is not
            installed.
    """
    try:
        from sqlalchemy import Engine
    except ImportError as missing:
        raise ConfigurationError(
            "SqlStorage needs the package sqlalchemy: pip install 'coatcheck[sql]'"
        ) from missing
    check_text("table", table, empty=False)
    clock = clock or system_clock
    if isinstance(engine, Engine):
        from coatcheck.storage.backends.sql_backend import SqlBackend

        return SqlKeyedStorage(
            SqlBackend(engine, _made(table), clock=clock),
            prefix=prefix,
            clock=clock,
            sweep_every=sweep_every,
            encrypt=encrypt,
        )
    _check_awaited(engine)
    from coatcheck.storage.backends.async_sql_backend import AsyncSqlBackend

    return AsyncSqlKeyedStorage(
        AsyncSqlBackend(engine, _made(table), clock=clock),
        prefix=prefix,
        clock=clock,
        sweep_every=sweep_every,
        encrypt=encrypt,
    )


def _made(name: str) -> "Table":
    from sqlalchemy import MetaData

    return sessions_table(MetaData(), name)


def _check_awaited(engine: object) -> None:
    """
    Check an engine that is no plain one.

    Raises:
        ConfigurationError: It is no asyncio engine, or greenlet is not installed, which that needs.
    """
    try:
        from sqlalchemy.ext.asyncio import AsyncEngine
    except ImportError:  # SQLAlchemy 2.1 without greenlet makes none
        is_awaited = False
    else:
        is_awaited = isinstance(engine, AsyncEngine)
    if not is_awaited:
        raise not_of_form("engine", "an engine of SQLAlchemy, plain or asyncio", engine)
    try:
        import_module("greenlet")
    except ImportError as missing:
        raise ConfigurationError(
            "an asyncio engine of SQLAlchemy needs the package greenlet: "
            "pip install 'coatcheck[sql]'"
        ) from missing
