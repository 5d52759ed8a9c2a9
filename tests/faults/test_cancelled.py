"""
Requests that are cancelled while they wait for a server, at every moment.

Afterwards no client has logged an error, no connection is in use, and no request gets the answer of
another one.
"""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import valkey.asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from coatcheck.storage import KeyedStorage, RedisStorage, storage_from_url
from coatcheck.storage.urls.lazy import AsyncLazyBackend
from tests import redis_servers
from tests.thorough import thorough

ROUNDS = 40
"""Requests that are cancelled, each a little later than the one before."""


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of a storage on a server that runs."""
    server = request.getfixturevalue
    urls: dict[str, Callable[[], str]] = {
        "redis": lambda: f"unix://{server('redis_socket')}?",
        "redis-small": lambda: f"unix://{server('redis_socket')}?max_connections=1&",
        "valkey": lambda: f"unix://{server('valkey_socket')}?",
        "memcached": lambda: f"memcached:{','.join(server('memcached_nodes'))}?",
        "postgresql": lambda: f"{server('postgresql_url')}?pool_size=2&",
        "mariadb": lambda: f"{server('mariadb_url')}?pool_size=2&",
    }
    return f"{urls[kind]()}timeout=10"


async def made(storage: Any, user: str) -> str:
    session = await storage.read(None)
    session["user"] = user
    value = await storage.save(session)
    assert value
    return str(value)


async def works(storage: Any, value: str, user: str) -> None:
    """Read the session, write it, and read it again."""
    session = await storage.read(value)
    assert session["user"] == user
    session.apply("n", lambda n: n + 1, 0)
    await storage.save(session)


async def cancel_at_every_moment(storage: Any, together: int) -> None:
    """Cancel requests after more and more turns of the event loop, and see what others get."""
    users = {user: await made(storage, user) for user in ("ada", "bob", "cleo", "dan")}
    for turns in range(ROUNDS):
        tasks = [
            asyncio.create_task(works(storage, value, user))
            for _ in range(together)
            for user, value in users.items()
        ]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            assert done is None or isinstance(done, asyncio.CancelledError), repr(done)
        for user, value in users.items():
            assert (await storage.read(value))["user"] == user


async def has_none_in_use(engine: AsyncEngine) -> bool:
    """Wait until a pool has all of its connections back, as long as a statement may take."""
    pool: Any = engine.pool
    for _ in range(1000):
        if not pool.checkedout():
            break
        await asyncio.sleep(0.01)
    return not pool.checkedout()


@contextmanager
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """See that nothing is logged, and that no loop has an error to tell."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with caplog.at_level(logging.WARNING):
        yield told
        gc.collect()
    assert not told
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("together", [2, thorough(1), thorough(8)])
@pytest.mark.parametrize(
    "kind", ["redis", "redis-small", thorough("valkey"), "memcached", "postgresql", "mariadb"]
)
def test_cancelled_at_every_moment(
    place: str, together: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Over the clients that a URL opens."""

    async def scenario() -> None:
        storage = storage_from_url(place)
        assert isinstance(storage, KeyedStorage)
        assert storage.aio
        with silence(caplog):
            await cancel_at_every_moment(storage.aio, together)
        opened = storage.aio.backend
        if isinstance(opened, AsyncLazyBackend):
            backend: Any = (await opened._opened.get()).backend
            assert not hasattr(backend, "engine") or await has_none_in_use(backend.engine)
        await storage.aio.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("together", [2, thorough(1), thorough(8)])
@pytest.mark.parametrize("kind", [thorough("redis"), "valkey"])
def test_cancelled_with_a_client_of_ones_own(
    kind: str, together: int, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Over the asyncio clients of redis-py and valkey-py; the pool counts what is in use."""
    socket = request.getfixturevalue(f"{kind}_socket")
    library = {"redis": redis.asyncio.Redis, "valkey": valkey.asyncio.Valkey}[kind]

    async def scenario() -> None:
        client = library(unix_socket_path=socket, max_connections=4)
        with silence(caplog):
            await cancel_at_every_moment(RedisStorage(client), together)
        assert not client.connection_pool._in_use_connections
        await client.aclose()

    asyncio.run(scenario())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_cancelled_over_a_cluster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The client of a cluster, too."""

    async def scenario(port: int) -> None:
        storage = storage_from_url(f"redis+cluster://127.0.0.1:{port}?timeout=10")
        assert isinstance(storage, KeyedStorage)
        assert storage.aio
        with silence(caplog):
            await cancel_at_every_moment(storage.aio, 2)
        await storage.aio.close()

    with redis_servers.cluster(tmp_path) as nodes:
        asyncio.run(scenario(nodes[0].port))
        gc.collect()


@pytest.mark.parametrize("kind", ["redis", "memcached", "postgresql", "mariadb"])
def test_cancelled_before_the_server_is_found_to_be_gone(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for the connection any more, so nobody hears that there is none."""
    urls = {
        "redis": "redis://127.0.0.1:1?timeout=0.2",
        "memcached": f"memcached:{tmp_path}/none?timeout=0.2",
        "postgresql": "postgresql://user@127.0.0.1:1/name?timeout=1",
        "mariadb": "mysql://user@127.0.0.1:1/name?timeout=1",
    }

    async def scenario() -> None:
        storage = storage_from_url(urls[kind])
        assert isinstance(storage, KeyedStorage)
        assert storage.aio
        with silence(caplog):
            for turns in range(20):
                call = asyncio.ensure_future(storage.aio.read("A" * 40))
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
        await storage.aio.close()

    asyncio.run(scenario())
    gc.collect()
