"""
What is kept for an event loop, a thread, a greenlet or a storage goes when that ends.

Each test makes 24 of them, or with --thorough 300, and counts file descriptors: connections are
among them.
"""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync

from coatcheck.storage import KeyedStorage, storage_from_url
from tests import redis_servers
from tests.thorough import crossed

KINDS = ["redis", "valkey", "memcached", "postgresql", "mariadb", "sqlite", "file"]
AWAITED = ["redis", "valkey", "memcached", "postgresql", "mariadb", "sqlite"]
FEW = 8
"""Descriptors that a pool may add after the first request."""


def kinds(names: list[str], *always: str) -> pytest.MarkDecorator:
    """Run a test over these kinds of storage, and in `make test` over some."""
    return pytest.mark.parametrize("kind", crossed(names, always=always))


@pytest.fixture
def many(request: pytest.FixtureRequest) -> int:
    return 300 if request.config.getoption("thorough") else 3 * FEW


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a storage on a server that runs."""
    server = request.getfixturevalue
    urls: dict[str, Callable[[], str]] = {
        "redis": lambda: f"unix://{server('redis_socket')}",
        "valkey": lambda: f"unix://{server('valkey_socket')}",
        "memcached": lambda: f"memcached:{','.join(server('memcached_nodes'))}",
        "postgresql": lambda: str(server("postgresql_url")),
        "mariadb": lambda: str(server("mariadb_url")),
        "sqlite": lambda: f"sqlite:{tmp_path}/db",
        "file": lambda: f"file:{tmp_path}/files",
    }
    return urls[kind]()


@pytest.fixture
def storage(url: str) -> Iterator[KeyedStorage]:
    made = storage_from_url(url)
    assert isinstance(made, KeyedStorage)
    yield made
    made.close()


def open_files() -> int:
    """Return how many files and connections this process has open."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def visit(storage: KeyedStorage) -> None:
    session = storage.read(None)
    session["n"] = 1
    value = storage.save(session)
    assert storage.read(value)["n"] == 1


async def visit_awaited(storage: KeyedStorage) -> None:
    assert storage.aio
    session = await storage.aio.read(None)
    session["n"] = 1
    value = await storage.aio.save(session)
    assert (await storage.aio.read(value))["n"] == 1


def in_thread(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


@kinds(AWAITED, "redis", "memcached", "postgresql", "mariadb", "sqlite")
def test_event_loops(storage: KeyedStorage, many: int) -> None:
    """Each request runs in a loop of its own; its connections are closed before the loop is."""
    loops = []

    async def visit_and_tell() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await visit_awaited(storage)

    asyncio.run(visit_and_tell())
    before = open_files()
    for _ in range(many):
        asyncio.run(visit_and_tell())
    assert open_files() <= before + FEW
    assert sum(loop() is not None for loop in loops) == 0


@kinds(AWAITED, "redis", "postgresql")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_event_loops_that_are_closed_by_hand(storage: KeyedStorage, many: int) -> None:
    """Nothing ended their generators: the next loop drops what they left."""
    before = open_files()
    for _ in range(many):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(visit_awaited(storage))
        loop.close()
    assert open_files() <= before + FEW
    asyncio.run(visit_awaited(storage))
    gc.collect()


@kinds(AWAITED, "valkey", "memcached")
def test_event_loops_in_threads(storage: KeyedStorage, many: int) -> None:
    """A WSGI server with threads, whose views are asynchronous."""
    in_thread(lambda: asyncio.run(visit_awaited(storage)))
    before = open_files()
    for _ in range(many):
        in_thread(lambda: asyncio.run(visit_awaited(storage)))
    assert open_files() <= before + FEW


@kinds(AWAITED, "mariadb", "sqlite")
def test_asynchronous_views_under_wsgi(storage: KeyedStorage, many: int) -> None:
    """asgiref, with which Django and Flask run them, makes a loop for each call."""
    run = async_to_sync(visit_awaited)
    run(storage)
    before = open_files()
    for _ in range(many):
        run(storage)
    assert open_files() <= before + FEW


@kinds(KINDS, "redis", "memcached", "postgresql", "sqlite")
def test_threads(storage: KeyedStorage, many: int) -> None:
    """A server that makes a thread for each request needs the connections of one."""
    in_thread(lambda: visit(storage))
    before = open_files()
    for _ in range(many):
        in_thread(lambda: visit(storage))
    assert open_files() <= before + FEW


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_threads_at_once(storage: KeyedStorage, many: int) -> None:
    """
    The connections of 60 threads are closed when the threads end.

    SQLite keeps the descriptors of those, for the next ones, while another connection has a lock.
    """
    visit(storage)
    before = open_files()
    ready = threading.Barrier(60)

    def target() -> None:
        ready.wait(30)
        visit(storage)

    for _ in range(max(many // 60, 1)):
        threads = [threading.Thread(target=target) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert open_files() <= before + 60
    storage.close()
    visit(storage)
    assert open_files() <= before


@kinds(KINDS, "valkey", "memcached", "postgresql", "sqlite")
def test_storages(url: str, many: int) -> None:
    """close() closes every connection, of the plain form and of the running loop."""

    def once() -> None:
        storage = storage_from_url(url)
        assert isinstance(storage, KeyedStorage)
        visit(storage)
        storage.close()

    async def once_awaited() -> None:
        storage = storage_from_url(url)
        assert isinstance(storage, KeyedStorage)
        await visit_awaited(storage)
        assert storage.aio
        await storage.aio.close()
        storage.close()

    once()
    asyncio.run(once_awaited())
    before = open_files()
    for _ in range(many // 2):
        once()
        asyncio.run(once_awaited())
    assert open_files() <= before + FEW


@pytest.mark.parametrize("form", ["sentinel", "cluster"])
def test_clients_of_several_servers(form: str, tmp_path: Path, many: int) -> None:
    """close() closes the connections to the Sentinels, and to every server of a cluster, too."""
    with several(form, tmp_path) as url:

        async def once() -> None:
            storage = storage_from_url(url)
            assert isinstance(storage, KeyedStorage)
            await visit_awaited(storage)
            await asyncio.to_thread(visit, storage)
            storage.close()

        asyncio.run(once())
        before = open_files()
        for _ in range(many // 8):
            asyncio.run(once())
        assert open_files() <= before


@contextmanager
def several(form: str, folder: Path) -> Iterator[str]:
    """Run several servers of Redis; yield the URL of a storage on them."""
    if form == "cluster":
        with redis_servers.cluster(folder) as nodes:
            yield f"redis+cluster://127.0.0.1:{nodes[0].port}"
    else:
        with redis_servers.sentinel(folder) as watch:
            yield f"redis+sentinel://127.0.0.1:{watch.sentinels[0].port}/mymaster"


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, gc, os, sys
from coatcheck.storage import storage_from_url
from tests.faults.test_releases import open_files, visit

storage = storage_from_url(sys.argv[1])
gevent.spawn(visit, storage).get()
before = open_files()
for _ in range(30):
    gevent.joinall([gevent.spawn(visit, storage) for _ in range(10)], raise_error=True)
print(open_files() - before)
"""


@kinds(KINDS, "redis", "postgresql", "file")
def test_greenlets(url: str) -> None:
    """Under gevent, 300 greenlets leave a pool of what ten at once need."""
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS, url],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 20
