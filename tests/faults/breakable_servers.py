"""Servers that tests may break, each with the URL of a storage on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import create_engine, text

from tests import redis_servers, servers
from tests.engines import PLAIN, create_table, with_driver
from tests.servers import Server


class Place(NamedTuple):
    """A server, the URL of a storage on it, and what empties it."""

    server: Server
    url: str
    keeps: bool
    """Whether it keeps its records when it is stopped and started."""
    tell: Callable[..., object]
    """Gives the server a command, as its administrator."""


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Place]:
    """Start a server of that kind."""
    opened = {
        "redis": _redis,
        "valkey": _redis,
        "memcached": _memcached,
        "postgresql": _postgresql,
        "mariadb": _mariadb,
    }[kind]
    with opened(kind, folder) as place:
        yield place


@contextmanager
def _redis(kind: str, folder: Path) -> Iterator[Place]:
    program = servers.valkey_program() if kind == "valkey" else None
    with redis_servers.node(folder, program=program) as node:
        url = f"redis://127.0.0.1:{node.port}?timeout=0.4"
        yield Place(node.server, url, keeps=False, tell=node.ask)


@contextmanager
def _memcached(_: str, folder: Path) -> Iterator[Place]:
    socket = folder / "m"
    with servers.memcached(socket) as server:
        url = f"memcached:{socket}?timeout=0.4"
        yield Place(server, url, keeps=False, tell=lambda *_: None)


@contextmanager
def _postgresql(_: str, folder: Path) -> Iterator[Place]:
    with servers.postgresql_server(folder) as (url, server):
        create_table(url)
        yield Place(server, f"{url}?timeout=1", keeps=True, tell=_administrator(url))


@contextmanager
def _mariadb(_: str, folder: Path) -> Iterator[Place]:
    with servers.mariadb_server(folder) as (url, server):
        create_table(url)
        yield Place(server, f"{url}?timeout=1", keeps=True, tell=_administrator(url))


def _administrator(url: str) -> Callable[[str], None]:
    def tell(command: str) -> None:
        engine = create_engine(with_driver(url, PLAIN), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(command))
        engine.dispose()

    return tell
