"""
Copies of records in this process, which are dropped when the server says that the records changed.

    read ─▶ copy? ─▶ the record, without a question
              └─▶ asked for ─▶ server ─▶ kept, unless a change was told in between

A copy is used only while the server proves that it told all changes: an answer to a PING on the
connection that carries them proves it for all that happened before the PING was sent. Without a
proof that is younger than `max_stale`, no copy is used. So a copy is never older than that, whether
the connection is closed, the server is paused, or nothing arrives.

A write needs no care: with a copy that is stale it is refused, and its changes are replayed on what
is there. Deadlines are inside the records and are checked on every read.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

import msgspec

from coatcheck.storage.arguments import Duration, check_count, seconds_of
from coatcheck.storage.backend import Stored

OVERHEAD = 400
"""Bytes that a copy takes beside its record: the key, and the objects around them."""

PROOFS = 3
"""Proofs that are asked for in the time for which one is good."""


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """
    The limits of the records kept in this process.

    Attributes:
        max_bytes: Memory for the copies; when it is full, the least recently used go.
        max_stale: If the server can tell nothing for so long, no copy is used. In seconds, or a
            timedelta.

    Raises:
        ConfigurationError: One of them is not above 0.
    """

    max_bytes: int
    max_stale: Duration = 2.0

    def __post_init__(self) -> None:
        check_count("max_bytes", self.max_bytes)
        seconds_of("max_stale", self.max_stale)


class Copies:
    """
    The copies of one process, or of one event loop.

    Args:
        clock: Seconds that only grow.

    Attributes:
        proved_at: The server told all changes from before then, by the clock.
    """

    def __init__(self, near: Near, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.near = near
        self.max_stale = seconds_of("max_stale", near.max_stale)
        self.clock = clock
        self._kept: OrderedDict[str, Stored] = OrderedDict()
        self._asked: dict[str, object] = {}  # keys that a read asks for, and which read
        self._size = 0
        self.proved_at = self._lost_at = float("-inf")
        self._lock = Lock()

    def get(self, key: str) -> Stored | None:
        """Return the copy of a record, if there is one that may be used."""
        stored = self._kept.get(key)
        if stored is None or not self.is_proved():
            return None
        try:
            self._kept.move_to_end(key)
        except KeyError:  # dropped by another thread
            return None
        return stored

    def is_proved(self) -> bool:
        """Tell whether the server has proved, not long ago, that it told all changes."""
        return self.clock() - self.proved_at <= self.max_stale

    def prove(self, asked_at: float) -> None:
        """
        Note that all changes were told.

        Args:
            asked_at: When the proof was asked for.
        """
        if asked_at > self._lost_at:
            self.proved_at = asked_at

    def ask(self, key: str) -> object:
        """Note that a read asks the server for a record, and return what `keep` wants to see."""
        ticket = object()
        if self.is_proved():  # else a change could go untold before the answer comes
            with self._lock:
                self._asked[key] = ticket
        return ticket

    def keep(self, key: str, ticket: object, stored: Stored | None) -> None:
        """Keep what a read got, unless a change was told since it asked."""
        with self._lock:
            if self._asked.get(key) is not ticket:
                return
            del self._asked[key]
            self._put(key, stored)

    def put(self, key: str, stored: Stored | None) -> None:
        """Keep what is there now; None, or too large a record: keep nothing."""
        with self._lock:
            self._put(key, stored)

    def drop(self, keys: Iterable[str]) -> None:
        """Drop the copies of records that changed; a read that asks for one now keeps nothing."""
        with self._lock:
            for key in keys:
                self._asked.pop(key, None)
                self._drop(key)

    def lose(self) -> None:
        """Drop all copies: what the server told is not known. A proof must be asked for anew."""
        with self._lock:
            self.proved_at, self._lost_at = float("-inf"), self.clock()
            self._clear()

    def clear(self) -> None:
        """Drop all copies: every record changed."""
        with self._lock:
            self._clear()

    def __len__(self) -> int:
        return len(self._kept)

    def _clear(self) -> None:
        self._asked.clear()
        self._kept.clear()
        self._size = 0

    def _put(self, key: str, stored: Stored | None) -> None:
        self._drop(key)
        if stored is None or not self.is_proved() or _size(stored) > self.near.max_bytes:
            return
        self._kept[key] = stored
        self._size += _size(stored)
        while self._size > self.near.max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        stored = self._kept.pop(key, None)
        if stored is not None:
            self._size -= _size(stored)


def _size(stored: Stored) -> int:
    return 2 * len(stored.record) + OVERHEAD  # the version holds the record once more
