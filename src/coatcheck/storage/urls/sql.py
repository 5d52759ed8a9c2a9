"""
Engines of SQLAlchemy from a URL, for sessions alone: in autocommit, with a timeout for each call.

The drivers are psycopg for PostgreSQL, PyMySQL and asyncmy for MySQL and MariaDB.

A certificate of the URL is there to check the server: then its name is compared, too.
"""

import math
import ssl
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, unquote

from coatcheck.errors import CoatcheckWarning, ConfigurationError
from coatcheck.storage.backends.sql import SqlStorage
from coatcheck.storage.clock import Clock
from coatcheck.storage.urls.lazy import AsyncOpened, Opened

if TYPE_CHECKING:
    from sqlalchemy import URL

EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


UNCHECKED = ("require", "verify-ca")
"""Values of sslmode that ask for TLS and take the certificate of another server."""


class Drivers(NamedTuple):
    """The drivers of one database, by SQLAlchemy's names, and their arguments."""

    plain: str
    waiting: str
    plain_arguments: dict[str, Any]
    waiting_arguments: dict[str, Any]
    connect: Callable[..., Any] | None = None
    """The function that makes a plain connection; None: the driver's own."""


class Place(NamedTuple):
    """The database and the options of a URL."""

    url: SplitResult
    options: Mapping[str, Any]
    clock: Clock


def open_engine(place: Place) -> Opened:
    """Open a plain engine, and make its table if the option create_table is yes."""
    from sqlalchemy import create_engine, event

    drivers = _drivers(place)
    url = _url(place.url, drivers.plain)
    engine = create_engine(url, connect_args=drivers.plain_arguments, **_pool(place.options))
    if connect := drivers.connect:
        event.listen(engine, "do_connect", lambda _, __, args, named: connect(*args, **named))
    storage = SqlStorage(engine, table=place.options["table"], clock=place.clock)
    if place.options.get("create_table"):
        storage.create_table()
    return Opened(storage.backend, engine.dispose)


async def open_async_engine(place: Place) -> AsyncOpened:
    """Open an asyncio engine, and make its table if the option create_table is yes."""
    from sqlalchemy.ext.asyncio import create_async_engine

    drivers = _drivers(place)
    url = _url(place.url, drivers.waiting)
    engine = create_async_engine(
        url, connect_args=drivers.waiting_arguments, **_pool(place.options)
    )
    storage = SqlStorage(engine, table=place.options["table"], clock=place.clock)
    if place.options.get("create_table"):
        await storage.create_table()
    return AsyncOpened(storage.backend, engine.dispose)


def check(place: Place) -> None:
    """
    Check the URL and the packages when the storage is made, before the first request.

    Raises:
        ConfigurationError: A package is not installed, or the URL names no database.
    """
    if not place.url.path.strip("/"):
        scheme = place.url.scheme
        raise ConfigurationError(
            f"a {scheme}: URL must name a database, got none: {scheme}://USER@HOST/DATABASE"
        )
    if (mode := place.options.get("sslmode")) in UNCHECKED:
        warnings.warn(
            f"sslmode={mode} does not check that the server's certificate has the server's name: "
            "use sslmode=verify-full",
            CoatcheckWarning,
            stacklevel=5,
        )
    try:
        import sqlalchemy  # noqa: F401

        _drivers(place)
    except ImportError as missing:
        extra = EXTRAS[place.url.scheme]
        raise ConfigurationError(
            f"a {place.url.scheme}: URL needs the package {missing.name}: "
            f"pip install 'coatcheck[{extra}]'"
        ) from missing


def _drivers(place: Place) -> Drivers:
    tls = {name: value for name, value in place.options.items() if name.startswith("ssl")}
    of = _psycopg if place.url.scheme == "postgresql" else _mysql
    return of(place.options["timeout"], tls)


def _psycopg(timeout: float, tls: dict[str, Any]) -> Drivers:
    from coatcheck.storage.urls.postgresql import async_patient, patient

    if "sslrootcert" in tls:
        tls = {"sslmode": "verify-full", **tls}
    name, limits = "postgresql+psycopg", {"connect_timeout": math.ceil(timeout), **tls}
    waiting = {**limits, "async_creator_fn": async_patient(timeout).connect}
    return Drivers(name, name, limits, waiting, connect=patient(timeout).connect)


def _mysql(timeout: float, tls: dict[str, Any]) -> Drivers:
    import asyncmy  # noqa: F401
    import pymysql  # noqa: F401

    if "ssl_ca" in tls:
        tls = {"ssl": ssl.create_default_context(cafile=tls["ssl_ca"])}
    limits = {"connect_timeout": math.ceil(timeout), "read_timeout": timeout, **tls}
    return Drivers("mysql+pymysql", "mysql+asyncmy", {**limits, "write_timeout": timeout}, limits)


def _url(url: SplitResult, driver: str) -> "URL":
    from sqlalchemy import URL

    return URL.create(
        driver,
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        host=url.hostname,
        port=url.port,
        database=unquote(url.path.lstrip("/")),
    )


def _pool(options: Mapping[str, Any]) -> dict[str, Any]:
    # In autocommit no transaction is open when a connection returns to the pool.
    return {
        "isolation_level": "AUTOCOMMIT",
        "pool_reset_on_return": None,
        "pool_timeout": options["timeout"],
        "pool_size": options["pool_size"],
    }
