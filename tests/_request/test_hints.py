"""A developer whose sessions are lost finds one line in the log that says what to do."""

import pytest

from coatcheck import Cookie
from coatcheck._request.cycle import Cycle
from coatcheck._request.hints import REQUESTS, TIMES
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage
from tests._request.visits import COOKIE, DictVisit, cycle_of, pair_of, stored

FOREIGN = pair_of(Cookie("name", secrets=["f" * 40]), "an id")
UNKNOWN = pair_of(COOKIE, "x" * 43)


def ask(cycle: Cycle, header: str | None) -> None:
    """Let a request read its session."""
    visit = DictVisit(header)
    visit.opened = cycle.cookie.open(header)
    if visit.opened is None and cycle.starts_empty:
        cycle.begin(visit)
        return
    assert isinstance(cycle.storage, KeyedStorage | CookieStorage)
    text = visit.opened.text if visit.opened else None
    cycle.admit(visit, cycle.storage.read(text))


def test_seals_that_never_hold_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The secret changed, or differs between processes; the line names no value."""
    cycle = cycle_of(CookieStorage())
    for _ in range(TIMES - 1):
        ask(cycle, FOREIGN)
    assert not caplog.records
    for _ in range(TIMES):
        ask(cycle, FOREIGN)
    (record,) = caplog.records
    text = record.getMessage()
    assert "differs between processes" in text
    assert "secrets=[new, old]" in text
    assert FOREIGN.partition("=")[2] not in text
    assert cycle._hints is None


def test_one_seal_that_holds_ends_the_look(caplog: pytest.LogCaptureFixture) -> None:
    """Then the others are forged, or older than the secrets."""
    cycle = cycle_of(CookieStorage())
    ask(cycle, UNKNOWN)
    assert cycle._hints is None
    for _ in range(2 * TIMES):
        ask(cycle, FOREIGN)
    assert not caplog.records


def test_visitors_without_our_cookie_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Neither those without any cookie, nor those with another."""
    cycle = cycle_of(CookieStorage())
    for _ in range(2 * TIMES):
        ask(cycle, None)
        ask(cycle, "other=1")
    assert not caplog.records


def test_ids_that_the_memory_does_not_know_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Another worker has them, or the process was started anew; known ones are no reason."""
    storage = MemoryStorage()
    cycle = cycle_of(storage)
    known = stored(storage, cart=1)
    for _ in range(2 * TIMES):
        ask(cycle, known)
    assert not caplog.records
    for _ in range(2 * TIMES):
        ask(cycle, UNKNOWN)
        ask(cycle, FOREIGN)
    (record,) = caplog.records
    assert "another worker has them" in record.getMessage()
    assert "RedisStorage" in record.getMessage()
    assert cycle._hints is None


def test_the_look_ends_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """So an application whose sessions are found pays nothing for it, in memory too."""
    storage = MemoryStorage()
    cycle = cycle_of(storage)
    known = stored(storage, cart=1)
    for _ in range(REQUESTS - 1):
        ask(cycle, known)
    assert cycle._hints is not None
    ask(cycle, known)
    assert cycle._hints is None
    assert not caplog.records
