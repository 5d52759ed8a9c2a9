"""Redis clients that cross a fork, or outlive the event loop that used them."""

import asyncio
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

from coatcheck.storage import RedisStorage, storage_from_url
from tests import redis_servers
from tests.faults.test_releases import FEW, open_files
from tests.thorough import thorough

FORK = multiprocessing.get_context("fork")
PLAIN: dict[str, Any] = {"redis": redis.Redis, "valkey": valkey.Valkey}
AWAITED: dict[str, Any] = {"redis": redis.asyncio.Redis, "valkey": valkey.asyncio.Valkey}

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="coatcheck-") as found:
        yield Path(found)


def read_often(storage: Any, value: str, name: str, answers: "Queue[object]") -> None:
    seen = {storage.read(value)["user"] for _ in range(300)}
    answers.put((name, seen))
    answers.close()
    answers.join_thread()
    os._exit(0)


def each_reads_its_own(storage: Any) -> None:
    """Use a storage, fork four workers, and let each read the session of one visitor."""
    values = {}
    for name in ("ada", "bob", "cleo", "dan"):
        session = storage.read(None)
        session["user"] = name
        values[name] = storage.save(session)
    answers = FORK.Queue()
    workers = [
        FORK.Process(target=read_often, args=(storage, value, name, answers))
        for name, value in values.items()
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        name, seen = answers.get(timeout=30)
        assert seen == {name}
    for worker in workers:
        worker.join()
    assert storage.read(values["ada"])["user"] == "ada"
    storage.close()


@forks
@pytest.mark.parametrize("client", ["url", thorough("redis"), "valkey"])
def test_workers_that_are_forked_after_the_first_use(redis_socket: str, client: str) -> None:
    """Each has connections of its own, and reads its own visitor's session every time."""
    if client == "url":
        each_reads_its_own(storage_from_url(f"unix://{redis_socket}"))
    else:
        each_reads_its_own(RedisStorage(PLAIN[client](unix_socket_path=redis_socket)))


@contextmanager
def several(kind: str, folder: Path) -> Iterator[str]:
    """Run several servers; yield the URL of a storage over them."""
    if kind == "cluster":
        with redis_servers.cluster(folder) as nodes:
            yield f"redis+cluster://127.0.0.1:{nodes[0].port}?timeout=5"
    else:
        with redis_servers.sentinel(folder) as watch:
            yield f"redis+sentinel://127.0.0.1:{watch.sentinels[0].port}/mymaster?timeout=5"


@forks
@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_workers_that_are_forked_after_the_first_use_of_several_servers(
    kind: str, folder: Path
) -> None:
    """So it is with a client of a Sentinel, which asks other servers too, and of a cluster."""
    with several(kind, folder) as url:
        each_reads_its_own(storage_from_url(url))


async def visit(storage: Any) -> None:
    session = await storage.read(None)
    session["n"] = 1
    value = await storage.save(session)
    assert (await storage.read(value))["n"] == 1


async def visits(storage: Any) -> None:
    await asyncio.gather(*(visit(storage) for _ in range(5)))


@pytest.mark.parametrize("library", ["redis", thorough("valkey")])
def test_an_asyncio_client_outlives_its_event_loop(redis_socket: str, library: str) -> None:
    """Its connections are closed in the loop that opened them, and the next loop opens its own."""
    storage = RedisStorage(AWAITED[library](unix_socket_path=redis_socket))
    asyncio.run(visits(storage))
    before = open_files()
    for _ in range(20):
        asyncio.run(visits(storage))
    assert open_files() <= before + FEW
