"""What a lazy backend can do is what the one behind it can do."""

import asyncio
from pathlib import Path

import pytest
import redis

from coatcheck import Users
from coatcheck._session.plan import WarnOfEviction
from coatcheck.storage import KeyedStorage, storage_from_url
from coatcheck.storage.async_innermost import async_innermost
from coatcheck.storage.backend import AsyncEvicts, AsyncGetsMany, Evicts, GetsMany
from coatcheck.storage.backends.redis import AsyncRedisBackend, RedisBackend
from coatcheck.storage.innermost import innermost
from tests import servers
from tests.hosts import COOKIE, Front, Wsgi
from tests.roundtrips import Counter, mariadb_statements, postgresql_statements, redis_reads
from tests.test_users import signs_in

SESSIONS = 5


def keyed(url: str) -> KeyedStorage:
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    assert storage.aio
    return storage


def listed(storage: KeyedStorage, count: Counter) -> tuple[int, int]:
    """Return how often the server is asked for a list of sessions, plain and awaited."""
    users = Users(COOKIE, storage)
    front: Front = Wsgi(storage)
    for _ in range(SESSIONS):
        front.browser(users=users).ask(signs_in)
    before = count()
    assert len(users.sessions_of("42")) == SESSIONS
    plain = count() - before

    async def awaited() -> int:
        assert storage.aio
        await storage.aio.read("A" * 40)  # it is connected
        before = count()
        assert len(await users.aio.sessions_of("42")) == SESSIONS
        asked = count() - before
        await storage.aio.close()
        return asked

    return plain, asyncio.run(awaited())


def test_a_list_over_a_redis_url_takes_two_round_trips(redis_socket: str) -> None:
    """The roster, and all sessions at once."""
    storage = keyed(f"unix://{redis_socket}?prefix=lazy:")
    assert listed(storage, redis_reads(redis_socket)) == (2, 2)
    storage.close()


def test_copies_near_by_hide_nothing(redis_socket: str) -> None:
    """The backend behind both the lazy one and the copies is asked."""
    storage = keyed(f"unix://{redis_socket}?near=1MB")
    assert type(innermost(storage.backend)) is RedisBackend

    async def awaited() -> None:
        assert storage.aio
        assert isinstance(await async_innermost(storage.aio.backend), AsyncRedisBackend)
        await storage.aio.close()

    asyncio.run(awaited())
    storage.close()


def test_a_list_over_a_postgresql_url_takes_two_round_trips(postgresql_url: str) -> None:
    """Awaited, too, where calls are batched."""
    storage = keyed(f"{postgresql_url}?prefix=lazy:&sslmode=disable")
    with postgresql_statements(postgresql_url) as count:
        assert listed(storage, count) == (2, 2)
    storage.close()


def test_a_list_over_a_mysql_url_takes_two_round_trips(mariadb_url: str) -> None:
    """The plain form goes through SQLAlchemy, the awaited one through the driver."""
    storage = keyed(f"{mariadb_url}?prefix=lazy:")
    with mariadb_statements(mariadb_url) as count:
        assert listed(storage, count) == (2, 2)
    storage.close()


def test_a_redis_url_warns_of_eviction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Plain and awaited, as a storage over a client does."""
    with servers.redis_server(tmp_path, program=servers.find("redis-server")) as path:
        with redis.Redis(unix_socket_path=path) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("maxmemory", "100mb")
        storage = keyed(f"unix://{path}")
        storage._ask(WarnOfEviction())
        storage.close()

        async def awaited() -> None:
            assert storage.aio
            await storage.aio._ask(WarnOfEviction())
            await storage.aio.close()

        asyncio.run(awaited())
    said = [record.getMessage() for record in caplog.records]
    assert ["allkeys-lru" in line for line in said] == [True, True]


def test_nothing_is_claimed_for_the_one_behind() -> None:
    """It may have neither."""
    storage = keyed("postgresql://host/database?sslmode=verify-full")
    assert storage.aio
    assert not isinstance(storage.backend, Evicts | GetsMany)
    assert not isinstance(storage.aio.backend, AsyncEvicts | AsyncGetsMany)
