"""SQLAlchemy's engines over the databases of the tests, and the drivers that they use."""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import AsyncAdaptedQueuePool, Engine, StaticPool, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from coatcheck.storage import SqlStorage

PLAIN = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
ASYNC = {"postgresql": "postgresql+psycopg", "mysql": "mysql+asyncmy", "sqlite": "sqlite+aiosqlite"}


def with_driver(url: str, drivers: dict[str, str]) -> str:
    """Return the URL with the driver of its database."""
    dialect, _, rest = url.partition(":")
    return f"{drivers[dialect]}:{rest}"


FOR_A_RACE = {"pool_size": 10, "max_overflow": 50}
"""The options of an engine that has a connection for each side of a race."""


@contextmanager
def plain_engine(url: str) -> Iterator[Engine]:
    """Open an engine for the threads of a race."""
    engine = create_engine(with_driver(url, PLAIN), **FOR_A_RACE)
    yield engine
    engine.dispose()


def async_engine(url: str) -> AsyncEngine:
    """Return an engine for the tasks of a race."""
    url = with_driver(url, ASYNC)  # up to SQLAlchemy 2.0.37, aiosqlite has another pool by default
    return create_async_engine(url, poolclass=AsyncAdaptedQueuePool, **FOR_A_RACE)


def engine_in_memory() -> Engine:
    """Return an engine to an SQLite in memory, which is closed when the engine is gone."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    weakref.finalize(engine, connection.close)
    return engine


def create_table(url: str) -> None:
    """Make the table of sessions."""
    with plain_engine(url) as engine:
        SqlStorage(engine).create_table()
