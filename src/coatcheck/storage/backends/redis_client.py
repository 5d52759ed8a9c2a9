"""What is to be known of a Redis client: what is used of it, whether it will do, what it raises."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Protocol, cast

from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.redis_batch import PipelineClient, Together

_ROOTS = {  # library: the roots of its errors
    "redis": ("RedisError", "RedisClusterException"),
    "valkey": ("ValkeyError", "ValkeyClusterException"),
}


class Client(Protocol):
    """What is used of a plain client."""

    def execute_command(self, *args: Any, **options: Any) -> Any: ...


class AsyncClient(Protocol):
    """What is used of an asyncio client."""

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


def ask_of(client: Client) -> Callable[..., Any]:
    """Return the function that sends one command and returns its answer."""
    return client.execute_command


def async_ask_of(client: AsyncClient) -> Callable[..., Awaitable[Any]]:
    """Return the function that sends one command, together with those of the same moment."""
    if not hasattr(client, "connection_pool"):  # a client of a cluster has one for each server
        return client.execute_command
    return Together(cast("PipelineClient", client), refused=_refusal_of(client)).ask


def errors_of(client: object) -> tuple[type[Exception], ...]:
    """Return what a client raises when its server fails, whichever library it comes from."""
    library = _library_of(client)
    roots = (getattr(library, name) for name in _ROOTS[library.__package__])
    return (*roots, OSError, TimeoutError)


def _refusal_of(client: object) -> type[Exception]:
    """Return what a client raises when its server refuses a command."""
    refusal: type[Exception] = _library_of(client).ResponseError
    return refusal


def _library_of(client: object) -> Any:
    """Return the exceptions of the library that a client comes from."""
    for kind in type(client).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in _ROOTS:
            return import_module(f"{library}.exceptions")
    raise ConfigurationError(f"{type(client).__name__} is no client of redis-py or valkey-py")
