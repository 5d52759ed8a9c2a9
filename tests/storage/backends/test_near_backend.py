"""Redis and Valkey with copies in this process: what is asked, what is seen, what is never kept."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from coatcheck import ConfigurationError
from coatcheck.storage import KeyedStorage, Near, RedisStorage, storage_from_url
from coatcheck.storage.backends.async_near_backend import AsyncNearRedisBackend
from coatcheck.storage.backends.near_backend import NearRedisBackend
from coatcheck.storage.uncached import uncached
from coatcheck.testing import Clock
from tests.servers import wait_until

NEAR = Near(max_bytes=1_000_000, max_stale=1.0)


@pytest.fixture(params=["redis_socket", "valkey_socket"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    path: str = request.getfixturevalue(request.param)
    with redis.Redis(unix_socket_path=path) as made:
        yield made


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}:"


@pytest.fixture
def near(client: redis.Redis, prefix: str, clock: Clock) -> Iterator[KeyedStorage]:
    """A storage that keeps copies, and has begun to listen."""
    storage = RedisStorage(client, prefix=prefix, clock=clock, near=NEAR)
    listens(storage)
    yield storage
    storage.close()


@pytest.fixture
def elsewhere(client: redis.Redis, prefix: str, clock: Clock) -> KeyedStorage:
    """The same sessions, as another process sees them."""
    return RedisStorage(client, prefix=prefix, clock=clock)


def backend_of(storage: KeyedStorage) -> NearRedisBackend:
    assert isinstance(storage.backend, NearRedisBackend)
    return storage.backend


def listens(storage: KeyedStorage) -> None:
    storage.backend.get("nothing")
    wait_until(backend_of(storage).copies.is_proved)


def stored(storage: KeyedStorage) -> str:
    session = storage.read(None)
    session["n"] = 1
    value = storage.save(session)
    assert value
    return value


def change(storage: KeyedStorage, value: str, **values: int) -> None:
    session = storage.read(value)
    session.update(values)
    storage.save(session)


def reads_of(client: redis.Redis) -> int:
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats["cmdstat_get"]["calls"])


def keeps(storage: KeyedStorage, value: str) -> None:
    """Read a record whose last write has been told, so that nothing takes its copy away."""
    copies = backend_of(storage).copies
    written = copies.clock()
    wait_until(lambda: copies.proved_at >= written)
    storage.read(value)
    assert copies.get(storage.space.key(value))


def keep_stale(near: KeyedStorage, elsewhere: KeyedStorage, value: str, **values: int) -> None:
    """Change a session elsewhere, and let the copy here be the old one."""
    copies, key = backend_of(near).copies, near.space.key(value)
    keeps(near, value)
    old = copies.get(key)
    assert old
    change(elsewhere, value, **values)
    wait_until(lambda: copies.get(key) is None)
    copies.keep(key, copies.ask(key), old)


def test_a_record_is_read_once(near: KeyedStorage, client: redis.Redis) -> None:
    """Further reads ask no server."""
    value = stored(near)
    keeps(near, value)
    before = reads_of(client)
    assert [near.read(value)["n"] for _ in range(9)] == [1] * 9
    assert reads_of(client) == before


def test_a_change_on_a_copy_asks_once(near: KeyedStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read is the copy, and the write one conditional command. The next read asks again."""
    value = stored(near)
    change(near, value, n=2)
    keeps(near, value)
    inner: Any = backend_of(near)._backend
    ask, asked = inner._ask, []

    def note(command: str, *arguments: Any, **options: Any) -> Any:
        asked.append(command)
        return ask(command, *arguments, **options)

    monkeypatch.setattr(inner, "_ask", note)
    change(near, value, n=3)
    assert len(asked) == 1
    assert asked[0] in ("SET", "EVALSHA")
    asked.clear()
    assert near.read(value)["n"] == 3
    assert asked == ["GET"]


def test_a_change_elsewhere_is_seen(near: KeyedStorage, elsewhere: KeyedStorage) -> None:
    """And a sign-out."""
    value = stored(elsewhere)
    assert near.read(value)["n"] == 1
    change(elsewhere, value, n=2)
    wait_until(lambda: near.read(value).get("n") == 2)
    session = elsewhere.read(value)
    session.destroy()
    elsewhere.save(session)
    wait_until(lambda: near.read(value).is_new)


def test_own_writes_are_seen_at_once(near: KeyedStorage) -> None:
    """Changes, and deletes of the backend."""
    value = stored(near)
    for number in range(50):
        change(near, value, n=number)
        assert near.read(value)["n"] == number
    near.backend.delete(near.space.key(value))
    assert near.read(value).is_new


def test_a_write_on_a_stale_copy_loses_nothing(near: KeyedStorage, elsewhere: KeyedStorage) -> None:
    """It is refused, and its changes are replayed on what is there."""
    value = stored(near)
    keep_stale(near, elsewhere, value, theirs=2)
    session = near.read(value)
    assert "theirs" not in session
    session["ours"] = 3
    near.save(session)
    assert elsewhere.read(value).copy() == {"n": 1, "theirs": 2, "ours": 3}


def test_a_read_that_must_be_true_asks(near: KeyedStorage, elsewhere: KeyedStorage) -> None:
    """`asgi.reload`, and the checks before headers leave, look past the copies."""
    value = stored(near)
    keep_stale(near, elsewhere, value, n=2)
    assert near.read(value)["n"] == 1
    with uncached():
        assert near.read(value)["n"] == 2


def test_deadlines_hold_for_copies(near: KeyedStorage, clock: Clock) -> None:
    """They are in the record, and each read checks them."""
    value = stored(near)
    keeps(near, value)
    clock.advance(15 * 24 * 3600)
    assert near.read(value).is_new


def test_a_failed_read_keeps_nothing(near: KeyedStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one asks."""
    value = stored(near)
    backend = backend_of(near)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "_backend", None)
        with pytest.raises(AttributeError):
            near.read(value)
    assert near.read(value)["n"] == 1


def test_an_emptied_server_empties_the_copies(near: KeyedStorage, client: redis.Redis) -> None:
    """FLUSHDB tells of no single key."""
    value = stored(near)
    keeps(near, value)
    client.flushdb()
    wait_until(lambda: near.read(value).is_new)


def test_a_closed_storage_listens_again(near: KeyedStorage) -> None:
    """When it is used again."""
    value = stored(near)
    near.close()
    assert not backend_of(near).copies.is_proved()
    assert near.read(value)["n"] == 1
    listens(near)


def test_an_asyncio_client_keeps_copies_too(client: redis.Redis, elsewhere: KeyedStorage) -> None:
    """After `close`, and in another event loop, it begins anew."""
    value = stored(elsewhere)
    path = client.connection_pool.connection_kwargs["path"]

    async def seen(number: int) -> None:
        waiting = redis.asyncio.Redis(unix_socket_path=path)
        storage = RedisStorage(waiting, prefix=elsewhere.prefix, clock=elsewhere.clock, near=NEAR)
        for _ in range(2):
            await storage.backend.get("nothing")
            assert isinstance(storage.backend, AsyncNearRedisBackend)
            connection = storage.backend.current
            assert connection is not None
            copies = connection.copies
            async with asyncio.timeout(9):
                while not copies.is_proved():  # noqa: ASYNC110 - the server tells no event of ours
                    await asyncio.sleep(0.01)
                assert (await storage.read(value))["n"] == number - 1
                assert len(copies) == 1
                await asyncio.to_thread(change, elsewhere, value, n=number)
                while (await storage.read(value))["n"] != number:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
            number += 1
            await storage.close()
        await waiting.aclose()

    asyncio.run(seen(2))
    asyncio.run(seen(4))


def test_the_client_of_a_cluster_is_refused() -> None:
    """Each server would tell of its own keys."""
    with pytest.raises(ConfigurationError, match="near needs a client of one server"):
        RedisStorage(redis.asyncio.RedisCluster(host="127.0.0.1", port=1), near=NEAR)


def test_a_url_says_how_much_is_kept(client: redis.Redis, elsewhere: KeyedStorage) -> None:
    """near=64MB, in kB, MB or GB, for both forms of the storage."""
    path = client.connection_pool.connection_kwargs["path"]
    value = stored(elsewhere)
    storage = storage_from_url(
        f"unix://{path}?near=64MB&prefix={elsewhere.prefix}", clock=elsewhere.clock
    )
    assert isinstance(storage, KeyedStorage) and storage.aio
    assert storage.read(value)["n"] == 1
    aio = storage.aio

    async def read() -> None:
        assert (await aio.read(value))["n"] == 1
        await aio.close()

    asyncio.run(read())
    storage.close()


@pytest.mark.parametrize("size", ["64", "MB", "0MB", "1TB", "1.5MB", ""])
def test_another_size_in_a_url_is_refused(size: str) -> None:
    """With what it must be."""
    with pytest.raises(ConfigurationError, match="near in a redis: URL must be a size"):
        storage_from_url(f"redis://127.0.0.1?near={size}")


def test_the_url_of_a_cluster_has_no_near() -> None:
    """The error lists the options that there are."""
    with pytest.raises(ConfigurationError, match="must be among"):
        storage_from_url("redis+cluster://127.0.0.1?near=1MB")
