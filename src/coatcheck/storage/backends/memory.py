"""
Sessions in the memory of one process: for tests, tools, and applications of one process.

They are gone when the process ends. The number of records is bounded: when it is reached, expired
ones among the least recently used go, or else the very least. Passing sessions, which hold
only a flash or a CSRF value, are counted apart: so they push out each other, and no signed-in
session. The list of a user's sessions is one record for each user who signs in. It is not
counted, and stays until it expires.
"""

from collections import OrderedDict
from itertools import islice
from threading import Lock

from coatcheck._session.record import contents_of, first_key
from coatcheck._session.revocations import is_list
from coatcheck.storage.arguments import check_count
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.keyed import KeyedStorage

LOOKED_AT = 16
"""Records that are looked at to make room for one: a full storage must not cost more than that."""

PASSING = frozenset({"_csrf", "csrf_token", "_csrftoken", "_messages"})
"""
Keys of values that make no session worth keeping: the CSRF marks of `coatcheck.csrf`, Flask-WTF and
Django, and the messages of Django.
"""

_PASSING_BYTES = frozenset(key.encode() for key in PASSING)


class _Held(Stored, frozen=True, gc=False):
    """A record, and until when it stays."""

    until: float


class MemoryBackend:
    """
    Records in dicts, in order of use: passing ones, lists of sessions, and the others. A version is
    the record.

    Args:
        max_records: How many records there may be of each kind; above 0.
        clock: Seconds since 1970.
    """

    def __init__(self, *, max_records: int, clock: TimeSource) -> None:
        self._kept: OrderedDict[str, _Held] = OrderedDict()
        self._passing: OrderedDict[str, _Held] = OrderedDict()
        self._rosters: OrderedDict[str, _Held] = OrderedDict()
        self._lock = Lock()
        self._max_records = max_records
        self._clock = clock

    def get(self, key: str) -> Stored | None:
        with self._lock:
            return self._living(key, self._clock())

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        passes = is_passing(record)
        with self._lock:
            now = self._clock()
            stored = self._living(key, now)
            if (stored.version if stored else None) != version:
                return Refused(stored)
            if is_list(record):
                records = self._rosters
                self._forget_expired(records, now)
            else:
                records = self._passing if passes else self._kept
                if key not in records:
                    (self._kept if passes else self._passing).pop(key, None)
                    self._make_room(records, now)
            records[key] = _Held(record, record, now + ttl)
            return None

    def delete(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._passing.pop(key, None)
            self._rosters.pop(key, None)

    def __len__(self) -> int:
        return len(self._kept) + len(self._passing) + len(self._rosters)

    def _living(self, key: str, now: float) -> Stored | None:
        records = self._kept
        held = records.get(key)
        if held is None:
            records = self._passing
            held = records.get(key)
            if held is None:
                records = self._rosters
                held = records.get(key)
                if held is None:
                    return None
        if held.until <= now:
            del records[key]
            return None
        records.move_to_end(key)
        return held

    def _make_room(self, records: "OrderedDict[str, _Held]", now: float) -> None:
        if len(records) < self._max_records:
            return
        for key, held in list(islice(records.items(), LOOKED_AT)):
            if held.until <= now:
                del records[key]
        while len(records) >= self._max_records:
            records.popitem(last=False)

    def _forget_expired(self, records: "OrderedDict[str, _Held]", now: float) -> None:
        """Look at some records, and let the next call look at others."""
        for key, held in list(islice(records.items(), LOOKED_AT)):
            records.move_to_end(key)
            if held.until <= now:
                del records[key]


def is_passing(record: bytes) -> bool:
    """Tell whether a session holds no user, and no values but flashes and CSRF marks."""
    key = first_key(record)
    if key and key not in _PASSING_BYTES:
        return False
    contents = contents_of(record)
    if contents is None or (contents.who and contents.who.user):
        return False
    return contents.values.keys() <= PASSING


def MemoryStorage(
    *, max_records: int = 10_000, clock: TimeSource | None = None, encrypt: bool = False
) -> KeyedStorage:
    """
    Return a storage in this process's memory.

    Args:
        max_records: How many sessions there may be; the least recently used goes when more come.
            Sessions that hold only flashes or a CSRF mark are counted apart, as many again, unless
            they are encrypted. The lists of `Users` are not counted.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id (extra
            `coatcheck[encrypt]`): a dump of the memory shows sessions of the last visitors alone,
            whose ids it holds.

    Raises:
        ConfigurationError: *max_records* is no integer above 0, or *clock* no function.
    """
    check_count("max_records", max_records)
    clock = clock or system_clock
    backend = MemoryBackend(max_records=max_records, clock=clock)
    return KeyedStorage(backend, clock=clock, waits=False, encrypt=encrypt)
