"""Two cookies of one name: with another Domain or Path, or planted by a subdomain."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from coatcheck import Event, Session, Users
from coatcheck.storage import CookieStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.hosts import COOKIE, Asgi, Browser, Front, Wsgi
from tests.threats.attacks import (
    everywhere,
    gets,
    holder,
    holding,
    in_hand,
    is_new,
    server_side,
    sets,
)


def visitor(front: Front, name: str) -> Browser:
    browser = front.browser()
    browser.ask(sets(user=name))
    return browser


def joined(*browsers: Browser) -> str:
    """Return the header of a browser that holds the cookies of all."""
    return "; ".join(browser.header or "" for browser in browsers)


def ended(front: Front, name: str) -> Browser:
    """Return a browser that kept the cookie of a session which is over."""
    browser = visitor(front, name)
    kept = browser.header
    browser.ask(Session.destroy)
    return holder(front, kept)


@server_side
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_the_cookie_with_a_living_session_counts(front: Front, place: int) -> None:
    """Wherever it stands: cookies whose sessions are over do not hide it."""
    dead = [ended(front, f"dead {n}") for n in range(3)]
    dead.insert(place, visitor(front, "Ada"))
    browser = holder(front, joined(*dead))
    answer = browser.ask(gets("user"))
    assert (answer.json, in_hand(answer)) == ("Ada", None)
    assert in_hand(browser.ask(sets(n=1))) is None
    assert holder(front, dead[place].header).ask(gets("n")).json == 1


@everywhere
def test_a_cookie_that_was_never_ours_hides_nothing(front: Front) -> None:
    """One that a subdomain planted, with a made-up value or one that leads nowhere."""
    ada = visitor(front, "Ada")
    planted = "; ".join(["__session=planted", holding("A" * 40), "__session="] * 2)
    assert holder(front, f"{planted}; {ada.header}; {planted}").ask(gets("user")).json == "Ada"


@everywhere
def test_of_two_living_sessions_the_first_counts(front: Front) -> None:
    """Browsers send the cookie with the longer Path first; it goes on counting."""
    ada, eve = visitor(front, "Ada"), visitor(front, "Eve")
    browser = holder(front, joined(ada, eve))
    for _ in range(2):
        assert browser.ask(gets("user")).json == "Ada"


@server_side
@pytest.mark.parametrize("changes", [False, True])
def test_a_sign_out_ends_every_session_that_the_request_carried(
    front: Front, *, changes: bool
) -> None:
    """No cookie that is left in the browser leads to a session any more; also with an old id."""
    all_of_them = [visitor(front, name) for name in ("Ada", "Eve", "Mallory")]
    header = joined(*all_of_them)
    if changes:
        for browser in all_of_them:
            browser.ask(Session.regenerate_id)
    assert in_hand(holder(front, header).ask(Session.destroy)) == ""
    assert holder(front, header).ask(is_new).json is True
    for browser in all_of_them:
        assert browser.ask(is_new).json is True


@pytest.mark.parametrize("in_cookies", [False, True])
@pytest.mark.parametrize("front_of", [Wsgi, Asgi])
def test_a_sign_out_ends_them_where_users_are_listed_too(
    front_of: Any, clock: Clock, *, in_cookies: bool
) -> None:
    """Each leaves its user's list, and is an event; also where cookies carry the sessions."""
    lists, events = MemoryStorage(clock=clock), list[Event]()
    front = front_of(CookieStorage(clock=clock) if in_cookies else lists)
    users = Users(COOKIE, front.storage, rosters=lists if in_cookies else None, check_every=1e-9)
    with front.runner if isinstance(front, Asgi) else nullcontext():
        browsers = [front.browser(users=users, on_event=events.append) for _ in range(3)]
        for number, browser in enumerate(browsers):
            browser.ask(lambda session, number=number: session.sign_in(number))
        kept = [browser.header for browser in browsers]
        browsers[0].header = joined(*browsers)
        browsers[0].ask(Session.destroy)
        assert [users.sessions_of(number) for number in range(3)] == [[], [], []]
        for browser, header in zip(browsers, kept, strict=True):
            browser.header = header
            assert browser.ask(lambda session: session.signed_in).json is None
    assert [each.kind for each in events].count("signed_out") == 3


@server_side
@pytest.mark.parametrize("empties", [Session.clear, lambda s: s.pop("user")], ids=["clear", "pop"])
def test_a_session_that_is_emptied_ends_the_others(
    front: Front, empties: Callable[[Session], object]
) -> None:
    """Many applications sign out with clear(): no other cookie may sign the visitor in again."""
    browsers = [visitor(front, name) for name in ("Ada", "Eve")]
    header = joined(*browsers)
    assert in_hand(holder(front, header).ask(empties)) == ""
    assert holder(front, header).ask(is_new).json is True
    assert browsers[1].ask(is_new).json is True


@everywhere
def test_a_session_at_the_end_of_its_lifetime_hides_nothing(front: Front, clock: Clock) -> None:
    """Although it is stored: the middleware was given a shorter lifetime meanwhile."""
    eve = visitor(front, "Eve")
    clock.advance(100)
    ada = visitor(front, "Ada")
    browser = holder(front, joined(eve, ada), lifetime=60)
    assert browser.ask(gets("user")).json == "Ada"


@server_side
def test_a_sign_out_beside_dead_cookies_removes_ours(front: Front) -> None:
    """The one that is alive is ended, and its cookie removed."""
    ada = visitor(front, "Ada")
    header = joined(ended(front, "dead"), ada, ended(front, "dead, too"))
    assert in_hand(holder(front, header).ask(Session.destroy)) == ""
    assert ada.ask(is_new).json is True


@server_side
def test_a_sign_in_goes_on_from_the_living_session(front: Front) -> None:
    """What a planted session holds does not get into it."""
    eve, ada = ended(front, "Eve"), visitor(front, "Ada")
    browser = holder(front, joined(eve, ada))
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.header not in (eve.header, ada.header)
    assert browser.ask(dict).json == {"user": "Ada"}
    assert ada.ask(dict).json == {}
