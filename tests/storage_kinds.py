"""Every kind of storage, over real servers, and which front ends each kind serves."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypedDict
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
from tests.thorough import thorough

PLAIN = ["memory", "file", "sqlite", "redis", "valkey", "memcached", "postgresql", "mariadb"]
AWAITED = ["redis-asyncio", "memcached-asyncio", "postgresql-asyncio", "mariadb-asyncio"]
FROM_URL = ["postgresql-url", "mariadb-url"]
"""Those that ask the driver, under ASGI; the rest of a table of kinds need not be run over both."""

ALWAYS = {
    *("wsgi-cookie", "wsgi-memory", "wsgi-sqlite", "wsgi-valkey", "wsgi-postgresql"),
    *("asgi-cookie", "asgi-memory", "asgi-file", "asgi-redis-asyncio", "asgi-memcached-asyncio"),
    "asgi-mariadb-asyncio",
}
"""What `make test` runs a table over: every kind of storage once, and both front ends."""


SLOW_TO_RACE = ("postgresql", "mariadb")
"""A row that fifty want to change at once keeps an SQL server busy for seconds."""


def pair(front: str, kind: str, always: Collection[str] = ALWAYS) -> Any:
    """Return a parameter: a front end, and a kind of storage that it serves."""
    id = f"{front}-{kind}"
    return pytest.param((front, kind), id=id) if id in always else thorough((front, kind), id=id)


def pairs(always: Collection[str]) -> list[Any]:
    """Return every pair whose storage is on a server."""
    fronts = {"wsgi": PLAIN, "asgi": [*PLAIN, *AWAITED]}
    return [pair(front, kind, always) for front, kinds in fronts.items() for kind in kinds]


IN_COOKIE = [pair("wsgi", "cookie"), pair("asgi", "cookie")]
SERVER_SIDE = pairs(ALWAYS)
FIFTY_AT_ONCE = pairs([id for id in ALWAYS if not id[5:].startswith(SLOW_TO_RACE)])
EVERYWHERE = [*IN_COOKIE, *SERVER_SIDE]
NEAR = [*IN_COOKIE, pair("wsgi", "memory"), pair("asgi", "memory")]
"""No server: a storage without ids, and one with them."""

Close = Callable[[], Awaitable[None]]


class Made(NamedTuple):
    """A storage, and what closes it inside the event loop that used it."""

    storage: SessionStorage
    close: Close | None = None


class _More(TypedDict):
    """Options that every storage on a server takes."""

    clock: Clock
    encrypt: bool


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
