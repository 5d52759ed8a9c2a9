"""
A storage from a URL: what an application's settings say about its sessions, on one line.

    memory:                                        cookie:
    file:sessions                                  sqlite:sessions/db
    redis://:password@host:6379/0?prefix=shop:     rediss://host   unix:///run/redis.sock
    redis+sentinel://host,host/master              redis+cluster://host,host
    memcached://host,host:11212                    memcached:///run/memcached.sock
    postgresql://user:password@host/database       mysql://user:password@host/database

Options stand in the query. A storage that is made so serves ASGI and WSGI alike, has a timeout for
every call, opens what it needs with the first request, and closes it with `close()`, which an ASGI
application does by itself when it shuts down.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.files import FileStorage
from coatcheck.storage.backends.memcached import MemcachedStorage
from coatcheck.storage.backends.memory import MemoryStorage
from coatcheck.storage.backends.sql import TABLE
from coatcheck.storage.backends.sqlite import SqliteStorage
from coatcheck.storage.clock import Clock, system_clock
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.urls.lazy import AsyncOpenedBackend, OpenedBackend
from coatcheck.storage.urls.redis import clients_of, hosts_of, open_async_client, open_client
from coatcheck.storage.urls.sql import Place, check, open_async_engine, open_engine

MEMCACHED_PORT = 11211

Storage = CookieStorage | KeyedStorage
Options = Mapping[str, Any]
Make = Callable[[SplitResult, Options, Clock], Storage]
Readers = Mapping[str, Callable[[str], Any]]


def storage_from_url(url: str, *, clock: Clock | None = None) -> Storage:
    """
    Return the storage that *url* describes; no server is asked yet.

    Args:
        url: In one of the forms above; what is special in a URL is percent-encoded.
        clock: Seconds since 1970; None: the system's clock.

    Raises:
        ConfigurationError: The URL is in none of the forms, has an option that is not known there,
            or needs a package that is not installed. The message holds no password.
        BackendError: A file or a folder cannot be used.
    """
    scheme = url.partition(":")[0]
    if ":" not in url or scheme not in SCHEMES:
        known = ", ".join(f"{name}:" for name in SCHEMES)
        raise ConfigurationError(f"a storage's URL begins with one of {known}")
    try:
        parts = urlsplit(url)
        _ = parts.port if "," not in parts.netloc else None
    except ValueError as nonsense:
        raise ConfigurationError(f"this {scheme}: URL makes no sense: {nonsense}") from None
    form = SCHEMES[scheme]
    return form.make(parts, _options(parts, form.options), clock or system_clock)


def _options(url: SplitResult, known: Readers) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in parse_qsl(url.query, keep_blank_values=True):
        if name not in known or name in options:
            what = "no option" if name not in known else "given twice, an option"
            names = ", ".join(known) or "none"
            raise ConfigurationError(f"{name!r} is {what} of {url.scheme}: it has {names}")
        try:
            options[name] = known[name](text)
        except ValueError:
            raise ConfigurationError(f"{name}={text!r}: {url.scheme}: cannot use that") from None
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _index(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _truth(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def _path(url: SplitResult) -> Path:
    path = unquote(url.path)
    if url.netloc or not path.strip("/"):
        raise ConfigurationError(f"{url.scheme}: names a path: {url.scheme}:sessions")
    return Path(f"/{path.lstrip('/')}" if path.startswith("/") else path)


def _memory(url: SplitResult, options: Options, clock: Clock) -> KeyedStorage:
    _nothing_more(url)
    return MemoryStorage(**options, clock=clock)


def _cookie(url: SplitResult, _: Options, clock: Clock) -> CookieStorage:
    _nothing_more(url)
    return CookieStorage(clock=clock)


def _nothing_more(url: SplitResult) -> None:
    if url.netloc or url.path:
        raise ConfigurationError(f"nothing but options may follow {url.scheme}:")


def _file(url: SplitResult, options: Options, clock: Clock) -> KeyedStorage:
    return FileStorage(_path(url), **options, clock=clock)


def _sqlite(url: SplitResult, options: Options, clock: Clock) -> KeyedStorage:
    return SqliteStorage(_path(url), **options, clock=clock)


def _memcached(url: SplitResult, options: Options, clock: Clock) -> KeyedStorage:
    if url.netloc:
        found = hosts_of(url, MEMCACHED_PORT)
        nodes = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in found]
    else:
        nodes = [unquote(path) for path in url.path.split(",")]
    return MemcachedStorage(*nodes, **options, clock=clock)


def _redis(url: SplitResult, options: Options, clock: Clock) -> KeyedStorage:
    options = {"timeout": 2.0, "prefix": "coatcheck:", **options}
    clients = clients_of(url, options)
    waiting = AsyncOpenedBackend(lambda: open_async_client(clients.waiting))
    plain = OpenedBackend(lambda: open_client(clients.plain))
    return _both(plain, waiting, options, clock)


def _sql(url: SplitResult, options: Options, clock: Clock) -> KeyedStorage:
    options = {"timeout": 5.0, "prefix": "", "table": TABLE, "pool_size": 5, **options}
    place = Place(url, options, clock)
    check(place)
    waiting = AsyncOpenedBackend(lambda: open_async_engine(place))
    return _both(OpenedBackend(lambda: open_engine(place)), waiting, options, clock)


def _both(
    plain: OpenedBackend, waiting: AsyncOpenedBackend, options: Options, clock: Clock
) -> KeyedStorage:
    prefix, every = options["prefix"], options.get("sweep_every")
    aio = AsyncKeyedStorage(waiting, prefix=prefix, clock=clock, sweep_every=every)
    return KeyedStorage(plain, prefix=prefix, clock=clock, aio=aio, sweep_every=every)


class Form(NamedTuple):
    """One form of URL: what makes its storage, and what reads each of its options."""

    make: Make
    options: Readers


_HERE: Readers = {"timeout": _seconds, "sweep_every": _count}
_SHARED: Readers = {"prefix": str, "timeout": _seconds}
_REDIS: Readers = {**_SHARED, "db": _index, "max_connections": _count}
_TLS: Readers = {
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_check_hostname": _truth,
}
_SENTINEL: Readers = {**_REDIS, "sentinel_password": str}
_SQL: Readers = {
    **_SHARED,
    "table": str,
    "create_table": _truth,
    "pool_size": _count,
    "sweep_every": _count,
}
_MYSQL = Form(_sql, {**_SQL, "ssl_ca": str})

SCHEMES: dict[str, Form] = {
    "memory": Form(_memory, {"max_records": _count}),
    "cookie": Form(_cookie, {}),
    "file": Form(_file, _HERE),
    "sqlite": Form(_sqlite, _HERE),
    "redis": Form(_redis, _REDIS),
    "rediss": Form(_redis, {**_REDIS, **_TLS}),
    "unix": Form(_redis, _REDIS),
    "redis+sentinel": Form(_redis, _SENTINEL),
    "rediss+sentinel": Form(_redis, {**_SENTINEL, **_TLS}),
    "redis+cluster": Form(_redis, {**_SHARED, "max_connections": _count}),
    "rediss+cluster": Form(_redis, {**_SHARED, "max_connections": _count, **_TLS}),
    "memcached": Form(_memcached, _SHARED),
    "postgresql": Form(
        _sql, {**_SQL, "sslmode": str, "sslrootcert": str, "sslcert": str, "sslkey": str}
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
