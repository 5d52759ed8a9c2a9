"""Every kind of storage, over real servers, and which front ends each kind serves."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, TypedDict
from uuid import uuid4

import pytest
import redis
import redis.asyncio
import valkey

from coatcheck.storage import (
    CookieStorage,
    FileStorage,
    KeyedStorage,
    MemcachedStorage,
    MemoryStorage,
    RedisStorage,
    SessionStorage,
    SqliteStorage,
    SqlStorage,
    storage_from_url,
)
from coatcheck.storage.backends.memcached import AsyncMemcachedBackend, MemcachedBackend
from coatcheck.testing import Clock
from tests.engines import async_engine, plain_engine
from tests.hosts import Asgi, Front, Wsgi

PLAIN = ["memory", "file", "sqlite", "redis", "valkey", "memcached", "postgresql", "mariadb"]
AWAITED = ["redis-asyncio", "memcached-asyncio", "postgresql-asyncio", "mariadb-asyncio"]
FROM_URL = ["postgresql-url", "mariadb-url"]
"""Those that ask the driver, under ASGI; the rest of a table of kinds need not be run over both."""

SERVER_SIDE = [
    *(("wsgi", kind) for kind in PLAIN),
    *(("asgi", kind) for kind in (*PLAIN, *AWAITED)),
]
EVERYWHERE = [("wsgi", "cookie"), ("asgi", "cookie"), *SERVER_SIDE]
IN_COOKIE = EVERYWHERE[:2]

Close = Callable[[], Awaitable[None]]


class Made(NamedTuple):
    """A storage, and what closes it inside the event loop that used it."""

    storage: SessionStorage
    close: Close | None = None


class _More(TypedDict):
    """Options that every storage on a server takes."""

    clock: Clock
    encrypt: bool


def names(pairs: list[tuple[str, str]]) -> list[str]:
    """Return the names of the parameters, for the report."""
    return [f"{front}-{kind}" for front, kind in pairs]


@contextmanager
def storage_of(  # noqa: PLR0912 - a case for each kind
    kind: str, request: pytest.FixtureRequest, clock: Clock, *, encrypt: bool = False
) -> Iterator[Made]:
    """Make a storage of that kind, with nothing in it."""
    prefix, more = f"{uuid4().hex}:", _More(clock=clock, encrypt=encrypt)
    with ExitStack() as stack:
        match kind:
            case "cookie":
                yield Made(CookieStorage(clock=clock))
            case "memory":
                yield Made(MemoryStorage(**more))
            case "file" | "file-asyncio":
                folder = request.getfixturevalue("tmp_path") / "sessions"
                yield Made(FileStorage(folder, **more))
            case "sqlite" | "sqlite-asyncio":
                database = SqliteStorage(request.getfixturevalue("tmp_path") / "db", **more)
                stack.callback(database.close)
                assert database.aio
                yield Made(database, database.aio.close)
            case "redis":
                socket = request.getfixturevalue("redis_socket")
                client = stack.enter_context(redis.Redis(unix_socket_path=socket))
                yield Made(RedisStorage(client, prefix=prefix, **more))
            case "redis-asyncio":
                socket = request.getfixturevalue("redis_socket")
                waiting = redis.asyncio.Redis(unix_socket_path=socket)
                yield Made(RedisStorage(waiting, prefix=prefix, **more), waiting.aclose)
            case "valkey":
                socket = request.getfixturevalue("valkey_socket")
                other = stack.enter_context(valkey.Valkey(unix_socket_path=socket))
                yield Made(RedisStorage(other, prefix=prefix, **more))
            case "postgresql-url" | "mariadb-url":
                url = request.getfixturevalue(f"{kind.partition('-')[0]}_url")
                options = f"prefix={prefix}&encrypt={'yes' if encrypt else 'no'}&timeout=10"
                from_url = storage_from_url(f"{url}?{options}", clock=clock)
                assert isinstance(from_url, KeyedStorage)
                assert from_url.aio
                stack.callback(from_url.close)
                yield Made(from_url, from_url.aio.close)
            case "postgresql" | "mariadb":
                url = request.getfixturevalue(f"{kind}_url")
                engine = stack.enter_context(plain_engine(url))
                yield Made(SqlStorage(engine, prefix=prefix, **more))
            case "postgresql-asyncio" | "mariadb-asyncio":
                url = request.getfixturevalue(f"{kind.partition('-')[0]}_url")
                awaited = async_engine(url)
                yield Made(SqlStorage(awaited, prefix=prefix, **more), awaited.dispose)
            case _:
                nodes = request.getfixturevalue("memcached_nodes")
                both = MemcachedStorage(*nodes, prefix=prefix, timeout=10, **more)
                assert isinstance(both.backend, MemcachedBackend)
                stack.callback(both.backend.close)
                assert both.aio
                assert isinstance(both.aio.backend, AsyncMemcachedBackend)
                if kind == "memcached":  # in a worker thread, also under ASGI
                    yield Made(KeyedStorage(both.backend, prefix=prefix, **more))
                else:
                    yield Made(both, both.aio.backend.close)


@contextmanager
def front_of(name: str, made: Made) -> Iterator[Front]:
    """Open a front end over a storage."""
    if name == "wsgi":
        yield Wsgi(made.storage)
        return
    front = Asgi(made.storage)
    with front.runner:
        yield front
        if made.close:
            front.runner.run(closed(made.close))


async def closed(close: Close) -> None:
    """Close a storage."""
    await close()
