"""A Redis client whose connections are all in use, lead to a demoted server, or cross a fork."""

import asyncio
import gc
import multiprocessing
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

from coatcheck.errors import BackendError, CoatcheckWarning
from coatcheck.storage import KeyedStorage, RedisStorage, storage_from_url
from coatcheck.storage.backends.redis_client import async_ask_of
from coatcheck.storage.backends.redis_connections import (
    UNLIMITED,
    Limit,
    Slots,
    limit_of,
    server_of,
)
from tests import redis_servers
from tests.faults.forwarder import Forwarder, forwarder
from tests.redis_servers import Node
from tests.servers import valkey_program, wait_until
from tests.thorough import crossed, thorough

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="coatcheck-") as found:
        yield Path(found)


@pytest.fixture
def program(request: pytest.FixtureRequest) -> str | None:
    """The server: Redis replaces a record by a script, Valkey by a conditional SET."""
    return valkey_program() if request.param == "valkey" else None


on_redis = pytest.mark.parametrize("program", ["redis", thorough("valkey")], indirect=True)
on_valkey = pytest.mark.parametrize("program", ["valkey", thorough("redis")], indirect=True)


def save(storage: Any) -> None:
    session = storage.read(None)
    session["n"] = 1
    value = storage.save(session)
    session = storage.read(value)
    session["n"] += 1
    storage.save(session)


async def save_awaited(storage: Any) -> None:
    session = await storage.read(None)
    session["n"] = 1
    value = await storage.save(session)
    session = await storage.read(value)
    session["n"] += 1
    await storage.save(session)


def save_at_once(storage: Any, threads: int) -> int:
    """Save in so many threads at once; return how many failed."""
    ready, failed = threading.Barrier(threads), []

    def target() -> None:
        ready.wait(30)
        try:
            save(storage)
        except BackendError as error:
            failed.append(error)

    running = [threading.Thread(target=target) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(failed)


# ---- the name of the server, for errors


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (redis.Redis(), "Redis at localhost:6379"),
        (redis.asyncio.Redis(host="db", port=7), "Redis at db:7"),
        (redis.Redis(unix_socket_path="/run/r.sock"), "Redis at /run/r.sock"),
        (redis.Sentinel([("s", 1)]).master_for("main"), "Redis, Sentinel's 'main'"),
        (redis.asyncio.RedisCluster(host="a", port=7), "Redis cluster at a:7"),
    ],
)
def test_a_client_tells_where_its_server_is(client: Any, name: str) -> None:
    """Without asking it."""
    assert server_of(client) == name


# ---- all connections are in use


@pytest.mark.parametrize("most", [1, 3])
def test_threads_wait_for_a_free_connection(redis_socket: str, most: int) -> None:
    """So a pool that is smaller than the number of threads fails no request."""
    storage = storage_from_url(f"unix://{redis_socket}?max_connections={most}")
    assert isinstance(storage, KeyedStorage)
    assert save_at_once(storage, 20) == 0
    storage.close()


@pytest.mark.parametrize("most", [1, 3])
def test_tasks_wait_for_a_free_connection(redis_socket: str, most: int) -> None:
    """Over one connection 64 requests are served, too."""

    async def scenario() -> None:
        storage = storage_from_url(f"unix://{redis_socket}?max_connections={most}")
        assert isinstance(storage, KeyedStorage)
        await asyncio.gather(*(save_awaited(storage.aio) for _ in range(64)))

    asyncio.run(scenario())


@pytest.mark.parametrize("library", [redis, valkey])
def test_a_client_of_the_applications_own_waits_too(redis_socket: str, library: Any) -> None:
    """Its pool would raise an error at once."""
    kind = library.Redis if library is redis else library.Valkey
    with kind(unix_socket_path=redis_socket, max_connections=2, socket_timeout=10) as client:
        assert save_at_once(RedisStorage(client), 20) == 0


@on_valkey
def test_a_client_of_a_cluster_waits_too(folder: Path, program: str | None) -> None:
    """Plain and awaited."""
    with redis_servers.cluster(folder, program=program) as nodes:
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}?max_connections=2&timeout=10"
        storage = storage_from_url(url)
        assert isinstance(storage, KeyedStorage)

        async def scenario() -> None:
            assert isinstance(storage, KeyedStorage)
            await asyncio.gather(*(save_awaited(storage.aio) for _ in range(20)))

        assert save_at_once(storage, 20) == 0
        asyncio.run(scenario())
        storage.close()


def test_none_waits_longer_than_the_timeout(folder: Path) -> None:
    """A server that hangs keeps a connection in use until its own timeout; then both fail."""
    with redis_servers.node(folder) as node:
        storage = storage_from_url(f"redis://127.0.0.1:{node.port}?max_connections=1&timeout=0.3")
        assert isinstance(storage, KeyedStorage)
        save(storage)
        node.server.pause()
        assert save_at_once(storage, 5) == 5

        async def scenario() -> None:
            assert isinstance(storage, KeyedStorage)
            aio = storage.aio
            calls = (save_awaited(aio) for _ in range(5))
            found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
            assert [type(each) for each in found] == [BackendError] * 5
            node.server.resume()
            await save_awaited(aio)

        asyncio.run(scenario())
        save(storage)
        storage.close()


def test_a_place_is_given_back_after_an_error() -> None:
    """Else a server that fails would use up all places."""
    slots = Slots(Limit(1, 0.01))
    for _ in range(2):
        with suppress(OSError), slots.taken():
            raise OSError("no server")
    with slots.taken(), pytest.raises(TimeoutError), slots.taken():
        pass


def test_the_limit_is_that_of_the_client() -> None:
    """One that has none is not limited."""
    assert limit_of(redis.Redis(max_connections=7, socket_timeout=3)) == Limit(7, 3)
    assert limit_of(valkey.Valkey()) == Limit(UNLIMITED, None)


def test_a_command_that_was_cancelled_while_it_waited_is_not_sent(redis_socket: str) -> None:
    """Nobody wants its answer any more. The client is one of those that are asked themselves."""

    async def scenario() -> None:
        client = redis.asyncio.Redis(
            unix_socket_path=redis_socket, max_connections=1, encoding="latin-1"
        )
        backend = RedisStorage(client).backend
        await client.delete("first", "second")
        assert await backend.get("first") is None  # the first command of a loop waits for more
        first = asyncio.create_task(backend.swap("first", None, b"", 100))
        await asyncio.sleep(0)
        second = asyncio.create_task(backend.swap("second", None, b"", 100))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert await client.exists("first") == 1
        assert await client.exists("second") == 0
        await client.aclose()

    asyncio.run(scenario())


# ---- a server that was demoted


@contextmanager
def two_servers(folder: Path, program: str | None) -> Iterator[tuple[Forwarder, Node, Node]]:
    """Yield an address that leads to the first of two servers, as a proxy's does."""
    with (
        redis_servers.node(folder / "one", program=program) as one,
        redis_servers.node(folder / "two", program=program) as two,
        forwarder(one.port) as address,
    ):
        yield address, one, two


def fail_over(address: Forwarder, one: Node, two: Node) -> None:
    """Let the first server follow the second, and the address lead to that."""
    one.ask("REPLICAOF", "127.0.0.1", two.port)
    address.to = two.port
    wait_until(lambda: one.ask("INFO", "replication")["master_link_status"] == "up")


PLAIN = {"redis": redis.Redis, "valkey": valkey.Valkey}
AWAITED = {"redis": redis.asyncio.Redis, "valkey": valkey.asyncio.Valkey}


def over(clients: Iterable[str], *always: str) -> pytest.MarkDecorator:
    """Run a test on both servers over a URL and these clients, and in `make test` on some."""
    rows = crossed(["redis", "valkey"], ["url", *clients], always=always)
    return pytest.mark.parametrize(("program", "client"), rows, indirect=["program"])


@over(PLAIN, "redis-url", "valkey-valkey")
def test_a_demoted_server_costs_no_request(folder: Path, program: str | None, client: str) -> None:
    """Ten connections lead to it: they are dropped, and the write goes to the new primary."""
    with two_servers(folder, program) as (address, one, two):
        if client == "url":
            storage: Any = storage_from_url(f"redis://127.0.0.1:{address.port}")
        else:
            storage = RedisStorage(PLAIN[client](port=address.port))
        assert save_at_once(storage, 10) == 0
        fail_over(address, one, two)
        for _ in range(10):
            save(storage)
        assert save_at_once(storage, 10) == 0
        assert two.ask("DBSIZE") >= 20
        storage.close() if client == "url" else storage.backend._ask("CLIENT", "ID")


@over(AWAITED, "valkey-url", "redis-redis")
def test_a_demoted_server_costs_no_awaited_request(
    folder: Path, program: str | None, client: str
) -> None:
    """So it is over asyncio, for requests that come one by one and at once."""
    with two_servers(folder, program) as (address, one, two):

        async def scenario() -> None:
            own: Any = None
            if client == "url":
                made = storage_from_url(f"redis://127.0.0.1:{address.port}")
                assert isinstance(made, KeyedStorage)
                storage: Any = made.aio
            else:
                own = AWAITED[client](port=address.port)
                storage = RedisStorage(own)
            await asyncio.gather(*(save_awaited(storage) for _ in range(10)))
            fail_over(address, one, two)
            await save_awaited(storage)
            await asyncio.gather(*(save_awaited(storage) for _ in range(10)))
            assert two.ask("DBSIZE") >= 11
            if own:
                await own.aclose()

        asyncio.run(scenario())


def test_a_server_that_stays_read_only_is_an_error(folder: Path) -> None:
    """The address still leads to it: the write fails, and reads go on."""
    with two_servers(folder, None) as (address, one, two):
        storage = storage_from_url(f"redis://127.0.0.1:{address.port}")
        assert isinstance(storage, KeyedStorage)
        session = storage.read(None)
        session["n"] = 1
        value = storage.save(session)
        one.ask("REPLICAOF", "127.0.0.1", two.port)
        with pytest.raises(BackendError, match="write"):
            save(storage)
        one.ask("REPLICAOF", "NO", "ONE")
        save(storage)
        assert value
        storage.close()


def failures(storage: Any, requests: int) -> int:
    """Send plain requests one by one; return how many failed."""
    failed = 0
    for _ in range(requests):
        try:
            save(storage)
        except BackendError:
            failed += 1
    return failed


def test_the_first_request_after_a_quiet_night(folder: Path) -> None:
    """The server closed every connection, as its `timeout` does: no request fails."""
    with redis_servers.node(folder) as node:
        storage = storage_from_url(f"redis://127.0.0.1:{node.port}")
        assert isinstance(storage, KeyedStorage)
        aio = storage.aio
        assert aio
        assert save_at_once(storage, 3) == 0

        async def scenario() -> None:
            await save_awaited(aio)
            await asyncio.to_thread(node.ask, "CLIENT", "KILL", "TYPE", "normal")
            await save_awaited(aio)
            await aio.close()

        asyncio.run(scenario())
        assert failures(storage, 3) == 0
        storage.close()


@on_valkey
def test_a_sentinel_demotes_the_master(folder: Path, program: str | None) -> None:
    """Once another is elected, at most one request fails, plain or awaited."""
    with redis_servers.sentinel(folder, program=program) as watch:
        places = ",".join(f"127.0.0.1:{node.port}" for node in watch.sentinels)
        storage = storage_from_url(f"redis+sentinel://{places}/mymaster?timeout=2")
        assert isinstance(storage, KeyedStorage)
        assert save_at_once(storage, 5) == 0
        with asyncio.Runner() as runner:
            runner.run(save_awaited(storage.aio))
            sentinel = watch.sentinels[0]
            sentinel.ask("SENTINEL", "FAILOVER", "mymaster")
            wait_until(lambda: watch.replica.ask("INFO", "replication")["role"] == "master")
            wait_until(lambda: watch.master.ask("INFO", "replication")["role"] == "slave")
            for node in watch.sentinels:
                wait_until(lambda node=node: leads_to(node, watch.replica))  # type: ignore[misc]
            assert failures(storage, 10) <= 1
            assert runner.run(count_awaited(storage.aio, 10)) <= 1
        storage.close()


async def count_awaited(storage: Any, requests: int) -> int:
    failed = 0
    for _ in range(requests):
        try:
            await save_awaited(storage)
        except BackendError:
            failed += 1
    return failed


def leads_to(sentinel: Node, node: Node) -> bool:
    """Tell whether a Sentinel names that server as the master."""
    _, port = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
    return int(port) == node.port


# redis-py's asyncio client of a cluster leaves connections to a lost master to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@on_redis
def test_masters_of_a_cluster_are_demoted(folder: Path, program: str | None) -> None:
    """Each replica takes over from its master; at most one request fails for each."""
    with redis_servers.cluster(folder, program=program) as nodes:
        storage = storage_from_url(f"redis+cluster://127.0.0.1:{nodes[0].port}?timeout=2")
        assert isinstance(storage, KeyedStorage)
        assert save_at_once(storage, 10) == 0
        with asyncio.Runner() as runner:
            runner.run(count_awaited(storage.aio, 10))
            for replica in nodes[3:]:
                replica.ask("CLUSTER", "FAILOVER")
                wait_until(
                    lambda node=replica: node.ask("INFO", "replication")["role"] == "master"  # type: ignore[misc]
                )
            for master in nodes[:3]:
                wait_until(
                    lambda node=master: node.ask("INFO", "replication")["role"] == "slave"  # type: ignore[misc]
                )
            assert failures(storage, 30) <= 3
            assert runner.run(count_awaited(storage.aio, 30)) <= 3
        storage.close()
        gc.collect()


# ---- TLS


def test_a_client_that_compares_no_names_is_warned_of(library: Any) -> None:
    """valkey-py and redis-py below 6 do not, unless they are told to."""
    with pytest.warns(CoatcheckWarning, match="ssl_check_hostname=True"):
        RedisStorage(library(ssl=True, ssl_check_hostname=False))
    with pytest.warns(CoatcheckWarning, match="ssl_check_hostname=True"):
        RedisStorage(library(ssl=True, ssl_check_hostname=False, ssl_cert_reqs="none"))
    RedisStorage(library(ssl=True, ssl_check_hostname=True))
    RedisStorage(library())


@pytest.fixture(
    params=[redis.Redis, redis.asyncio.Redis, valkey.Valkey, valkey.asyncio.Valkey],
    ids=["redis", "redis-asyncio", "valkey", "valkey-asyncio"],
)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_each_loop_waits_for_the_clients_connections(redis_socket: str) -> None:
    """A command that the client sends again waits for one of its connections."""
    client = redis.asyncio.Redis(unix_socket_path=redis_socket, max_connections=1)
    wires = async_ask_of(client)

    async def scene() -> None:
        await wires("DEL", "wire:list")
        await wires("RPUSH", "wire:list", "x")
        asking = (wires("GET", "wire:list") for _ in range(3))
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(answer) for answer in answers] == [redis.ResponseError] * 3

    asyncio.run(scene())
    asyncio.run(scene())
