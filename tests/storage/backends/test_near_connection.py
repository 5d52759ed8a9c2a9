"""Copies that an event loop keeps: filled and dropped in the order of answers and messages."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from coatcheck import ConfigurationError
from coatcheck.errors import BackendError
from coatcheck.storage import KeyedStorage, Near, RedisStorage
from coatcheck.storage.backend import Stored
from coatcheck.storage.backends import redis_wire
from coatcheck.storage.backends.async_near_backend import AsyncNearRedisBackend
from coatcheck.storage.backends.near import Copies
from coatcheck.storage.backends.near_connection import NearConnection
from coatcheck.storage.uncached import uncached
from tests import redis_servers, servers
from tests.redis_servers import Node
from tests.thorough import thorough

STALE = 1.0
NEAR = Near(max_bytes=1_000_000, max_stale=STALE)

Scene = Callable[[AsyncNearRedisBackend], Awaitable[None]]


@pytest.fixture(params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """On Redis 7 a write is a script, on Valkey a conditional SET."""
    valkey = request.param == "valkey"
    program = servers.valkey_program() if valkey else servers.find("redis-server")
    with redis_servers.node(tmp_path / "server", program=program) as running:
        yield running


def run(server: Node, scene: Scene, prefix: str = "near:", **options: Any) -> None:
    """Run a scene with a backend that has its proof."""

    async def within() -> None:
        async with asyncio.timeout(30), redis.asyncio.Redis(port=server.port, **options) as client:
            backend = AsyncNearRedisBackend(client, prefix, NEAR)
            await proved(backend)
            await scene(backend)
            await backend.close()

    asyncio.run(within())


async def proved(backend: AsyncNearRedisBackend) -> None:
    await backend.get("near:nothing")
    await until(lambda: copies(backend).is_proved())


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(9):
        while not ready():  # noqa: ASYNC110 - the server tells no event of ours
            await asyncio.sleep(0.01)


def connection(backend: AsyncNearRedisBackend) -> NearConnection:
    found = backend.current
    assert isinstance(found, NearConnection)
    return found


def copies(backend: AsyncNearRedisBackend) -> Copies:
    return connection(backend).copies


async def ask(server: Node, *command: object) -> Any:
    """Send a command as another process does."""
    return await asyncio.to_thread(server.ask, *command)


async def reads(server: Node) -> int:
    stats = await ask(server, "INFO", "commandstats")
    return int(stats.get("cmdstat_get", {}).get("calls", 0))


def test_a_record_is_read_once(server: Node) -> None:
    """Further reads ask no server; those that must be true do."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        found = await backend.get("near:a")
        before = await reads(server)
        assert found is not None
        assert [(await backend.get("near:a")) is not None for _ in range(9)] == [True] * 9
        assert await reads(server) == before
        with uncached():
            assert (await backend.get("near:a")) is not None
        assert await reads(server) == before + 1

    run(server, scene)


@pytest.mark.parametrize("prefix", ["near:", "", "café:", "店:"])
def test_a_change_elsewhere_is_seen(server: Node, prefix: str) -> None:
    """Also a delete, under any prefix."""
    key = f"{prefix}a"

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", key, "markmark1")
        assert _text(await backend.get(key)) == b"1"
        await ask(server, "SET", key, "markmark2")
        await until(lambda: copies(backend).get(key) is None)
        assert _text(await backend.get(key)) == b"2"
        await ask(server, "DEL", key)
        await until(lambda: copies(backend).get(key) is None)
        assert await backend.get(key) is None

    run(server, scene, prefix)


def _text(stored: Stored | None) -> bytes:
    assert stored is not None
    return stored.record


def test_own_writes_are_seen_at_once_and_kept_where_they_are_no_scripts(server: Node) -> None:
    """A new record, a change, and a delete; a write that is refused keeps nothing."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        assert await backend.swap("near:own", None, b"0", 9) is None
        for number in range(1, 50):
            found = await backend.get("near:own")
            assert found is not None
            record = b"%d" % number
            assert await backend.swap("near:own", found.version, record, 9) is None
            assert _text(await backend.get("near:own")) == record
        if backend._has_ifeq:
            before = await reads(server)
            assert _text(await backend.get("near:own")) == b"49"
            assert await reads(server) == before
        assert await backend.swap("near:own", b"another version", b"x", 9) is not None
        assert await backend.swap("near:own", None, b"x", 9) is not None
        assert _text(await backend.get("near:own")) == b"49"
        await backend.delete("near:own")
        assert await backend.get("near:own") is None

    run(server, scene)


def test_a_write_on_a_stale_copy_is_refused(server: Node) -> None:
    """It tells what is there."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        old = await backend.get("near:a")
        assert old is not None
        await ask(server, "SET", "near:a", "markmark2")
        refused = await backend.swap("near:a", old.version, b"3", 9)
        assert refused is not None
        assert _text(refused.stored) == b"2"

    run(server, scene)


def test_a_write_that_the_client_sent_ends_all_copies(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message about it comes on a connection that may be behind."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await backend.swap("near:a", None, b"1", 9)
        await ask(server, "SET", "near:b", "markmark1")
        old, other = await backend.get("near:a"), await backend.get("near:b")
        assert old and other
        first = connection(backend)
        with monkeypatch.context() as patch:
            patch.setattr(redis_wire, "COMMANDS", frozenset())
            assert await backend.swap("near:a", old.version, b"2", 9) is None
        assert not first.copies.is_proved()
        assert _text(await backend.get("near:a")) == b"2"
        first.copies.prove(first.copies._lost_at)  # a proof that was asked for before is none
        assert not first.copies.is_proved()
        await until(first.copies.is_proved)
        assert first.copies.get("near:b") is None
        assert connection(backend) is first

    run(server, scene)


def test_a_write_over_an_older_connection_ends_the_copies_of_the_newer(server: Node) -> None:
    """A connection with a late answer ends with its last one; other requests have a newer one."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await backend.swap("near:a", None, b"1", 9)
        for record in (b"2", b"3"):  # from now on the server knows the script
            old = await backend.get("near:a")
            assert old and await backend.swap("near:a", old.version, record, 9) is None
        old, first = await backend.get("near:a"), connection(backend)
        assert old
        await ask(server, "CLIENT", "PAUSE", 9000, "WRITE")
        writing = asyncio.ensure_future(backend.swap("near:a", old.version, b"4", 9))
        await asyncio.sleep(0)
        first.is_open = False  # as after a late answer
        await proved(backend)
        assert _text(await backend.get("near:a")) == b"3"
        second = connection(backend)
        assert second.copies.get("near:a")
        await ask(server, "CLIENT", "UNPAUSE")
        assert await writing is None
        assert second.copies.get("near:a") is None
        assert _text(await backend.get("near:a")) == b"4"
        first.close()

    run(server, scene)


def test_a_storage_that_is_closed_leaves_no_connection_that_begins(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has not answered the first commands yet."""
    begun: list[NearConnection] = []

    async def track(connection: NearConnection, _: str) -> None:
        begun.append(connection)
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(NearConnection, "track", track)

    async def scene() -> None:
        async with redis.asyncio.Redis(port=server.port) as client:
            backend = AsyncNearRedisBackend(client, "near:", NEAR)
            reading = asyncio.ensure_future(backend.get("near:a"))
            await until(lambda: bool(begun))
            await backend.close()
            with pytest.raises(BackendError):
                await reading
            assert not begun[0].is_open

    asyncio.run(scene())


def test_a_lost_connection_drops_all(server: Node) -> None:
    """What changed meanwhile was told to nobody. The next read opens another."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        await backend.get("near:a")
        first = connection(backend)
        assert first.copies.get("near:a")
        await ask(server, "CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: not first.is_open)
        assert first.copies.get("near:a") is None
        assert _text(await backend.get("near:a")) == b"1"
        await proved(backend)
        await backend.get("near:a")
        assert copies(backend).get("near:a")

    run(server, scene)


@pytest.mark.parametrize("server", ["redis", thorough("valkey")], indirect=True)
def test_a_silent_server_is_not_believed(server: Node) -> None:
    """After `max_stale` no copy is used, though the connection is still there."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        await backend.get("near:a")
        began = time.monotonic()
        await ask(server, "CLIENT", "PAUSE", 1500, "ALL")
        await until(lambda: copies(backend).get("near:a") is None)
        assert time.monotonic() - began < STALE + 1
        assert connection(backend).is_open
        await until(copies(backend).is_proved)

    run(server, scene)


def test_an_emptied_server_empties_the_copies(server: Node) -> None:
    """FLUSHALL tells of no single key."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        await backend.get("near:a")
        await ask(server, "FLUSHALL")
        await until(lambda: len(copies(backend)) == 0)
        assert await backend.get("near:a") is None

    run(server, scene)


def test_a_key_of_another_encoding_drops_all(server: Node) -> None:
    """It may be one of ours, as another client writes it."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        await backend.get("near:a")
        await ask(server, "SET", b"near:\xff", "x")
        await until(lambda: len(copies(backend)) == 0)

    run(server, scene)


def test_messages_about_other_things_change_nothing(server: Node) -> None:
    """A server may send some that we did not ask for."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await ask(server, "SET", "near:a", "markmark1")
        await backend.get("near:a")
        connection(backend).received(memoryview(b">2\r\n+other\r\n+near:a\r\n"))
        assert copies(backend).get("near:a")

    run(server, scene)


def test_a_proof_that_does_not_come_proves_nothing(server: Node) -> None:
    """The connection was lost, or is; no more are asked for."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        lost = connection(backend)
        await ask(server, "CLIENT", "PAUSE", 200, "ALL")
        lost._prove()
        lost.close()
        lost._prove()
        await asyncio.wait((lost.ended,))
        await asyncio.sleep(0)
        assert not lost.copies.is_proved()

    run(server, scene)


@pytest.mark.parametrize("server", ["redis", thorough("valkey")], indirect=True)
def test_in_a_flood_no_copy_is_older_than_stated(server: Node) -> None:
    """Another client writes one key again and again, and thousands of others in between."""
    wrote: list[float] = [time.monotonic()]
    server.ask("SET", "near:n", "markmark0")

    def write() -> None:
        with redis.Redis(port=server.port) as client:
            for number in range(1, 51):
                pipe = client.pipeline(transaction=False)
                for other in range(200):
                    pipe.set(f"near:{other}", "markmark")
                pipe.set("near:n", f"markmark{number}")
                pipe.execute()
                wrote.append(time.monotonic())

    async def scene(backend: AsyncNearRedisBackend) -> None:
        thread = Thread(target=write)
        thread.start()
        oldest = 0.0
        while thread.is_alive():
            began = time.monotonic()
            later = int(_text(await backend.get("near:n"))) + 1  # a write that this does not show
            if later < len(wrote):
                oldest = max(oldest, began - wrote[later])
            await asyncio.sleep(0)
        thread.join()
        assert oldest <= STALE
        await proved(backend)
        last = copies(backend).clock()
        await until(lambda: copies(backend).proved_at > last)
        assert _text(await backend.get("near:n")) == b"50"

    run(server, scene)


def test_an_account_that_may_not_track_is_told_once(
    server: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Then each read asks the server."""
    server.ask("ACL", "SETUSER", "web", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")

    async def scene() -> None:
        client = redis.asyncio.Redis(port=server.port, username="web", password="secret")
        backend = AsyncNearRedisBackend(client, "near:", NEAR)
        assert await backend.swap("near:a", None, b"1", 9) is None
        for _ in range(3):
            assert _text(await backend.get("near:a")) == b"1"
        assert not copies(backend).is_proved() and len(copies(backend)) == 0
        connection(backend).close()
        assert _text(await backend.get("near:a")) == b"1"
        await backend.close()
        await client.aclose()

    asyncio.run(scene())
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "every read asks the server" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "options", [{"encoding": "latin-1"}, {"single_connection_client": True}], ids=str
)
def test_a_client_that_has_to_be_asked_itself_has_no_copies(options: dict[str, Any]) -> None:
    """The error says what a client must be."""
    client = redis.asyncio.Redis(**options)
    with pytest.raises(ConfigurationError, match="near needs the package hiredis"):
        RedisStorage(client, near=NEAR)


def test_a_client_that_is_watched_has_copies(server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked for them."""

    async def scene(backend: AsyncNearRedisBackend) -> None:
        await backend.swap("near:a", None, b"1", 9)
        assert _text(await backend.get("near:a")) == b"1"

    method = redis.asyncio.Redis.execute_command

    @wraps(method)
    async def execute(self: Any, *args: Any, **options: Any) -> Any:
        return await method(self, *args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(redis.asyncio.Redis, "execute_command", execute)
    run(server, scene)


def test_loops_that_close_nothing_end(server: Node) -> None:
    """As those of asynchronous views under WSGI, one for each request."""
    prefix = f"{uuid4().hex}:"
    storage = RedisStorage(redis.asyncio.Redis(port=server.port), prefix=prefix, near=NEAR)
    assert not isinstance(storage, KeyedStorage)

    async def visit() -> None:
        session = await storage.read(None)
        session["visited"] = True
        await storage.read(await storage.save(session))

    def visits() -> None:
        for _ in range(3):
            asyncio.run(visit())

    loops = Thread(target=visits, daemon=True)
    loops.start()
    loops.join(9)
    assert not loops.is_alive()
