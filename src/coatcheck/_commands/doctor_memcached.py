"""
What Memcached tells of itself: its statistics, over a connection of their own.

    stats               STAT version 1.6.18 … STAT evictions 0 … END
    stats settings      STAT maxbytes 67108864 … STAT evictions on … END
"""

import time
from collections.abc import Mapping
from contextlib import closing

from coatcheck._commands.checks import Check
from coatcheck.storage.backends.memcached_node import Address, Connection

TIMEOUT = 2.0
"""Seconds that a node may take to answer."""

LONGEST = 100_000
"""Bytes of an answer, at the most."""


def statistics(address: Address, of: str = "") -> Mapping[str, str]:
    """
    Return what a node answers to `stats`, by name.

    Args:
        of: "settings", or "" for the counters.

    Raises:
        OSError: It does not answer.
        ValueError: It answers something else, as a proxy may.
    """
    with closing(Connection(address, time.monotonic() + TIMEOUT)) as connection:
        asking = connection._socket
        asking.sendall(f"stats {of}".strip().encode() + b"\r\n")
        received = b""
        while not received.endswith(b"END\r\n"):
            data = asking.recv(65536)
            received += data
            if not data or len(received) > LONGEST or not received.startswith((b"STAT", b"END")):
                raise ValueError("this node has no statistics")
    lines = (line.split(" ", 2) for line in received.decode("ascii", "replace").splitlines())
    return {line[1]: line[2] for line in lines if len(line) == 3}


def eviction(counters: Mapping[str, str], settings: Mapping[str, str]) -> Check:
    """Return the check of what a node does when it is full, and of what it did so far."""
    if settings.get("evictions") == "off":
        return Check("ok", "eviction", "off: when the server is full, it refuses new records")
    room = f"{int(counters['limit_maxbytes']) / 2**20:,.0f} MB"
    dropped = int(counters["evictions"])
    if dropped:
        return Check(
            "warn",
            "eviction",
            f"the server was full, and dropped {dropped:,} items: give it more than {room}",
        )
    return Check("info", "eviction", f"no item was dropped; when {room} are full, items are")
