"""Where storages keep what they keep: a folder, and servers that are started when needed."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import databases, servers

SERVERS = {
    "redis": servers.redis,
    "memcached": servers.memcached,
    "postgresql": databases.postgresql,
    "mariadb": databases.mariadb,
}


@dataclass
class Place:
    """A folder, and the sockets of the servers that run."""

    folder: Path
    stack: ExitStack
    started: dict[str, str] = field(default_factory=dict)

    def server(self, name: str) -> str:
        """Return the path of the socket of one of `SERVERS`; PostgreSQL: of the folder it is in."""
        if name not in self.started:
            self.started[name] = self.stack.enter_context(SERVERS[name](self.folder))
        return self.started[name]


@contextmanager
def place() -> Iterator[Place]:
    """Yield a place that is gone when the block ends."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Place(Path(folder), stack)
