"""The backend in memory."""

import pytest

from coatcheck._session.record import DEFAULT_TERMS
from coatcheck._session.roster import Roster, pack_roster
from coatcheck.storage.backends.memory import MemoryBackend, MemoryStorage
from coatcheck.storage.clock import system_clock
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import Make


class TestMemoryBackend(BackendContract):
    """Every rule of a backend."""

    @pytest.fixture
    def make(self) -> Make:
        backend = MemoryBackend(max_records=100, clock=system_clock)
        return lambda: backend


def test_the_least_recently_used_goes_when_there_is_no_room(clock: Clock) -> None:
    """At the limit, what was used last stays."""
    backend = MemoryBackend(max_records=2, clock=clock)
    backend.swap("a", None, b"a", 10)
    backend.swap("b", None, b"b", 10)
    backend.get("a")
    backend.swap("c", None, b"c", 10)
    assert [key for key in "abc" if backend.get(key)] == ["a", "c"]


def test_expired_records_go_first(clock: Clock) -> None:
    """A record that is used rarely stays as long as there is an expired one to remove."""
    backend = MemoryBackend(max_records=2, clock=clock)
    backend.swap("old", None, b"1", 100)
    backend.swap("expired", None, b"2", 1)
    clock.advance(2)
    backend.swap("new", None, b"3", 100)
    assert [key for key in ("old", "expired", "new") if backend.get(key)] == ["old", "new"]


def test_replacing_takes_no_room(clock: Clock) -> None:
    """A session that is written again pushes no other out."""
    backend = MemoryBackend(max_records=2, clock=clock)
    backend.swap("a", None, b"a", 10)
    backend.swap("b", None, b"b", 10)
    backend.swap("b", b"b", b"B", 10)
    assert len(backend) == 2


def test_time_is_the_clock_of_the_test(clock: Clock) -> None:
    """A record is there until its ttl is over, and not a moment longer."""
    storage = MemoryStorage(clock=clock)
    session = storage.read(None)
    session["user"] = 1
    value = storage.save(session)
    clock.advance(DEFAULT_TERMS.idle - 1)
    assert storage.read(value).get("user") == 1
    clock.advance(1)
    assert storage.read(value).is_new


def roster(tag: bytes, expires: float) -> bytes:
    return pack_roster(Roster(cutoff=1.0, expires=expires), tag, None)


def test_the_list_of_a_users_sessions_is_never_evicted() -> None:
    """It must outlive every session on it, so it is not counted; when it expires, it goes."""
    clock = Clock()
    backend = MemoryBackend(max_records=2, clock=clock)
    for number in range(40):
        backend.swap(f"roster{number}", None, roster(b"12345678", 9.0), 10 + number)
    for number in range(9):
        backend.swap(f"session{number}", None, b"record", 100)
    assert sum(backend.get(f"roster{number}") is not None for number in range(40)) == 40
    assert len(backend) == 42
    backend.delete("roster39")
    clock.advance(60)
    for _ in range(4):
        stored = backend.get("last")
        backend.swap("last", stored and stored.version, roster(b"12345678", 9.0), 10)
    assert len(backend) == 3
