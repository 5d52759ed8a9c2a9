"""The backend in Redis and Valkey, over both libraries' plain and asyncio clients."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, RedisStorage
from coatcheck.storage.backends.redis import AsyncRedisBackend, RedisBackend
from coatcheck.testing import BackendContract
from coatcheck.testing.backend_contract import Make, new_key


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as opened:
        yield opened


class TestRedisBackend(BackendContract):
    """Every rule of a backend, on Redis, over redis-py."""

    @pytest.fixture
    def make(self, client: redis.Redis) -> Make:
        return lambda: RedisBackend(client)


class TestAsyncRedisBackend(BackendContract):
    """Every rule of a backend, on Redis, over redis-py's asyncio client."""

    @pytest.fixture
    def make(self, redis_socket: str) -> Make:
        @asynccontextmanager
        async def backend() -> AsyncIterator[AsyncRedisBackend]:
            async with redis.asyncio.Redis(unix_socket_path=redis_socket) as opened:
                yield AsyncRedisBackend(opened)

        return backend


class TestValkeyBackend(BackendContract):
    """Every rule of a backend, on Valkey, over valkey-py."""

    @pytest.fixture
    def make(self, valkey_socket: str) -> Iterator[Make]:
        with valkey.Valkey(unix_socket_path=valkey_socket) as opened:
            yield lambda: RedisBackend(opened)


class TestAsyncValkeyBackend(BackendContract):
    """Every rule of a backend, on Valkey, over valkey-py's asyncio client."""

    @pytest.fixture
    def make(self, valkey_socket: str) -> Make:
        @asynccontextmanager
        async def backend() -> AsyncIterator[AsyncRedisBackend]:
            async with valkey.asyncio.Valkey(unix_socket_path=valkey_socket) as opened:
                yield AsyncRedisBackend(opened)

        return backend


def test_the_client_tells_which_storage_comes_back(redis_socket: str) -> None:
    """A plain client makes a plain storage, an asyncio client an asynchronous one."""
    assert isinstance(RedisStorage(redis.Redis(unix_socket_path=redis_socket)), KeyedStorage)
    asynchronous = redis.asyncio.Redis(unix_socket_path=redis_socket)
    assert isinstance(RedisStorage(asynchronous), AsyncKeyedStorage)


def test_a_client_that_decodes_is_refused(redis_socket: str) -> None:
    """Records are bytes: a client made with decode_responses=True says so when it is given."""
    decoding = redis.Redis(unix_socket_path=redis_socket, decode_responses=True)
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisStorage(decoding)


def test_what_is_no_client_is_refused() -> None:
    """Only what comes from redis-py or valkey-py is taken for a client."""

    class Encoder:
        decode_responses = False

    class Stranger:
        def get_encoder(self) -> Encoder:
            return Encoder()

        def execute_command(self, *_: object, **__: object) -> None: ...

    with pytest.raises(ConfigurationError, match="Stranger"):
        RedisStorage(Stranger())


def test_a_prefix_keeps_applications_apart(client: redis.Redis) -> None:
    """Two storages with other prefixes on one server see nothing of each other."""
    ours, theirs = RedisStorage(client, prefix="ours:"), RedisStorage(client, prefix="theirs:")
    session = ours.read(None)
    session["user"] = 1
    value = ours.save(session)
    assert theirs.read(value).is_new
    assert ours.read(value)["user"] == 1


def test_the_server_forgets_what_expired(client: redis.Redis) -> None:
    """A record has the server's own ttl, so that nobody has to sweep."""
    backend, key = RedisBackend(client), new_key()
    backend.swap(key, None, b"one", 100)
    assert 99_000 < client.pttl(key) <= 100_000
    stored = backend.get(key)
    assert stored
    backend.swap(key, stored.version, b"two", 200)
    assert 199_000 < client.pttl(key) <= 200_000


def test_a_script_that_the_server_lost_is_loaded_again(client: redis.Redis) -> None:
    """A server that was restarted or flushed knows the script again after one more round trip."""
    backend, key = RedisBackend(client), new_key()
    backend.swap(key, None, b"one", 100)
    stored = backend.get(key)
    assert stored
    client.script_flush()
    assert backend.swap(key, stored.version, b"two", 100) is None


@contextmanager
def watched(client: redis.Redis, key: str) -> Iterator[list[str]]:
    """Collect the commands that the server is given about a key."""
    commands: list[str] = []
    opened: Any = client
    with opened.monitor() as monitor:
        yield commands
        opened.execute_command("ECHO", "end")
        for told in monitor.listen():
            if told["command"] == "ECHO end":
                return
            if key in told["command"] and told["client_type"] != "lua":
                commands.append(told["command"].partition(" ")[0])


def test_a_write_is_one_conditional_set_where_the_server_has_it(valkey_socket: str) -> None:
    """Valkey compares and sets in one command of its own."""
    with redis.Redis(unix_socket_path=valkey_socket) as client:
        backend, key = RedisBackend(client), new_key()
        with watched(client, key) as commands:
            backend.swap(key, None, b"one", 100)
            stored = backend.get(key)
            assert stored
            assert backend.swap(key, stored.version, b"two", 100) is None
            assert backend.swap(key, stored.version, b"three", 100) is not None
            backend.delete(key)
    assert commands == ["SET", "GET", "SET", "SET", "DEL"]


def test_a_write_is_one_script_where_it_has_not(client: redis.Redis) -> None:
    """An older server is asked for the conditional SET once, and never again."""
    backend, key = RedisBackend(client), new_key()
    with watched(client, key) as commands:
        backend.swap(key, None, b"one", 100)
        for record in (b"two", b"three"):
            stored = backend.get(key)
            assert stored
            assert backend.swap(key, stored.version, record, 100) is None
    assert [command for command in commands if command != "EVAL"] == [
        "SET", "GET", "SET", "EVALSHA", "GET", "EVALSHA",
    ]  # fmt: skip


class Twice:
    """A client that sends each command again, as one does that lost the answer."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def execute_command(self, *args: object, **options: object) -> object:
        self._client.execute_command(*args, **options)
        return self._client.execute_command(*args, **options)


@pytest.mark.parametrize("server", ["redis", "valkey"])
def test_a_command_that_is_sent_again_counts_once(
    server: str, request: pytest.FixtureRequest
) -> None:
    """A client that retries finds its own write, and takes it for what it is."""
    socket = request.getfixturevalue(f"{server}_socket")
    with redis.Redis(unix_socket_path=socket) as client:
        backend = RedisBackend(client)
        backend._ask = Twice(client).execute_command
        storage = KeyedStorage(backend)
        session = storage.read(None)
        session["n"] = 0
        value = storage.save(session)
        for _ in range(3):
            session = storage.read(value)
            session.apply("n", lambda n: n + 1)
            assert storage.save(session) is None
        assert storage.read(value)["n"] == 3


def test_a_client_that_reads_from_replicas_is_refused(redis_socket: str) -> None:
    """A replica may not have heard yet that somebody signed out."""

    class Replica(redis.ConnectionPool):
        is_master = False

    pool = Replica.from_url(f"unix://{redis_socket}")
    with pytest.raises(ConfigurationError, match="replicas"):
        RedisStorage(redis.Redis(connection_pool=pool))


def test_a_server_that_is_not_there_is_a_backend_error(tmp_path: object) -> None:
    """Each call raises BackendError, and the client's own error is the cause."""
    backend = RedisBackend(
        redis.Redis(unix_socket_path=f"{tmp_path}/none", retry=Retry(NoBackoff(), 0))
    )
    for call in (
        lambda: backend.get("key"),
        lambda: backend.swap("key", None, b"", 1),
        lambda: backend.swap("key", b"", b"", 1),
        lambda: backend.delete("key"),
    ):
        with pytest.raises(BackendError) as raised:
            call()
        assert isinstance(raised.value.__cause__, redis.RedisError)
        assert "key" not in str(raised.value)


def test_an_asyncio_server_that_is_not_there_is_a_backend_error(tmp_path: object) -> None:
    """The asynchronous form raises the same."""

    async def scenario() -> None:
        async with redis.asyncio.Redis(
            unix_socket_path=f"{tmp_path}/none", retry=AsyncRetry(NoBackoff(), 0)
        ) as client:
            backend = AsyncRedisBackend(client)
            for call in (
                backend.get("key"),
                backend.swap("key", None, b"", 1),
                backend.swap("key", b"", b"", 1),
                backend.delete("key"),
            ):
                with pytest.raises(BackendError):
                    await call

    asyncio.run(scenario())


def test_a_cancelled_call_poisons_no_connection(redis_socket: str) -> None:
    """A request that is cancelled in the middle of an answer leaves none of it to the next one."""

    async def scenario() -> None:
        pool = redis.asyncio.ConnectionPool.from_url(f"unix://{redis_socket}", max_connections=1)
        async with redis.asyncio.Redis(connection_pool=pool) as client:
            backend = AsyncRedisBackend(client)
            for number in range(30):
                key = f"cancelled{number}"
                await backend.swap(key, None, key.encode(), 100)
                call = asyncio.create_task(backend.get(key))
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                await backend.swap(f"other{number}", None, b"other", 100)
                other = await backend.get(f"other{number}")
                assert other and other.record == b"other"
        await pool.disconnect()

    asyncio.run(scenario())
