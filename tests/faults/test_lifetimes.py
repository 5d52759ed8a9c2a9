"""Sessions that are to live for ever, and clocks that were ahead."""

import sys
from datetime import timedelta
from typing import Any

import pytest

from coatcheck import Cookie, Session
from coatcheck._session.record import GRACE, LONGEST
from coatcheck.storage import CookieStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.hosts import SECRET, Wsgi
from tests.storage_kinds import EVERYWHERE, SERVER_SIDE, front_of, storage_of

YEAR = 365 * 24 * 3600
NOW = 1_795_000_000.0  # in November 2026: 12 years from then, time_t of 32 bits has ended


def counts(session: Session) -> object:
    session.apply("n", lambda n: n + 1, 0)
    return session["n"]


def users(session: Session) -> object:
    found = session.signed_in
    return found and [found.user, found.actor]


def is_fresh(session: Session) -> object:
    found = session.signed_in
    return found and found.is_fresh(300)


@pytest.mark.parametrize("max_age", [12 * YEAR, sys.maxsize], ids=["12 years", "for ever"])
@pytest.mark.parametrize("pair", EVERYWHERE)
def test_three_visits_count_three(
    pair: tuple[str, str], max_age: int, request: pytest.FixtureRequest
) -> None:
    """No storage loses a session because it is to live for very long."""
    front, kind = pair
    cookie = Cookie("__session", secrets=[SECRET], max_age=max_age)
    with storage_of(kind, request, Clock(NOW)) as made, front_of(front, made) as opened:
        browser = opened.browser(cookie)
        assert [browser.ask(counts).json for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("pair", SERVER_SIDE)
def test_a_sign_in_is_remembered_for_ever(
    pair: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    """So it is with the duration that sign_in gets, and act_as."""
    front, kind = pair
    with storage_of(kind, request, Clock(NOW)) as made, front_of(front, made) as opened:
        browser = opened.browser()

        def signs_in(session: Session) -> None:
            session.sign_in("ada", remember=timedelta.max)

        def acts(session: Session) -> None:
            session.act_as("bob", seconds=float("inf"))

        answer = browser.ask(signs_in)
        assert f"Max-Age={LONGEST};" in answer.all("set-cookie")[0]
        browser.ask(acts)
        assert browser.ask(users).json == ["bob", "ada"]


@pytest.mark.parametrize("options", [{"idle": 1e300}, {"lifetime": 1e300}])
def test_a_duration_beyond_a_century_is_a_century(options: dict[str, Any], clock: Clock) -> None:
    """A record holds times up to the year 9999; a session that lives for ever needs less."""
    browser = Wsgi(MemoryStorage(clock=clock)).browser(**options)
    assert [browser.ask(counts).json for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("storage", [MemoryStorage, CookieStorage])
def test_a_session_made_by_a_clock_that_was_ahead_ends_after_its_lifetime(
    storage: Any, clock: Clock
) -> None:
    """It counts as made now, however often it is used from then on."""
    clock.advance(10 * YEAR)
    front = Wsgi(storage(clock=clock))
    browser = front.browser(idle=1000, lifetime=3000)
    browser.ask(counts)
    clock.advance(-10 * YEAR)
    visits = 0
    while browser.ask(counts).json > visits:
        visits += 1
        clock.advance(500)
        assert visits < 100, "the session does not end"
    assert visits <= 3000 // 500 + 1


def test_so_it_is_for_a_session_that_is_only_read(clock: Clock) -> None:
    """A refresh puts its times right."""
    clock.advance(10 * YEAR)
    front = Wsgi(MemoryStorage(clock=clock))
    browser = front.browser(idle=1000, lifetime=3000)
    browser.ask(counts)
    clock.advance(-10 * YEAR)
    visits = 0
    while browser.ask(lambda session: session.get("n")).json == 1:
        visits += 1
        clock.advance(500)
        assert visits < 100, "the session does not end"
    assert visits <= 3000 // 500 + 1


def test_an_id_made_by_a_clock_that_was_ahead_is_rotated(clock: Clock) -> None:
    """Its time is put right by the first write, and counts from then on."""
    clock.advance(10 * YEAR)
    front = Wsgi(MemoryStorage(clock=clock))
    browser = front.browser(rotate=3600)
    browser.ask(counts)
    first = browser.value
    clock.advance(-10 * YEAR)
    browser.ask(counts)
    clock.advance(3601)
    browser.ask(counts)
    assert browser.value != first
    assert browser.ask(counts).json == 4


def test_a_confirmation_in_the_future_is_not_fresh(clock: Clock) -> None:
    """Else a clock that was ahead would save the visitor from the password for ever."""
    browser = Wsgi(MemoryStorage(clock=clock)).browser()
    clock.advance(YEAR)
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.ask(is_fresh).json is True
    clock.advance(-30)
    assert browser.ask(is_fresh).json is True
    clock.advance(-YEAR)
    assert browser.ask(is_fresh).json is False


def test_a_deadline_of_a_clock_that_was_ahead_moves_back(clock: Clock) -> None:
    """A copy of the cookie dies when the session was not used for *idle*, counted from now."""
    clock.advance(10 * YEAR)
    front = Wsgi(MemoryStorage(clock=clock))
    browser = front.browser(idle=1000)
    browser.ask(counts)
    clock.advance(-10 * YEAR)
    browser.ask(lambda session: session.get("n"))
    clock.advance(1000 + GRACE + 1)
    assert browser.ask(lambda session: session.get("n")).json is None
