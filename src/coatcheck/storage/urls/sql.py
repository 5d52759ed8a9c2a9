"""
Storages in SQL databases from a URL: checks of the URL, and what opens them.

PostgreSQL is asked through psycopg's libpq, MariaDB and MySQL through asyncmy, and from threads
through an engine of SQLAlchemy over PyMySQL.
"""

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote

from coatcheck._cookie.weak import warn_of_weak
from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.sql import SqlStorage
from coatcheck.storage.clock import TimeSource
from coatcheck.storage.urls.lazy import AsyncConnected, Connected
from coatcheck.storage.urls.parsing import account_of, check_key, one_host_of

if TYPE_CHECKING:
    from sqlalchemy import URL

PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""The values of libpq's sslmode, from the weakest to the strongest."""

EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


UNCHECKED = ("require", "verify-ca")
"""Values of sslmode that ask for TLS and take the certificate of another server."""


@dataclass(frozen=True, slots=True, repr=False)
class Database:
    """The database and the options of a URL. The repr hides them, and the password among them."""

    url: SplitResult
    options: Mapping[str, Any]
    clock: TimeSource


def open_database(database: Database) -> Connected:
    """Open the plain backend, and make its table if the option create_table is yes."""
    if database.url.scheme != "postgresql":
        return open_engine(database)
    from coatcheck.storage.urls.postgresql import open_backend

    return open_backend(database.url, database.options, _address(database.url), database.clock)


async def open_async_database(database: Database) -> AsyncConnected:
    """Open the awaited backend, and make its table if the option create_table is yes."""
    if database.url.scheme == "postgresql":
        from coatcheck.storage.urls.postgresql import open_async_backend
    else:
        from coatcheck.storage.urls.mariadb import open_async_backend

    address = _address(database.url)
    return await open_async_backend(database.url, database.options, address, database.clock)


def open_engine(database: Database) -> Connected:
    """Open a plain engine over PyMySQL, and make its table if the option create_table is yes."""
    from sqlalchemy import create_engine

    options = database.options
    timeout = options["timeout"]
    limits = {
        "connect_timeout": math.ceil(timeout),
        "read_timeout": timeout,
        "write_timeout": timeout,
    }
    if "ssl_ca" in options:
        limits["ssl"] = ssl.create_default_context(cafile=options["ssl_ca"])
    url = _url(database.url, "mysql+pymysql")
    engine = create_engine(url, connect_args=limits, **_pool(options))
    # An option of create_engine only since SQLAlchemy 2.0.43; before, the attribute does nothing.
    engine.dialect.skip_autocommit_rollback = True
    storage = SqlStorage(engine, table=options["table"], clock=database.clock)
    if options.get("create_table"):
        storage.create_table()
    return Connected(storage.backend, engine.dispose)


def check(database: Database) -> None:
    """
    Check the URL and the packages when the storage is made, before the first request.

    Raises:
        ConfigurationError: A package is not installed, the URL names no database or several hosts,
            or a certificate and its key do not fit.
    """
    _address(database.url)
    if {"sslcert", "sslkey"} <= database.options.keys():  # libpq has a default for each
        check_key(database.options["sslcert"], database.options["sslkey"])
    if not database.url.path.strip("/"):
        scheme = database.url.scheme
        raise ConfigurationError(
            f"a {scheme}: URL must name a database, got none: {scheme}://USER@HOST/DATABASE"
        )
    if (mode := database.options.get("sslmode")) in UNCHECKED:
        warn_of_weak(
            f"sslmode={mode} does not check that the server's certificate has the server's name: "
            "use sslmode=verify-full",
        )
    try:
        if database.url.scheme == "postgresql":
            import psycopg  # noqa: F401
        else:
            import asyncmy  # noqa: F401
            import pymysql  # noqa: F401
            import sqlalchemy  # noqa: F401
    except ImportError as missing:
        extra = EXTRAS[database.url.scheme]
        raise ConfigurationError(
            f"a {database.url.scheme}: URL needs the package {missing.name}: "
            f"pip install 'coatcheck[{extra}]'"
        ) from missing


def _url(url: SplitResult, driver: str) -> "URL":
    from sqlalchemy import URL

    user, password = account_of(url)
    host, port = _address(url)
    return URL.create(
        driver,
        username=user,
        password=password,
        host=host,
        port=port,
        database=unquote(url.path.lstrip("/")),
    )


def _address(url: SplitResult) -> tuple[str | None, int | None]:
    """Return the host and the port; None: the driver's own, such as a socket."""
    if not url.netloc.rpartition("@")[2]:
        return None, None
    return one_host_of(url, PORTS[url.scheme])


def _pool(options: Mapping[str, Any]) -> dict[str, Any]:
    # In autocommit no transaction is open when a connection returns to the pool.
    return {
        "isolation_level": "AUTOCOMMIT",
        "pool_reset_on_return": None,
        "pool_timeout": options["timeout"],
        "pool_size": options["pool_size"],
    }
