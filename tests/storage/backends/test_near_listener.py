"""The connection that tells of changes: killed, silent, flooded, refused, and after a failover."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import redis

from coatcheck.storage import Near, Stored
from coatcheck.storage.backends.near import Copies
from coatcheck.storage.backends.near_backend import NearRedisBackend
from coatcheck.storage.backends.near_listener import (
    CHANNEL,
    NearListener,
    told,
)
from coatcheck.storage.backends.redis import RedisBackend
from tests import servers
from tests.redis_servers import Node, node, sentinel
from tests.thorough import thorough

STALE = 1.0
NEAR = Near(max_bytes=1_000_000, max_stale=STALE)


@pytest.fixture(params=["redis", thorough("valkey")])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A server that a test may stop."""
    valkey = request.param == "valkey"
    program = servers.valkey_program() if valkey else servers.find("redis-server")
    with node(tmp_path / "server", program=program) as running:
        yield running


@pytest.fixture
def backend(server: Node) -> Iterator[NearRedisBackend]:
    with redis.Redis(port=server.port, socket_timeout=5) as client:
        made = NearRedisBackend(RedisBackend(client), client, "near:", NEAR)
        made.get("near:begin")
        servers.wait_until(made.copies.is_proved)
        yield made
        made.close()


def keeps(backend: NearRedisBackend, key: str) -> None:
    servers.wait_until(lambda: (backend.get(key), backend.copies.get(key))[1] is not None)


@pytest.mark.parametrize("prefix", ["near:", "café:", "店:"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_change_is_told_under_any_prefix(prefix: str, encoding: str) -> None:
    """A copy that is not found by its key would be used for as long as the server proves all."""
    copies, key = Copies(NEAR), f"{prefix}a"
    copies.prove(copies.clock())
    copies.keep(key, copies.ask(key), Stored(b"record", 1))
    assert copies.get(key)
    assert not told([b"message", CHANNEL.encode(), [key.encode(encoding)]], copies)
    assert copies.get(key) is None


def test_a_killed_connection_drops_all_and_is_made_again(
    server: Node, backend: NearRedisBackend
) -> None:
    """What changed meanwhile was told to nobody."""
    server.ask("SET", "near:a", "markmark1")
    keeps(backend, "near:a")
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    servers.wait_until(lambda: len(backend.copies) == 0)
    servers.wait_until(backend.copies.is_proved)
    keeps(backend, "near:a")


def test_a_silent_server_is_not_believed(server: Node, backend: NearRedisBackend) -> None:
    """After `max_stale` no copy is used, though the connection is still there."""
    server.ask("SET", "near:a", "markmark1")
    keeps(backend, "near:a")
    began = time.monotonic()
    server.ask("CLIENT", "PAUSE", 1500, "ALL")
    servers.wait_until(lambda: backend.copies.get("near:a") is None)
    assert time.monotonic() - began < STALE + 1
    servers.wait_until(backend.copies.is_proved)


def test_in_a_flood_no_copy_is_older_than_stated(server: Node, backend: NearRedisBackend) -> None:
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

    thread = Thread(target=write)
    thread.start()
    oldest = 0.0
    while thread.is_alive():
        began = time.monotonic()
        stored = backend.get("near:n")
        assert stored
        later = int(stored.record) + 1  # the first write that this read does not show
        if later < len(wrote):
            oldest = max(oldest, began - wrote[later])
    thread.join()
    assert oldest <= STALE
    servers.wait_until(lambda: backend.get("near:n").record == b"50")  # type: ignore[union-attr]


def test_after_a_failover_the_new_primary_tells(tmp_path: Path) -> None:
    """The client of a Sentinel finds it, for the connection of its own, too."""
    with sentinel(tmp_path) as watch:
        places = [("127.0.0.1", each.port) for each in watch.sentinels]
        client = redis.Sentinel(places, socket_timeout=1).master_for("mymaster", socket_timeout=1)
        backend = NearRedisBackend(RedisBackend(client), client, "near:", NEAR)
        watch.master.ask("SET", "near:a", "markmark1")
        watch.master.ask("WAIT", 1, 1000)
        keeps(backend, "near:a")
        watch.sentinels[0].ask("SENTINEL", "FAILOVER", "mymaster")
        servers.wait_until(lambda: watch.replica.ask("ROLE")[0] == b"master")
        watch.replica.ask("SET", "near:a", "markmark2")
        servers.wait_until(lambda: backend.get("near:a").record == b"2")  # type: ignore[union-attr]
        keeps(backend, "near:a")
        backend.close()
        client.close()


def test_an_account_that_may_not_track_is_told_once(
    server: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Then each read asks the server."""
    server.ask("ACL", "SETUSER", "web", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")
    client = redis.Redis(port=server.port, username="web", password="secret")
    backend = NearRedisBackend(RedisBackend(client), client, "near:", NEAR)
    backend.get("near:a")
    servers.wait_until(lambda: bool(caplog.records))
    assert caplog.records[0].levelno == logging.WARNING
    assert "every read asks the server" in caplog.text
    assert "secret" not in caplog.text
    assert not backend.copies.is_proved()
    backend.close()
    client.close()


def test_a_child_process_listens_by_itself(server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread does not live on after a fork."""
    client = redis.Redis(port=server.port)
    listener = NearListener(client, "")
    listener.stop()
    listener.start(Copies(NEAR))
    assert listener.runs
    pid = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid + 1)
        assert not listener.runs
    listener.stop()
    assert not listener.runs
    client.close()
