"""The one connection that the requests of an event loop share, over real servers."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from coatcheck.errors import BackendError
from coatcheck.storage import RedisStorage
from coatcheck.storage.backends import redis_wire
from coatcheck.storage.backends.async_redis_backend import AsyncRedisBackend
from coatcheck.storage.backends.redis_client import async_ask_of
from coatcheck.storage.backends.redis_wire import RedisConnection, Wires
from tests import redis_servers, servers
from tests.redis_servers import Node
from tests.servers import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Node]:
    """A server that a test may pause, or whose connections it may close."""
    with redis_servers.node(tmp_path / "server") as running:
        yield running


@asynccontextmanager
async def wires_to(place: str | Node, **options: Any) -> AsyncIterator[tuple[Any, Wires[Any]]]:
    """A client of a socket or a node, and its wires."""
    where: dict[str, Any] = {"unix_socket_path": place} if isinstance(place, str) else {}
    if not where:
        where = {"port": place.port}  # type: ignore[union-attr]
    client = redis.asyncio.Redis(**where, **options)
    wires = async_ask_of(client)
    assert isinstance(wires, Wires)
    try:
        yield client, wires
    finally:
        await wires.close()
        await client.aclose()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await scene()

    asyncio.run(within())


async def calls(client: Any) -> dict[str, int]:
    found: dict[str, dict[str, int]] = await client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()}


async def connections(client: Any) -> int:
    found: dict[str, int] = await client.info("stats")
    return found["total_connections_received"]


def note_calls(client: Any) -> list[str]:
    """Return the list to which each command is added that goes through the client itself."""
    asked: list[str] = []
    inner = client.connection_pool.get_connection

    async def get_connection(*args: Any, **options: Any) -> Any:
        asked.append("asked")
        return await inner(*args, **options)

    client.connection_pool.get_connection = get_connection
    return asked


@pytest.mark.parametrize("kind", [redis.asyncio.Redis, valkey.asyncio.Valkey])
def test_each_request_gets_the_answer_to_its_own_command(redis_socket: str, kind: Any) -> None:
    """64 write and read at once, over one connection, and the client's own path is not taken."""

    async def scene() -> None:
        async with kind(unix_socket_path=redis_socket) as client:
            wires = async_ask_of(client)
            before, asked = await connections(client), note_calls(client)

            async def one(number: int) -> Any:
                await wires("SET", f"wire:{number}", b"%d" % number)
                return await wires("GET", f"wire:{number}")

            answers = await asyncio.gather(*map(one, range(64)))
            assert answers == [b"%d" % number for number in range(64)]
            assert not asked
            assert await connections(client) - before == 1
            await wires.close()  # type: ignore[attr-defined]

    run(scene)


def test_a_command_that_the_server_refuses_fails_alone(redis_socket: str) -> None:
    """Its error is the client's own, and the connection goes on."""

    async def scene() -> None:
        async with wires_to(redis_socket) as (client, wires):
            await client.delete("wire:list")
            await client.rpush("wire:list", "x")
            await wires("SET", "wire:text", b"there")
            connection = wires.current
            answers = await asyncio.gather(
                wires("GET", "wire:text"),
                wires("GET", "wire:list"),
                wires("GET", "wire:text"),
                return_exceptions=True,
            )
            assert answers[0] == answers[2] == b"there"
            assert isinstance(answers[1], redis.ResponseError)
            assert wires.current is connection
            assert connection is not None and connection.is_open

    run(scene)


def test_commands_on_a_connection_that_ends_are_sent_again(server: Node) -> None:
    """No request fails, and the next one opens a connection."""

    async def scene() -> None:
        async with wires_to(server) as (client, wires):
            await wires("SET", "key", b"there")
            first = wires.current
            server.ask("CLIENT", "PAUSE", 300, "ALL")
            asking = [asyncio.ensure_future(wires("GET", "key")) for _ in range(9)]
            await asyncio.sleep(0)
            assert first is not None
            first.close()
            assert await asyncio.gather(*asking) == [b"there"] * 9
            assert await wires("GET", "key") == b"there"
            assert wires.current is not first
            await client.ping()

    run(scene)


@pytest.mark.parametrize("program", ["redis", "valkey"])
@pytest.mark.parametrize("between", [True, False])
def test_a_write_whose_answer_was_lost_counts_at_most_once(
    program: str, between: bool, tmp_path: Path
) -> None:
    """If another write came between, nothing tells whether it was done: that is an error."""
    path = servers.valkey_program() if program == "valkey" else None

    async def scene() -> None:
        async with (
            redis.asyncio.Redis(port=node.port) as client,
            redis.asyncio.Redis(port=node.port) as other,
        ):
            backend = AsyncRedisBackend(client)
            assert isinstance(backend._ask, Wires)
            assert await backend.swap("key", None, b"0", 99) is None
            for number in (1, 2):  # now the server's way to write is known, and its script
                found = await backend.get("key")
                assert found is not None
                await backend.swap("key", found.version, b"%d" % number, 99)
            found, connection = await backend.get("key"), backend._ask.current
            assert found is not None
            assert connection is not None
            connection._transport.pause_reading()
            writing = asyncio.ensure_future(backend.swap("key", found.version, b"ours", 99))
            while await other.get("key") == found.version:  # noqa: ASYNC110 - no event of ours
                await asyncio.sleep(0)
            if between:
                await other.set("key", "markmarktheirs")
            connection.close()
            if between:
                with pytest.raises(BackendError, match="before it answered"):
                    await writing
            else:
                assert await writing is None
            there = await backend.get("key")
            assert there is not None
            assert there.record == (b"theirs" if between else b"ours")
            await backend.close()

    with redis_servers.node(tmp_path / "server", program=path) as node:
        run(scene)


def test_a_connection_that_the_server_closed_is_made_again(server: Node) -> None:
    """As after a restart, or a night without requests."""

    async def scene() -> None:
        async with wires_to(server) as (_, wires):
            await wires("SET", "key", b"there")
            first = wires.current
            await asyncio.to_thread(server.ask, "CLIENT", "KILL", "TYPE", "normal")
            for _ in range(3):
                assert await wires("GET", "key") == b"there"
            assert wires.current is not first

    run(scene)


def test_a_late_answer_is_an_error_and_harms_no_later_command(server: Node) -> None:
    """The time limit is the client's; what follows goes over another connection."""

    async def scene() -> None:
        async with redis.asyncio.Redis(
            port=server.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)
        ) as client:
            backend = RedisStorage(client).backend
            assert await backend.get("key") is None
            server.ask("CLIENT", "PAUSE", 600, "ALL")
            with pytest.raises(BackendError) as raised:
                await backend.get("key")
            assert isinstance(raised.value.__cause__, TimeoutError)
            server.ask("CLIENT", "UNPAUSE")
            assert await backend.swap("key", None, b"record", 9) is None
            await backend.close()  # type: ignore[attr-defined]

    run(scene)


def test_a_time_limit_that_the_client_has_by_default_holds(server: Node) -> None:
    """redis-py has had one since version 8, and it is not among the options of a pool."""

    async def scene() -> None:
        pool = redis.asyncio.ConnectionPool(port=server.port)
        inner: Any = pool.make_connection

        def impatient() -> Any:
            connection: Any = inner()
            connection.socket_timeout = 0.2
            return connection

        pool.make_connection = impatient  # type: ignore[method-assign]
        async with redis.asyncio.Redis.from_pool(pool) as client:
            wires = async_ask_of(client)
            await wires("GET", "key")
            server.ask("CLIENT", "PAUSE", 600, "ALL")
            with pytest.raises(TimeoutError):
                await wires("GET", "key")
            await wires.close()  # type: ignore[attr-defined]

    run(scene)


def test_a_client_that_retries_late_commands_still_does(server: Node) -> None:
    """A pause that is longer than its time limit, and shorter than its tries, fails no request."""

    async def scene() -> None:
        retry, late = Retry(NoBackoff(), 9), [redis.TimeoutError]
        limits = {"socket_timeout": 0.2, "retry": retry, "retry_on_error": late}
        async with wires_to(server, **limits) as (_, wires):
            await wires("SET", "key", b"there")
            server.ask("CLIENT", "PAUSE", 500, "ALL")
            assert await asyncio.gather(*(wires("GET", "key") for _ in range(3))) == [b"there"] * 3

    run(scene)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_cancelled_read_leaves_the_others_alone(redis_socket: str, turns: int) -> None:
    """Its answer is dropped, wherever it was."""

    async def scene() -> None:
        async with wires_to(redis_socket) as (client, wires):
            await client.mset({f"wire:{n}": n for n in range(4)})
            await wires("GET", "wire:0")
            tasks = [asyncio.ensure_future(wires("GET", f"wire:{n}")) for n in range(4)]
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[2].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert answers[:2] == [b"0", b"1"]
            assert isinstance(answers[2], asyncio.CancelledError)
            assert answers[3] == b"3"

    run(scene)


def test_a_write_that_was_sent_is_awaited_by_a_cancelled_request(redis_socket: str) -> None:
    """So a save needs no task of its own; the cancellation comes after the answer."""

    async def scene() -> None:
        async with wires_to(redis_socket) as (client, wires):
            await wires("DEL", "wire:last")
            writing = asyncio.ensure_future(wires("SET", "wire:last", b"written"))
            await asyncio.sleep(0)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert await client.get("wire:last") == b"written"

    run(scene)


class Counting(redis.asyncio.Redis):
    """A client of an application that counts its commands."""

    asked = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def test_a_client_that_watches_its_commands_sees_each(
    redis_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass, a client with a method of its own, and a method that a tracer wraps."""

    async def scene() -> None:
        async with Counting(unix_socket_path=redis_socket) as counting:
            await async_ask_of(counting)("GET", "nothing")
            assert counting.asked == 1
        async with redis.asyncio.Redis(unix_socket_path=redis_socket) as client:
            seen = []
            inner: Any = client.execute_command

            async def execute(*args: Any, **options: Any) -> Any:
                seen.append(args[0])
                return await inner(*args, **options)

            with monkeypatch.context() as patch:
                patch.setattr(client, "execute_command", execute)
                await async_ask_of(client)("GET", "nothing")
            assert seen == ["GET"]
            method = redis.asyncio.Redis.execute_command

            @wraps(method)
            async def traced(self: Any, *args: Any, **options: Any) -> Any:
                seen.append(args[0])
                return await method(self, *args, **options)  # type: ignore[no-untyped-call]

            monkeypatch.setattr(redis.asyncio.Redis, "execute_command", traced)
            await async_ask_of(client)("GET", "nothing")
            assert seen == ["GET", "GET"]

    run(scene)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"encoding": "latin-1"}, id="texts are encoded in another way"),
        pytest.param({"single_connection_client": True}, id="one connection is all it may have"),
    ],
)
def test_a_client_of_another_kind_is_asked_itself(
    redis_socket: str, options: dict[str, Any]
) -> None:
    """It answers as ever."""

    async def scene() -> None:
        async with wires_to(redis_socket, **options) as (_, wires):
            await wires("SET", "wire:é", b"there")
            assert await wires("GET", "wire:é") == b"there"
            assert wires.current is None

    run(scene)


def test_without_hiredis_the_client_is_asked(
    redis_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is optional for redis-py, too."""
    monkeypatch.setattr(redis_wire, "hiredis", None)

    async def scene() -> None:
        async with wires_to(redis_socket) as (_, wires):
            await wires("SET", "wire:plain", b"there")
            assert await wires("GET", "wire:plain") == b"there"
            assert wires.current is None

    run(scene)


class Elsewhere:
    """A connection whose stream is not where this version of redis-py has it."""

    async def connect(self) -> None:
        pass

    async def disconnect(self) -> None:
        pass


def test_a_client_that_keeps_its_stream_elsewhere_is_asked(
    redis_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version may: that costs speed, and no request."""

    async def scene() -> None:
        async with wires_to(redis_socket) as (client, wires):
            made, make = iter([Elsewhere()]), client.connection_pool.make_connection
            first = lambda: next(made, None) or make()  # noqa: E731
            monkeypatch.setattr(client.connection_pool, "make_connection", first)
            ask = async_ask_of(client)
            assert await ask("SET", "wire:elsewhere", b"there")
            assert await ask("GET", "wire:elsewhere") == b"there"
            assert isinstance(ask, Wires) and ask.current is None
            await ask.close()
            await wires("GET", "nothing")
            assert wires.current is not None

    run(scene)


@pytest.mark.parametrize(
    "said", [pytest.param(b"!what\r\n", id="nonsense"), pytest.param(b"+OK\r\n", id="to nothing")]
)
def test_an_answer_that_is_none_ends_the_connection(redis_socket: str, said: bytes) -> None:
    """Nobody gets another's answer: commands that are under way are sent again."""

    async def scene() -> None:
        async with wires_to(redis_socket) as (client, wires):
            await client.set("wire:said", "there")
            await wires("GET", "wire:said")
            connection = wires.current
            assert isinstance(connection, RedisConnection)
            connection.received(memoryview(said))
            assert not connection.is_open
            assert await wires("GET", "wire:said") == b"there"

    run(scene)


def test_messages_that_nobody_asked_for_are_no_answers(server: Node) -> None:
    """A client of RESP3 may be told of other things on any of its connections."""

    async def scene() -> None:
        async with wires_to(server, protocol=3) as (_, wires):
            await wires("SET", "key", b"there")
            connection = wires.current
            assert isinstance(connection, RedisConnection)
            connection.received(memoryview(b">2\r\n+other\r\n+news\r\n"))
            assert await wires("GET", "key") == b"there"
            assert connection.is_open
            assert wires.current is connection

    run(scene)


def test_a_storage_that_is_dropped_leaves_no_connection(server: Node) -> None:
    """Also if its loop ends at that moment."""

    async def scene() -> None:
        async with redis.asyncio.Redis(port=server.port) as client:
            storage = RedisStorage(client)
            await storage.save(await storage.read(None))
            await storage.read("A" * 40)
            del storage
            gc.collect()

    run(scene)
    gc.collect()  # a connection that is still open would be warned of
    wait_until(lambda: server.ask("INFO", "clients")["connected_clients"] == 1)


def test_a_demoted_server_is_left(server: Node) -> None:
    """It refuses a write, so the next command goes over a new connection."""

    async def scene() -> None:
        async with redis.asyncio.Redis(port=server.port) as client:
            backend = AsyncRedisBackend(client)
            wires = backend._ask
            assert isinstance(wires, Wires)
            assert await backend.swap("key", None, b"record", 9) is None
            first = wires.current
            server.ask("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(BackendError):
                await backend.swap("other", None, b"record", 9)
            assert first is not None and not first.is_open
            server.ask("REPLICAOF", "NO", "ONE")
            assert await backend.swap("other", None, b"record", 9) is None
            assert wires.current is not first
            await backend.close()

    run(scene)


def test_a_server_that_is_not_there_is_the_clients_error(redis_socket: str) -> None:
    """For each request that waits for it."""

    async def scene() -> None:
        path, once = f"{redis_socket}-that-is-not-there", Retry(NoBackoff(), 0)
        async with wires_to(path, retry=once) as (_, wires):
            asking = (wires("GET", "nothing") for _ in range(3))
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(answer, redis.ConnectionError) for answer in answers)

    run(scene)


def test_an_account_and_a_database_are_the_clients(server: Node) -> None:
    """The client greets the server on a wire, too."""
    server.ask("ACL", "SETUSER", "web", "on", ">secret", "~*", "+@all")

    async def scene() -> None:
        options = {"username": "web", "password": "secret", "db": 3, "client_name": "shop"}
        async with wires_to(server, **options) as (client, wires):
            await wires("SET", "key", b"there")
            assert wires.current is not None
            assert await client.get("key") == b"there"
            users = {each["user"] for each in await client.client_list()}
            assert users == {"web"}
            assert {each["name"] for each in await client.client_list()} == {"shop"}

    run(scene)


@pytest.mark.thorough
def test_the_wire_of_a_sentinel_leads_to_its_master(tmp_path: Path) -> None:
    """After a failover, too: the old master closes its connections, or refuses the next write."""
    with redis_servers.sentinel(tmp_path) as watch:
        places = [("127.0.0.1", each.port) for each in watch.sentinels]

        async def scene() -> None:
            found = redis.asyncio.Sentinel(places, socket_timeout=2)
            client = found.master_for("mymaster", socket_timeout=2)
            wires = async_ask_of(client)
            assert isinstance(wires, Wires)
            await wires("SET", "key", b"before")
            assert wires.current is not None
            await asyncio.to_thread(watch.master.ask, "WAIT", 1, 1000)
            await asyncio.to_thread(watch.sentinels[0].ask, "SENTINEL", "FAILOVER", "mymaster")
            await asyncio.to_thread(wait_until, lambda: watch.replica.ask("ROLE")[0] == b"master")
            async with asyncio.timeout(15):  # the old master takes writes for a while
                while await asyncio.to_thread(watch.replica.ask, "GET", "key") != b"after":
                    with suppress(redis.RedisError):
                        await wires("SET", "key", b"after")
                    await asyncio.sleep(0.1)
            assert await wires("GET", "key") == b"after"
            await wires.close()
            await client.aclose()
            for each in found.sentinels:
                await each.aclose()

        asyncio.run(scene())
