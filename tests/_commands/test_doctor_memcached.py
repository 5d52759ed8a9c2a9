"""What Memcached tells of itself, and what nodes tell that are none."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coatcheck._commands.doctor_memcached import eviction, statistics


def test_a_node_tells_its_statistics(memcached_nodes: list[str]) -> None:
    """The counters, and the settings."""
    assert statistics(memcached_nodes[0])["version"][0].isdigit()
    assert statistics(memcached_nodes[0], "settings")["evictions"] == "on"


@contextmanager
def answering(folder: Path, answer: bytes) -> Iterator[str]:
    """Yield the address of a server that answers one connection so."""
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield path
        serving.join()


@pytest.mark.parametrize("answer", [b"ERROR\r\n", b"STAT a 1\r\n", b"STAT a " + b"1" * 200_000])
def test_what_is_no_statistics_is_refused(tmp_path: Path, answer: bytes) -> None:
    """A proxy knows no `stats`; a server may close, or go on without an end."""
    with (
        answering(tmp_path, answer) as path,
        pytest.raises((ValueError, OSError), match=r"no statistics|"),
    ):
        statistics(path)


@pytest.mark.parametrize(
    ("dropped", "evictions", "state", "text"),
    [
        ("0", "on", "info", "no item was dropped; when 64 MB are full, items are"),
        ("1200", "on", "warn", "dropped 1,200 items: give it more than 64 MB"),
        ("0", "off", "ok", "it refuses new records"),
    ],
)
def test_a_node_that_drops_sessions_is_told(
    dropped: str, evictions: str, state: str, text: str
) -> None:
    """It is a warning once it happened."""
    counters = {"limit_maxbytes": str(64 * 2**20), "evictions": dropped}
    found = eviction(counters, {"evictions": evictions})
    assert (found.state, text in found.text) == (state, True)
