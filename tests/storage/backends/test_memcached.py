"""The backend in Memcached, over pymemcache and emcache, on two nodes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from coatcheck.errors import BackendError, ConfigurationError, RecordTooLarge
from coatcheck.storage import MemcachedStorage
from coatcheck.storage.backends.memcached import AsyncMemcachedBackend, MemcachedBackend, picker
from coatcheck.storage.backends.memcached_commands import Command, Reply
from coatcheck.storage.backends.memcached_node import Node
from coatcheck.storage.clock import system_clock
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import Make, new_key
from tests import servers

Nodes = tuple[str, str]


@pytest.fixture
def plain(memcached_nodes: Nodes) -> Iterator[MemcachedBackend]:
    backend = MemcachedBackend(*memcached_nodes, timeout=5, clock=system_clock)
    yield backend
    backend.close()


@asynccontextmanager
async def asynchronous(*nodes: str) -> AsyncIterator[AsyncMemcachedBackend]:
    backend = AsyncMemcachedBackend(*nodes, timeout=5, clock=system_clock)
    try:
        yield backend
    finally:
        await backend.close()


class TestMemcachedBackend(BackendContract):
    """Every rule of a backend, over pymemcache."""

    @pytest.fixture
    def make(self, plain: MemcachedBackend) -> Make:
        return lambda: plain


class TestAsyncMemcachedBackend(BackendContract):
    """Every rule of a backend, over emcache."""

    @pytest.fixture
    def make(self, memcached_nodes: Nodes) -> Make:
        return lambda: asynchronous(*memcached_nodes)


def test_both_clients_find_the_same_record(memcached_nodes: Nodes, plain: MemcachedBackend) -> None:
    """What the plain client wrote to one of several nodes, the asyncio client finds there."""

    async def scenario() -> None:
        async with asynchronous(*memcached_nodes) as backend:
            for _ in range(20):
                key = new_key()
                plain.swap(key, None, b"plain", 100)
                stored = await backend.get(key)
                assert stored and stored.record == b"plain"
                assert await backend.swap(key, stored.version, b"asyncio", 100) is None
                found = plain.get(key)
                assert found and found.record == b"asyncio"

    asyncio.run(scenario())


def test_many_records_are_read_in_a_few_commands(
    plain: MemcachedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node is asked for a hundred at a time; what is not there is left out."""
    keys = [new_key() for _ in range(250)]
    for key in keys:
        plain.swap(key, None, key.encode(), 100)
    asked: list[int] = []
    ask = Node.ask

    def count(node: Node, command: Command) -> Reply:
        asked.append(len(command.keys))
        return ask(node, command)

    monkeypatch.setattr(Node, "ask", count)
    found = plain.get_many([new_key(), *keys])
    assert {key: stored.record for key, stored in found.items()} == {
        key: key.encode() for key in keys
    }
    assert found[keys[0]] == plain.get(keys[0])
    assert len(asked) - 1 <= 4
    assert max(asked) == 100


def test_keys_spread_over_the_nodes() -> None:
    """Each node gets its share of the keys."""
    pick = picker("a:1", "b:1", "c:1")
    counts = dict.fromkeys(("a:1", "b:1", "c:1"), 0)
    for number in range(3000):
        counts[pick(f"key{number}")] += 1
    assert min(counts.values()) > 800


def test_a_node_less_moves_only_its_own_keys() -> None:
    """The keys of the nodes that stay, stay with them."""
    three, two = picker("a:1", "b:1", "c:1"), picker("a:1", "b:1")
    keys = [f"key{number}" for number in range(500)]
    assert all(two(key) == three(key) for key in keys if three(key) != "c:1")


def test_a_ttl_beyond_a_month_is_given_as_a_date(clock: Clock, memcached_nodes: Nodes) -> None:
    """Memcached takes a number above thirty days for a date, so that is what it gets."""
    clock.now = system_clock() - 40 * 24 * 3600  # by this clock, the date has passed already
    backend = MemcachedBackend(*memcached_nodes, timeout=5, clock=clock)
    backend.swap("date", None, b"", 31 * 24 * 3600)
    assert backend.get("date") is None
    backend.swap("duration", None, b"", 29 * 24 * 3600)
    assert backend.get("duration") is not None
    backend.close()


def test_a_record_above_the_item_limit_is_too_large(
    memcached_nodes: Nodes, plain: MemcachedBackend
) -> None:
    """A node may hold less than we do: its refusal tells the size, and harms nothing else."""
    large = b"x" * 2_000_000
    with pytest.raises(RecordTooLarge, match="needs 2000000 bytes, more than the server") as raised:
        plain.swap("large", None, large, 100)
    assert raised.value.__cause__ is not None
    assert plain.get("large") is None

    async def scenario() -> None:
        async with asynchronous(*memcached_nodes) as backend:
            await backend.swap("large", None, b"small", 100)
            stored = await backend.get("large")
            assert stored
            with pytest.raises(RecordTooLarge):
                await backend.swap("large", stored.version, large, 100)
            with pytest.raises(RecordTooLarge):
                await backend.swap("larger", None, large, 100)

    asyncio.run(scenario())


def test_a_node_that_is_not_there_is_a_backend_error(tmp_path: Path) -> None:
    """Each call raises BackendError within the timeout, naming the node and no key."""
    node = str(tmp_path / "none")
    backend = MemcachedBackend(node, timeout=0.2, clock=system_clock)
    calls = (
        lambda: backend.get("key"),
        lambda: backend.swap("key", None, b"", 1),
        lambda: backend.swap("key", b"1", b"", 1),
        lambda: backend.delete("key"),
    )
    for call in calls:
        with pytest.raises(BackendError, match="none") as raised:
            call()
        assert "key" not in str(raised.value).replace(node, "")


def test_an_asyncio_node_that_is_not_there_is_a_backend_error(tmp_path: Path) -> None:
    """The asynchronous form raises the same."""

    async def scenario() -> None:
        backend = AsyncMemcachedBackend(str(tmp_path / "none"), timeout=0.2, clock=system_clock)
        for call in (
            backend.get("key"),
            backend.swap("key", None, b"", 1),
            backend.swap("key", 1, b"", 1),
            backend.delete("key"),
        ):
            with pytest.raises(BackendError):
                await call
        await backend.close()

    asyncio.run(scenario())


def test_a_lost_node_costs_its_own_sessions_only(tmp_path: Path) -> None:
    """The sessions of the node that is left are served as before."""
    folder = tmp_path
    with servers.memcached_server(folder, "b") as left:
        with servers.memcached_server(folder, "a") as lost:
            storage = MemcachedStorage(lost, left, timeout=1)
            values = []
            for number in range(20):
                session = storage.read(None)
                session["n"] = number
                values.append(storage.save(session))
        served = 0
        for number, value in enumerate(values):
            with suppress(BackendError):
                served += storage.read(value)["n"] == number
        assert 0 < served < 20
        assert isinstance(storage.backend, MemcachedBackend)
        storage.backend.close()


def test_a_cancelled_call_poisons_no_connection(memcached_nodes: Nodes) -> None:
    """A request that is cancelled in the middle of an answer leaves none of it to the next one."""

    async def scenario() -> None:
        async with asynchronous(memcached_nodes[0]) as backend:
            for number in range(20):
                mine, other = new_key(), new_key()
                await backend.swap(mine, None, b"mine", 100)
                await backend.swap(other, None, b"other", 100)
                call = asyncio.create_task(backend.get(mine))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                found = await backend.get(other)
                assert found and found.record == b"other"

    asyncio.run(scenario())


@pytest.mark.parametrize("nodes", [(), ("nowhere",), ("host:port",), ("a:1", "b c:1 ")])
def test_what_is_no_node_is_refused(nodes: tuple[str, ...]) -> None:
    """A storage without nodes, or with one that is no address, fails when it is made."""
    with pytest.raises(ConfigurationError):
        MemcachedStorage(*nodes)


def test_a_prefix_that_memcached_would_not_take_is_refused() -> None:
    """A key of Memcached has no spaces and no control characters."""
    with pytest.raises(ConfigurationError):
        MemcachedStorage("a:1", prefix="a b")
