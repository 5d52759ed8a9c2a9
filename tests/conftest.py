"""Fixtures: servers of our own, a clock, and what most tests need."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests import servers
from tests.engines import create_table


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


@pytest.fixture(scope="session")
def postgresql_url(server_folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL of our own, with a table of sessions."""
    folder = server_folder / "p"
    folder.mkdir()
    with servers.postgresql_server(folder) as (url, _):
        create_table(url)
        yield url


@pytest.fixture(scope="session")
def mariadb_url(server_folder: Path) -> Iterator[str]:
    """The URL of a MariaDB of our own, with a table of sessions."""
    folder = server_folder / "d"
    folder.mkdir()
    with servers.mariadb_server(folder) as (url, _):
        create_table(url)
        yield url


@pytest.fixture
def memory() -> KeyedStorage:
    """A storage that never waits."""
    return MemoryStorage()
