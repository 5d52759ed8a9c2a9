"""Backends over a PostgreSQL of the tests, each with a table of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from coatcheck.storage.backends.async_postgresql_backend import AsyncPostgresqlBackend
from coatcheck.storage.backends.async_postgresql_pool import AsyncPostgresqlPool
from coatcheck.storage.backends.database_place import Place
from coatcheck.storage.backends.postgresql_backend import PostgresqlBackend
from coatcheck.storage.backends.postgresql_pool import PostgresqlPool
from coatcheck.storage.backends.postgresql_statements import Statements
from coatcheck.storage.clock import TimeSource, system_clock


def new_table() -> str:
    """Return the name of a table that is not there yet."""
    return f"test_{uuid4().hex[:8]}"


def place_at(url: str, **more: Any) -> Place:
    """Return the place of a server."""
    at = urlsplit(url)
    named = {"host": at.hostname, "port": at.port, "user": at.username, "dbname": at.path[1:]}
    return Place(f"postgresql at {at.hostname}:{at.port}", named, **more)


@asynccontextmanager
async def awaited(
    url: str,
    *,
    table: str = "coatcheck_sessions",
    relaxed: bool = False,
    clock: TimeSource = system_clock,
    **more: Any,
) -> AsyncIterator[AsyncPostgresqlBackend]:
    """Open an awaited backend, and make its table."""
    pool = AsyncPostgresqlPool(place_at(url, **more))
    backend = AsyncPostgresqlBackend(pool, Statements(table, relaxed=relaxed), clock=clock)
    try:
        await backend.create_table()
        yield backend
    finally:
        await pool.close()


@contextmanager
def plain(
    url: str,
    *,
    table: str = "coatcheck_sessions",
    clock: TimeSource = system_clock,
    **more: Any,
) -> Iterator[PostgresqlBackend]:
    """Open a plain backend, and make its table."""
    pool = PostgresqlPool(place_at(url, **more))
    backend = PostgresqlBackend(pool, Statements(table), clock=clock)
    try:
        backend.create_table()
        yield backend
    finally:
        pool.close()


@contextmanager
def rival_at(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Open another connection, whose transactions the test ends."""
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


@contextmanager
def administrator_at(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Open another connection, in autocommit."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
