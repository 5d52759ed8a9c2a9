"""
Clients of Redis and Valkey from a URL: one server, the master of a Sentinel, or a cluster.

Each call has a timeout, and waits as long for a connection if all are in use. If a connection was
closed by the server, the client opens it again and retries once; after a timeout it does not retry.
Over TLS the host name is checked, whatever the version of redis-py does by default.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.backends.near import Near
from coatcheck.storage.backends.redis import async_backend_of, backend_of
from coatcheck.storage.protocol import AsyncCloses, Closes
from coatcheck.storage.urls.lazy import AsyncConnected, Connected
from coatcheck.storage.urls.parsing import account_of, check_key, hosts_of, number_of, one_host_of

PORT, SENTINEL_PORT = 6379, 26379

CONNECTIONS = 100
"""Connections to a server that a client may open if the option max_connections does not say so."""

CLUSTER_TRIES = 5
"""Retries of a cluster's client, with a growing delay, during an election."""


class Clients(NamedTuple):
    """The functions that make the plain and the asyncio client."""

    plain: Callable[[], Any]
    waiting: Callable[[], Any]


class Hidden(str):
    """
    A password that only a connection sees: as text it is "<hidden>".

    The clients of some versions of redis-py write their arguments into errors, such as that of a
    Sentinel which knows no master of that name. A connection sends the characters themselves.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return "<hidden>"

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        return "<hidden>"


class Arguments(dict[str, Any]):
    """The arguments of a client. Their repr hides them: a report of errors may show variables."""

    def __repr__(self) -> str:
        return "<arguments>"


def clients_of(url: SplitResult, options: Mapping[str, Any]) -> Clients:
    """
    Return the functions that make the clients for *url*.

    Raises:
        ConfigurationError: A part of the URL is missing, or redis-py is not installed.
    """
    try:
        import redis
    except ImportError as missing:
        raise ConfigurationError(
            "a Redis URL needs the package redis: pip install 'coatcheck[redis]'"
        ) from missing
    del redis
    kind = url.scheme.partition("+")[2]
    shared = Arguments({**_account(url), **_limits(options), **_tls(url, options)})
    shared["max_connections"] = options.get("max_connections", CONNECTIONS)
    check_key(options.get("ssl_certfile"), options.get("ssl_keyfile"))
    if kind == "cluster":
        return _cluster(url, shared)
    shared["db"] = options.get("db", 0)
    if kind == "sentinel":
        return _sentinel(url, shared, options)
    return _single(url, shared)


def open_client(make: Callable[[], Any], prefix: str, near: Near | None) -> Connected:
    """Open a plain client. That of a cluster connects at once."""
    from redis.exceptions import RedisClusterException, RedisError

    try:
        client = make()
    except (RedisError, RedisClusterException, OSError) as error:
        raise BackendError("Redis cluster", "reach") from error

    backend = backend_of(client, prefix, near)

    def close() -> None:
        if isinstance(backend, Closes):
            backend.close()
        for each in (client, *_sentinels_of(client)):
            each.close()

    return Connected(backend, close)


async def open_async_client(
    make: Callable[[], Any], prefix: str, near: Near | None
) -> AsyncConnected:
    """Open an asyncio client."""
    client = make()
    backend = async_backend_of(client, prefix, near)

    async def close() -> None:
        if isinstance(backend, AsyncCloses):
            await backend.close()
        for each in (client, *_sentinels_of(client)):
            await each.aclose()

    return AsyncConnected(backend, close)


def _sentinels_of(client: Any) -> Sequence[Any]:
    """Return the clients with which a client asks the Sentinels; it does not close them itself."""
    pool = getattr(client, "connection_pool", None)
    manager = getattr(pool, "sentinel_manager", None)
    return manager.sentinels if manager else ()


def _single(url: SplitResult, shared: Arguments) -> Clients:
    import redis.asyncio

    place: dict[str, Any]
    if url.scheme == "unix":
        if not url.path.strip("/") or url.netloc.rpartition("@")[2]:
            raise ConfigurationError(
                "a unix: URL must have the path of a socket and no host: unix:///run/redis.sock"
            )
        place = {"unix_socket_path": unquote(url.path)}
    else:
        several = "use redis+sentinel: or redis+cluster:"
        place = dict(zip(("host", "port"), one_host_of(url, PORT, several=several), strict=True))
        if database := url.path.strip("/"):
            place["db"] = number_of(database, url, "the database")
    return Clients(
        lambda: redis.Redis(**{**shared, **place}, retry=_retry()),
        lambda: redis.asyncio.Redis(**{**shared, **place}, retry=_retry(waiting=True)),
    )


def _sentinel(url: SplitResult, shared: Arguments, options: Mapping[str, Any]) -> Clients:
    import redis.asyncio

    master, _, database = url.path.strip("/").partition("/")
    if not master:
        raise ConfigurationError(
            f"a {url.scheme}: URL must name a master, got none: {url.scheme}://HOST:PORT/MASTER"
        )
    if database:
        shared["db"] = number_of(database, url, "the database")
    hosts = hosts_of(url, SENTINEL_PORT)
    sentinels = Arguments({**_limits(options), **_tls(url, options)})
    if "sentinel_password" in options:
        sentinels["password"] = Hidden(options["sentinel_password"])

    def plain() -> Any:
        found = redis.Sentinel(hosts, sentinel_kwargs={**sentinels, "retry": _retry()}, **shared)
        return found.master_for(master, retry=_retry())

    def waiting() -> Any:
        kwargs = Arguments({**sentinels, "retry": _retry(waiting=True)})
        found = redis.asyncio.Sentinel(hosts, sentinel_kwargs=kwargs, **shared)
        return found.master_for(master, retry=_retry(waiting=True))

    return Clients(plain, waiting)


def _cluster(url: SplitResult, shared: Arguments) -> Clients:
    import redis.asyncio.cluster
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry

    if shared.get("ssl_check_hostname") and not _cluster_compares_names():
        raise ConfigurationError(
            f"a {url.scheme}: URL needs redis-py 6 or later, got {redis.__version__}, whose client "
            "of a cluster takes a certificate of any name: install a newer one, or say "
            "ssl_check_hostname=no"
        )
    hosts = hosts_of(url, PORT)
    later = ExponentialBackoff(base=0.05, cap=0.5)
    return Clients(
        lambda: redis.RedisCluster(
            startup_nodes=[redis.cluster.ClusterNode(*host) for host in hosts],
            retry=Retry(later, CLUSTER_TRIES),
            **shared,
        ),
        lambda: redis.asyncio.RedisCluster(
            startup_nodes=[redis.asyncio.cluster.ClusterNode(*host) for host in hosts],
            retry=AsyncRetry(later, CLUSTER_TRIES),
            **shared,
        ),
    )


def _cluster_compares_names() -> bool:
    """Tell whether the plain client of a cluster checks host names, when told to or by itself."""
    from redis.cluster import REDIS_ALLOWED_KEYS
    from redis.connection import SSLConnection

    default = signature(SSLConnection.__init__).parameters["ssl_check_hostname"].default
    return default or "ssl_check_hostname" in REDIS_ALLOWED_KEYS


def _account(url: SplitResult) -> dict[str, str]:
    names = ("username", "password")
    return {name: Hidden(text) for name, text in zip(names, account_of(url), strict=True) if text}


def _tls(url: SplitResult, options: Mapping[str, Any]) -> dict[str, Any]:
    if not url.scheme.startswith("rediss"):
        return {}
    given = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}


def _limits(options: Mapping[str, Any]) -> dict[str, float]:
    return {"socket_timeout": options["timeout"], "socket_connect_timeout": options["timeout"]}


def _retry(*, waiting: bool = False) -> Any:
    import redis
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    kind = AsyncRetry if waiting else Retry
    return kind(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
