"""
Storages in PostgreSQL from a URL: connections of their own, to the driver.

A certificate of the URL is there to check the server: then its name is compared, too.
"""

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote

from coatcheck.storage.backends.async_postgresql_backend import AsyncPostgresqlBackend
from coatcheck.storage.backends.async_postgresql_pool import AsyncPostgresqlPool
from coatcheck.storage.backends.batching import BatchingBackend, Limits
from coatcheck.storage.backends.database_place import Place
from coatcheck.storage.backends.postgresql_backend import PostgresqlBackend
from coatcheck.storage.backends.postgresql_pool import PostgresqlPool
from coatcheck.storage.backends.postgresql_statements import Statements
from coatcheck.storage.clock import TimeSource
from coatcheck.storage.urls.lazy import AsyncConnected, Connected
from coatcheck.storage.urls.parsing import account_of

LANES = 2
"""Batches of reads, and batches of writes, that are under way at a time."""


def open_backend(
    url: SplitResult,
    options: Mapping[str, Any],
    address: tuple[str | None, int | None],
    clock: TimeSource,
) -> Connected:
    """Open the plain backend, and make its table if the option create_table is yes."""
    pool = PostgresqlPool(place_of(url, options, address))
    backend = PostgresqlBackend(pool, _statements(options), clock=clock)
    if options.get("create_table"):
        backend.create_table()
    return Connected(backend, pool.close)


async def open_async_backend(
    url: SplitResult,
    options: Mapping[str, Any],
    address: tuple[str | None, int | None],
    clock: TimeSource,
) -> AsyncConnected:
    """Open the awaited backend, and make its table if the option create_table is yes."""
    pool = AsyncPostgresqlPool(place_of(url, options, address))
    backend = AsyncPostgresqlBackend(pool, _statements(options), clock=clock)
    if options.get("create_table"):
        await backend.create_table()
    limits = Limits(lanes=min(LANES, options["pool_size"]), wait=options["timeout"])
    return AsyncConnected(BatchingBackend(backend, reads=limits, writes=limits), pool.close)


def place_of(
    url: SplitResult, options: Mapping[str, Any], address: tuple[str | None, int | None]
) -> Place:
    """Return where the server of a URL is; an address of None is libpq's own default."""
    (host, port), (user, password) = address, account_of(url)
    named = {
        "host": host,
        "port": port,
        "user": user,
        "password": password,
        "connect_timeout": math.ceil(options["timeout"]),
        "dbname": unquote(url.path.lstrip("/")),
        **{name: value for name, value in options.items() if name.startswith("ssl")},
    }
    if "sslrootcert" in named:
        named = {"sslmode": "verify-full", **named}
    return Place(
        name=f"postgresql at {host}:{port}" if host else "postgresql",
        arguments={name: value for name, value in named.items() if value is not None},
        size=options["pool_size"],
        timeout=options["timeout"],
        prepares=options.get("prepare", True),
    )


def _statements(options: Mapping[str, Any]) -> Statements:
    return Statements(options["table"], relaxed=options.get("durability") == "relaxed")
