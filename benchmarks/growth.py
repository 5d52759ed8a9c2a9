"""
How storages grow: a request's time and a session's space, from a thousand stored sessions on.

Sessions are stored in bulk. Then clients drawn from all of them come in turn. Times are of the
whole request, application included.
"""

import gc
import random
from collections.abc import Callable
from multiprocessing import get_context
from statistics import median
from typing import Any

from benchmarks import storages
from benchmarks.bulk import MAKERS
from benchmarks.cases import in_turn, sign_in
from benchmarks.loop import wait
from benchmarks.measure import progress
from benchmarks.place import Place, place
from benchmarks.subjects import BARE, Subject

DRAWN = 2000
"""Clients that come, of all that have a session."""

FEWEST = 1000

MOST = {"files": 100_000}
"""
Each file takes a block of 4096 bytes and an inode. A million took 4.1 GB on ext4, 2.5 minutes to
make, and 3.5 to remove again; a read then took 170 microseconds and a write 560.
"""

Row = dict[str, Any]


class Grown:
    """
    A storage that grows.

    Args:
        key: Which of `storages.OURS`.
        most: Sessions that it is grown to, at most.
        space: Returns the bytes that it takes.
    """

    def __init__(self, key: str, where: Place) -> None:
        self.key = key
        self.made = storages.made(key, where, sessions=2_000_000)
        self.store, self.space = MAKERS[key](self, where)
        self.ids: list[str] = []
        self.count = 0
        self._lot = random.Random(5)
        self.base = self.space()

    def record_of(self) -> Callable[[str], bytes]:
        """Return what makes the record of a key: as the storage wrote one, with the key's tag."""
        from coatcheck._session.ids import tag_of

        key = self.key_of(self._cookie_value)
        record = bytes(_waited(self.made.storage.backend.get(key)).record)
        tag = tag_of(key)
        return lambda other: record.replace(tag, tag_of(other), 1)

    def key_of(self, id: str) -> str:
        from coatcheck._session.ids import key_of

        return key_of(id, self.made.storage.prefix)

    @property
    def _cookie_value(self) -> str:
        if not hasattr(self, "_value"):
            cookie = sign_in(self.made.subject, 1)
            self._value = self.made.cookie.parse(cookie) or ""
        return self._value

    def grow(self, count: int) -> None:
        """Store sessions until there are so many."""
        from coatcheck._session.ids import new_id

        while self.count < count:
            ids = [new_id() for _ in range(min(1000, count - self.count))]
            self.store([self.key_of(id) for id in ids])
            for id in ids:
                self._draw(id)
            progress(f"{self.key}: {self.count:,} sessions")

    def _draw(self, id: str) -> None:
        """Keep it, or not, so that those kept are drawn from all evenly."""
        self.count += 1
        if len(self.ids) < DRAWN:
            self.ids.append(id)
        elif (place := self._lot.randrange(self.count)) < DRAWN:
            self.ids[place] = id

    def row(self, batches: int) -> Row:
        """Measure what a request takes now."""
        self._lot.shuffle(self.ids)
        cookies = [self.made.cookie.serialize(id).partition(";")[0] for id in self.ids]
        gc.unfreeze()
        gc.collect()
        each = max(1, (self.space() - self.base) // self.count)
        return {
            "storage": self.key,
            "sessions": self.count,
            "bytes": each,
            **times(self.made.subject, cookies, batches),
        }


def times(subject: Subject, cookies: list[str], batches: int) -> Row:
    """Return the microseconds of a whole request that reads, and of one that writes."""
    found = {}
    for name, handler in (("W2", "read"), ("W3", "write")):
        batch = in_turn(subject.make(handler), BARE.driver, list(cookies))
        batch(50)
        took = [batch(200) / 200 / 1000 for _ in range(batches)]
        found[name] = round(median(took), 2)
    return found


def run(most: int, *, batches: int) -> list[Row]:
    """Grow each storage to *most* sessions, tenfold each time; return a row for each step."""
    rows: list[Row] = []
    for key in filter(storages.can_be_made, MAKERS):
        # In a process of its own, whose memory holds nothing else.
        with get_context("spawn").Pool(1) as pool:
            rows += pool.apply(_grown, (key, most, batches))
    progress("")
    return rows


def _grown(key: str, most: int, batches: int) -> list[Row]:
    rows = []
    with place() as where:
        grown = Grown(key, where)
        count = FEWEST
        while count <= min(most, MOST.get(key, most)):
            grown.grow(count)
            rows.append(grown.row(batches))
            count *= 10
        grown.made.close()
    return rows


def _waited(found: Any) -> Any:
    return wait(found) if hasattr(found, "__await__") else found
