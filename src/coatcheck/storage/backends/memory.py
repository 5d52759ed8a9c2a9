"""
Sessions in the memory of one process: for tests, tools, and applications of one process.

They are gone when the process ends. The number of records is bounded: when it is reached, expired
ones among the least recently used go, or else the very least.
"""

from collections import OrderedDict
from itertools import islice
from threading import Lock
from typing import NamedTuple

from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.clock import Clock, system_clock
from coatcheck.storage.keyed import KeyedStorage

LOOKED_AT = 16
"""Records that are looked at to make room for one: a full storage must not cost more than that."""


class _Held(NamedTuple):
    stored: Stored
    until: float


class MemoryBackend:
    """
    Records in a dict, in order of use. A version is the record itself.

    Args:
        max_records: How many records there may be; above 0.
        clock: Seconds since 1970.
    """

    def __init__(self, *, max_records: int, clock: Clock) -> None:
        self._records: OrderedDict[str, _Held] = OrderedDict()
        self._lock = Lock()
        self._max_records = max_records
        self._clock = clock

    def get(self, key: str) -> Stored | None:
        with self._lock:
            return self._living(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        with self._lock:
            stored = self._living(key)
            if (stored.version if stored else None) != version:
                return Refused(stored)
            if stored is None:
                self._make_room()
            self._records[key] = _Held(Stored(record, version=record), self._clock() + ttl)
            return None

    def delete(self, key: str) -> None:
        with self._lock:
            self._records.pop(key, None)

    def __len__(self) -> int:
        return len(self._records)

    def _living(self, key: str) -> Stored | None:
        held = self._records.get(key)
        if held is None:
            return None
        if held.until <= self._clock():
            del self._records[key]
            return None
        self._records.move_to_end(key)
        return held.stored

    def _make_room(self) -> None:
        if len(self._records) < self._max_records:
            return
        now = self._clock()
        oldest = list(islice(self._records.items(), LOOKED_AT))
        for key, held in oldest:
            if held.until <= now:
                del self._records[key]
        while len(self._records) >= self._max_records:
            self._records.popitem(last=False)


def MemoryStorage(
    *, max_records: int = 10_000, clock: Clock | None = None, encrypt: bool = False
) -> KeyedStorage:
    """
    Return a storage in this process's memory.

    Args:
        max_records: How many sessions there may be; the least recently used goes when more come.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id (extra
            `coatcheck[encrypt]`): a dump of the memory shows what requests use at that moment.
    """
    clock = clock or system_clock
    backend = MemoryBackend(max_records=max_records, clock=clock)
    return KeyedStorage(backend, clock=clock, waits=False, encrypt=encrypt)
