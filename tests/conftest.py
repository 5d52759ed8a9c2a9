"""Fixtures: servers of our own, a clock, and what most tests need."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests import servers


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for sockets, whose path is short enough for them."""
    with TemporaryDirectory(prefix="coatcheck-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def redis_socket(server_folder: Path) -> Iterator[str]:
    """The socket of a Redis of our own."""
    folder = server_folder / "r"
    folder.mkdir()
    with servers.redis_server(folder, program=servers.find("redis-server")) as socket:
        yield socket


@pytest.fixture(scope="session")
def valkey_socket(server_folder: Path) -> Iterator[str]:
    """The socket of a Valkey of our own."""
    folder = server_folder / "v"
    folder.mkdir()
    with servers.redis_server(folder, program=servers.valkey_program()) as socket:
        yield socket


@pytest.fixture(scope="session")
def memcached_nodes(server_folder: Path) -> Iterator[tuple[str, str]]:
    """The sockets of two Memcached nodes of our own."""
    folder = server_folder / "m"
    folder.mkdir()
    with servers.memcached_server(folder, "a") as a, servers.memcached_server(folder, "b") as b:
        yield a, b


@pytest.fixture
def memory() -> KeyedStorage:
    """A storage that never waits."""
    return MemoryStorage()
