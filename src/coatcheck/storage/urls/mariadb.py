"""The awaited storage in MariaDB or MySQL from a URL: connections of its own, to the driver."""

import math
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote

from coatcheck.storage.backends.async_mariadb_backend import AsyncMariadbBackend
from coatcheck.storage.backends.async_mariadb_pool import AsyncMariadbPool
from coatcheck.storage.backends.batching import BatchingBackend, Limits
from coatcheck.storage.backends.database_place import Place
from coatcheck.storage.backends.mariadb_statements import Statements
from coatcheck.storage.clock import TimeSource
from coatcheck.storage.urls.lazy import AsyncConnected
from coatcheck.storage.urls.parsing import account_of

LANES = 2
"""Batches of reads, and batches of writes, that are under way at a time."""

BYTES = 500_000
"""Bytes of the records in a batch; in a packet they take twice as many."""


async def open_async_backend(
    url: SplitResult,
    options: Mapping[str, Any],
    address: tuple[str | None, int | None],
    clock: TimeSource,
) -> AsyncConnected:
    """Open the awaited backend, and make its table if the option create_table is yes."""
    pool = AsyncMariadbPool(place_of(url, options, address))
    backend = AsyncMariadbBackend(pool, Statements(options["table"]), clock=clock)
    if options.get("create_table"):
        await backend.create_table()
    lanes = min(LANES, options["pool_size"])
    limits = Limits(lanes=lanes, size=BYTES, wait=options["timeout"])
    return AsyncConnected(BatchingBackend(backend, reads=limits, writes=limits), pool.close)


def place_of(
    url: SplitResult, options: Mapping[str, Any], address: tuple[str | None, int | None]
) -> Place:
    """Return where the server of a URL is; an address of None is the driver's own default."""
    (host, port), (user, password) = address, account_of(url)
    named = {
        "host": host,
        "port": port,
        "user": user,
        "password": password,
        "db": unquote(url.path.lstrip("/")),
        "connect_timeout": math.ceil(options["timeout"]),
    }
    if "ssl_ca" in options:
        named["ssl"] = ssl.create_default_context(cafile=options["ssl_ca"])
    return Place(
        name=f"{url.scheme} at {host}:{port}" if host else url.scheme,
        arguments={name: value for name, value in named.items() if value is not None},
        size=options["pool_size"],
        timeout=options["timeout"],
    )
