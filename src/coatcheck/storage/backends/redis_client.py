"""Redis clients: the methods used, the check of a client that is handed in, and its errors."""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from inspect import signature
from typing import Any, Protocol

from coatcheck._cookie.weak import warn_of_weak
from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.redis_connections import (
    asking,
    async_asking,
    limit_of,
    limited,
    options_of,
)
from coatcheck.storage.backends.redis_wire import Begin, C, Wire, Wires, begin

_ROOTS = {  # library: the roots of its errors
    "redis": ("RedisError", "RedisClusterException"),
    "valkey": ("ValkeyError", "ValkeyClusterException"),
}


class Client(Protocol):
    """The methods used of a plain client."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...


class AsyncClient(Protocol):
    """The methods used of an asyncio client."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]: ...
    def aclose(self) -> Awaitable[None]: ...


def check(client: Any) -> None:
    """
    Refuse a client that would lose sessions, or answer with old ones.

    Raises:
        ConfigurationError: It decodes what it reads, or reads from replicas.
    """
    if client.get_encoder().decode_responses:
        raise ConfigurationError(
            "this Redis client decodes what it reads, and records are bytes: give the storage a "
            "client of its own, made without decode_responses=True"
        )
    # A replica may not have heard yet that somebody signed out.
    pool = getattr(client, "connection_pool", None)
    elsewhere = (
        getattr(client, "read_from_replicas", False)
        or getattr(client, "load_balancing_strategy", None)
        or not getattr(pool, "is_master", True)
    )
    if elsewhere:
        raise ConfigurationError(
            "this Redis client reads from replicas, which are behind: give the storage a client of "
            "the master"
        )


def warn_of_names(client: Any) -> None:
    """Warn of a client that speaks TLS with a server of any name."""
    if _takes_every_certificate(client):
        warn_of_weak(
            "this Redis client does not check that the server's certificate has the server's name: "
            "make it with ssl_check_hostname=True",
        )


def _takes_every_certificate(client: Any) -> bool:
    """Tell whether a client speaks TLS and does not compare names: redis-py below 6, valkey-py."""
    options, pool = options_of(client), getattr(client, "connection_pool", None)
    kind = pool.connection_class if pool else options.get("connection_class")
    if not (options.get("ssl") or "SSL" in getattr(kind, "__name__", "")):
        return False
    if options.get("ssl_cert_reqs", "required") in (None, "none", ssl.CERT_NONE):
        return True
    connection = _module_of(client, "connection").SSLConnection
    default = signature(connection.__init__).parameters["ssl_check_hostname"].default
    return not options.get("ssl_check_hostname", default)


def ask_of(client: Client) -> Callable[..., Any]:
    """Return the function that sends one command and returns its answer."""
    execute = client.execute_command if is_one_server(client) else _over_nodes(client)
    return asking(client, execute, errors_of(client))


def async_ask_of(client: AsyncClient) -> Callable[..., Awaitable[Any]]:
    """Return the function that sends one command and returns its answer, to be awaited."""
    if not is_one_server(client):
        return limited(_over_nodes(client), limit_of(client))
    return wires_of(client, begin)


def wires_of(client: AsyncClient, begin: Begin[C], *, always: bool = False) -> Wires[C]:
    """Return the wires of a client of one server; *always*: also if the client is watched."""

    def make() -> Wire[C]:
        execute = limited(client.execute_command, limit_of(client))
        by_client = async_asking(client, execute, errors_of(client))
        return Wire(client, by_client, begin, always=always)

    return Wires(client, make)


def is_one_server(client: object) -> bool:
    """Tell whether a client asks one server: one of a cluster has a pool for each."""
    return hasattr(client, "connection_pool")


def _over_nodes(client: Any) -> Callable[..., Any]:
    """Return a cluster's own `execute_command`, which takes MGET of keys on several nodes, too."""

    def execute(*args: Any, **options: Any) -> Any:
        if args[0] == "MGET":
            return _gets(client, args[1:]).execute()
        return client.execute_command(*args, **options)

    return execute


def _gets(client: Any, keys: Sequence[str]) -> Any:
    """Return a pipeline that reads several keys: it asks each node once, all at the same time."""
    pipeline = client.pipeline()
    for key in keys:
        pipeline.execute_command("GET", key)
    return pipeline


def errors_of(client: object) -> tuple[type[Exception], ...]:
    """Return what a client raises when its server fails, whichever library it comes from."""
    library = _module_of(client, "exceptions")
    roots = (getattr(library, name) for name in _ROOTS[library.__package__])
    return (*roots, OSError, TimeoutError)


def _module_of(client: object, name: str) -> Any:
    """Return a module of the library that a client comes from."""
    for kind in type(client).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in _ROOTS:
            return import_module(f"{library}.{name}")
    raise ConfigurationError(f"{type(client).__name__} is no client of redis-py or valkey-py")
