"""
A storage from a URL, so that one setting of an application says where its sessions are.

    memory:                                        cookie:
    file:sessions                                  sqlite:sessions/db
    redis://:password@host:6379/0?prefix=shop:     rediss://host   unix:///run/redis.sock
    redis+sentinel://host,host/master              redis+cluster://host,host
    memcached://host,host:11212                    memcached:///run/memcached.sock
    postgresql://user:password@host/database       mysql://user:password@host/database

UrlOptions are in the query. The storage serves ASGI and WSGI applications, has a timeout for each
call, and opens its connections with the first request. `close()` closes them; an ASGI application
calls it at shutdown.
"""

import ssl
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote

from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.files import FileStorage
from coatcheck.storage.backends.memcached import MemcachedStorage
from coatcheck.storage.backends.memory import MemoryStorage
from coatcheck.storage.backends.near import Near
from coatcheck.storage.backends.sql import TABLE
from coatcheck.storage.backends.sqlite import SqliteStorage
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.urls.lazy import AsyncLazyBackend, LazyBackend
from coatcheck.storage.urls.parsing import ENCODE, hosts_of, options_of, parts_of
from coatcheck.storage.urls.redis import clients_of, open_async_client, open_client
from coatcheck.storage.urls.sql import (
    SSL_MODES,
    Database,
    check,
    open_async_database,
    open_database,
)

MEMCACHED_PORT = 11211

DURABILITIES = ("full", "relaxed")
"""Whether a commit waits until the server's disk has it."""

DAY = 86_400
"""Seconds; no timeout is longer."""

_LOCAL = frozenset({"memory", "cookie", "file", "sqlite"})
"""Schemes whose URLs have no place for a password."""

Storage = CookieStorage | KeyedStorage
UrlOptions = Mapping[str, Any]
Make = Callable[[SplitResult, UrlOptions, TimeSource], Storage]
Readers = Mapping[str, Callable[[str], Any]]


def storage_from_url(url: str, *, clock: TimeSource | None = None) -> Storage:
    """
    Return the storage that *url* describes. No server is asked before the first request.

    Args:
        url: `SCHEME:…?option=value`, such as "sqlite:sessions/db" or "redis://host?prefix=shop:".
            Characters with a meaning in a URL are percent-encoded: the password "p@ss" is "p%40ss".
        clock: A function that returns seconds since 1970; None: the system's clock.

    Raises:
        ConfigurationError: The URL is not valid, its scheme or an option is not known, a file that
            it names cannot be read, or a package is not installed. Neither the message nor the
            traceback holds a part of the URL.
        BackendError: A file or a folder cannot be used.

    Source: RFC 3986, 3 (the parts of a URL) and 2.1 (percent-encoding).
    """
    try:
        return _made(url, clock or system_clock)
    except ConfigurationError as wrong:
        del url  # a report of errors may show the variables of each frame
        raise wrong.with_traceback(None) from wrong.__cause__


def _made(url: str, clock: TimeSource) -> Storage:
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in SCHEMES:
        known = ", ".join(f"{name}:" for name in SCHEMES)
        near = get_close_matches(scheme, SCHEMES, n=1) if colon else ()
        hint = f"; did you mean {near[0]}:?" if near else ""
        raise ConfigurationError(f"the URL of a storage must begin with one of {known}{hint}")
    form = SCHEMES[scheme]
    parts = parts_of(url, scheme, server=scheme not in _LOCAL)
    return form.make(parts, _options(parts, form.options), clock)


def _options(url: SplitResult, known: Readers) -> dict[str, Any]:
    options: dict[str, Any] = {}
    hint = "" if url.scheme in _LOCAL else f"; {ENCODE}"
    for place, (name, text) in enumerate(options_of(url), start=1):
        if name not in known or name in options:
            wrong = "is there twice" if name in options else "is none of them"
            raise ConfigurationError(
                f"the options of a {url.scheme}: URL must be among these, each once: "
                f"{', '.join(known) or 'none'}; option {place} {wrong}{hint}"
            )
        value = _read(known[name], text)
        if value is None:
            must = MUST[known[name]]
            raise ConfigurationError(f"{name} in a {url.scheme}: URL must be {must}{hint}")
        options[name] = value
    return options


def _read(reader: Callable[[str], Any], text: str) -> Any:
    """Return the value of an option, or None: the message of the error would quote it."""
    try:
        return reader(text)
    except (ValueError, OSError):
        return None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= DAY:
        raise ValueError
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _bytes(text: str) -> int:
    number, unit = text[:-2], text[-2:].lower()
    return _count(number) * {"kb": 10**3, "mb": 10**6, "gb": 10**9}.get(unit, 0) or _count("0")


def _index(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _truth(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError
    return text == "yes"


def _ssl_mode(text: str) -> str:
    if text not in SSL_MODES:
        raise ValueError
    return text


def _durability(text: str) -> str:
    if text not in DURABILITIES:
        raise ValueError
    return text


def _file_read(text: str) -> str:
    """Return the path of a file that can be read."""
    with Path(text).open("rb"):
        return text


def _certificates(text: str) -> str:
    """Return the path of a file with certificates of authorities."""
    ssl.create_default_context(cafile=_file_read(text))
    return text


def _certificates_or_system(text: str) -> str:
    return text if text == "system" else _certificates(text)


def _path(url: SplitResult) -> Path:
    path = unquote(url.path)
    if url.netloc or not path.strip("/"):
        raise ConfigurationError(
            f"a {url.scheme}: URL must have a path and no host: {url.scheme}:sessions"
        )
    return Path(f"/{path.lstrip('/')}" if path.startswith("/") else path)


def _memory(url: SplitResult, options: UrlOptions, clock: TimeSource) -> KeyedStorage:
    _nothing_more(url)
    return MemoryStorage(**options, clock=clock)


def _cookie(url: SplitResult, _: UrlOptions, clock: TimeSource) -> CookieStorage:
    _nothing_more(url)
    return CookieStorage(clock=clock)


def _nothing_more(url: SplitResult) -> None:
    if url.netloc or url.path:
        raise ConfigurationError(
            f"a {url.scheme}: URL must have no host and no path: write {url.scheme}: and options"
        )


def _file(url: SplitResult, options: UrlOptions, clock: TimeSource) -> KeyedStorage:
    return FileStorage(_path(url), **options, clock=clock)


def _sqlite(url: SplitResult, options: UrlOptions, clock: TimeSource) -> KeyedStorage:
    return SqliteStorage(_path(url), **options, clock=clock)


def _memcached(url: SplitResult, options: UrlOptions, clock: TimeSource) -> KeyedStorage:
    if "@" in url.netloc:
        raise ConfigurationError("a memcached: URL must have no user and no password")
    if url.netloc:
        found = hosts_of(url, MEMCACHED_PORT)
        nodes = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in found]
    else:
        nodes = [unquote(path) for path in url.path.split(",")]
        if not all(path.strip("/") and path.startswith("/") for path in nodes):
            raise ConfigurationError(
                "a memcached: URL must have hosts or the paths of sockets: memcached://HOST:PORT "
                "or memcached:///run/memcached.sock"
            )
    return MemcachedStorage(*nodes, **options, clock=clock)


def _redis(url: SplitResult, options: UrlOptions, clock: TimeSource) -> KeyedStorage:
    options = {"timeout": 2.0, "prefix": "coatcheck:", **options}
    clients = clients_of(url, options)
    near = Near(max_bytes=options["near"]) if "near" in options else None
    prefix = options["prefix"]
    waiting = AsyncLazyBackend(
        lambda: open_async_client(clients.waiting, prefix, near), "AsyncRedisBackend"
    )
    plain = LazyBackend(lambda: open_client(clients.plain, prefix, near), "RedisBackend")
    one_server = "cluster" not in url.scheme
    return _both(plain, waiting, options, clock, seldom_waits=one_server)


def _sql(url: SplitResult, options: UrlOptions, clock: TimeSource) -> KeyedStorage:
    options = {"timeout": 5.0, "prefix": "", "table": TABLE, "pool_size": 5, **options}
    database = Database(url, options, clock)
    check(database)
    kind = "PostgresqlBackend" if url.scheme == "postgresql" else "MariadbBackend"
    waiting = AsyncLazyBackend(lambda: open_async_database(database), f"Async{kind}")
    plain = LazyBackend(lambda: open_database(database), kind)
    return _both(plain, waiting, options, clock, seldom_waits=True)


def _both(
    plain: LazyBackend,
    waiting: AsyncLazyBackend,
    options: UrlOptions,
    clock: TimeSource,
    *,
    seldom_waits: bool = False,
) -> KeyedStorage:
    prefix, every = options["prefix"], options.get("sweep_every")
    encrypt = options.get("encrypt", False)
    aio = AsyncKeyedStorage(
        waiting,
        prefix=prefix,
        clock=clock,
        sweep_every=every,
        seldom_waits=seldom_waits,
        encrypt=encrypt,
    )
    return KeyedStorage(
        plain, prefix=prefix, clock=clock, aio=aio, sweep_every=every, encrypt=encrypt
    )


class UrlForm(NamedTuple):
    """One form of URL: the function that makes its storage, and one that reads each option."""

    make: Make
    options: Readers


MUST: dict[Callable[[str], Any], str] = {
    _seconds: f"a number of seconds above 0, up to {DAY}",
    _count: "an integer above 0",
    _index: "an integer from 0 up",
    _truth: "yes or no",
    _bytes: "a size such as 64MB, in kB, MB or GB",
    _ssl_mode: f"one of {', '.join(SSL_MODES)}",
    _durability: f"one of {', '.join(DURABILITIES)}",
    _file_read: "the path of a file that this process can read",
    _certificates: "the path of a file with certificates, in PEM, that this process can read",
    _certificates_or_system: "system, or the path of a file with certificates, in PEM, that this "
    "process can read",
}
"""For messages: the form of the text that each function reads."""

_HERE: Readers = {"timeout": _seconds, "sweep_every": _count, "encrypt": _truth}
_SHARED: Readers = {"prefix": str, "timeout": _seconds, "encrypt": _truth}
_REDIS: Readers = {**_SHARED, "db": _index, "max_connections": _count, "near": _bytes}
_TLS: Readers = {
    "ssl_ca_certs": _certificates,
    "ssl_certfile": _file_read,
    "ssl_keyfile": _file_read,
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
_MYSQL = UrlForm(_sql, {**_SQL, "ssl_ca": _certificates})

SCHEMES: dict[str, UrlForm] = {
    "memory": UrlForm(_memory, {"max_records": _count, "encrypt": _truth}),
    "cookie": UrlForm(_cookie, {}),
    "file": UrlForm(_file, _HERE),
    "sqlite": UrlForm(_sqlite, _HERE),
    "redis": UrlForm(_redis, _REDIS),
    "rediss": UrlForm(_redis, {**_REDIS, **_TLS}),
    "unix": UrlForm(_redis, _REDIS),
    "redis+sentinel": UrlForm(_redis, _SENTINEL),
    "rediss+sentinel": UrlForm(_redis, {**_SENTINEL, **_TLS}),
    "redis+cluster": UrlForm(_redis, {**_SHARED, "max_connections": _count}),
    "rediss+cluster": UrlForm(_redis, {**_SHARED, "max_connections": _count, **_TLS}),
    "memcached": UrlForm(_memcached, _SHARED),
    "postgresql": UrlForm(
        _sql,
        {
            **_SQL,
            "prepare": _truth,
            "durability": _durability,
            "sslmode": _ssl_mode,
            "sslrootcert": _certificates_or_system,
            "sslcert": _file_read,
            "sslkey": _file_read,
        },
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
