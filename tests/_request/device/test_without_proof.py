"""Requests of a bound session that bring no proof; and how it is set up."""

import json
from typing import Any

import pytest

from coatcheck import ConfigurationError, Cookie, Session
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck._request.visit import Answer
from coatcheck._session.binding import UNDER_WAY
from coatcheck.storage import CookieStorage, MemoryStorage
from coatcheck.testing import Clock
from tests._request.device.shops import BOUND, COOKIE, FROM_ELSEWHERE, LONG, SHORT, Shop, sets
from tests.bound_browsers import (
    BoundBrowser,
    headers_of,
    looks,
)
from tests.hosts import SECRET


def test_such_a_request_counts_as_one_without_a_cookie(shop: Shop) -> None:
    """It gets a session of its own if it writes; the bound record stays."""
    browser = shop.browser().signs_in()
    shop.later(UNDER_WAY)
    thief = browser.copy(LONG)
    before = thief.cookies[LONG]
    assert thief.ask(dict) == {}
    thief.ask(sets("cart"))
    assert thief.cookies[LONG] != before
    assert browser.ask() == "ada"
    assert set(shop.refused) == {"no proof"}


def test_it_ends_nothing(shop: Shop) -> None:
    """Neither its session nor one whose cookie it brings beside it."""
    browser = shop.browser().signs_in()
    shop.later(UNDER_WAY)
    thief = browser.copy(LONG)
    thief.ask(Session.destroy)
    visitor = shop.browser()
    visitor.ask(sets("x"))
    both = BoundBrowser(shop.shell, cookies={"a": f"b; {LONG}={thief.cookies[LONG]}"})
    both.cookies["c"] = f"d; {LONG}={thief.cookies[LONG]}"
    both.ask(Session.destroy)
    assert browser.ask() == "ada"


@pytest.mark.parametrize(
    "facts",
    [
        {"path": "/static/a.css"},
        {"secure_session_skipped": "quota_exceeded;session_identifier=x"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"},
        {**FROM_ELSEWHERE, "method": "POST"},
        {**FROM_ELSEWHERE, "secure_session_skipped": "unreachable"},
        {**FROM_ELSEWHERE, "path": "/static"},
    ],
    ids=["excluded", "skipped", "elsewhere", "subdomain", "form", "skipped link", "excluded link"],
)
def test_where_a_browser_sends_no_proof_such_a_request_keeps_and_sends_nothing(
    shop: Shop, facts: dict[str, str]
) -> None:
    """Its cookie would take the place of the bound one."""
    browser = shop.browser().signs_in()
    shop.later(UNDER_WAY)
    plain = browser.copy(LONG)
    before = dict(plain.cookies)
    for handler in (looks, sets("x"), lambda it: it.sign_in("eve"), Session.destroy):
        assert plain.ask(handler, **facts) is None
        assert plain.cookies == before
    assert browser.ask(dict, **facts) == {}
    assert browser.ask() == "ada"
    assert shop.refused == []


def test_a_link_from_another_site_loads_again_from_its_own(shop: Shop) -> None:
    """A browser refreshes only for its own origin's requests: the page that is sent makes one."""
    browser = shop.browser().signs_in()
    shop.later(601)
    answer = browser.ask(sets("x"), **FROM_ELSEWHERE)
    assert isinstance(answer, Answer)
    assert (answer.status, headers_of(answer)["cache-control"]) == (200, "no-store")
    assert b'<script src="/_session/reload.js">' in answer.body
    script = browser.ask(path="/_session/reload.js")
    assert (script.status, script.body) == (200, b"location.reload()")
    assert browser.refreshes().status == 200
    assert browser.ask(**FROM_ELSEWHERE) == "ada"


def test_no_link_loads_again_that_has_no_bound_session(shop: Shop) -> None:
    """Of visitors and of free sessions."""
    browser = shop.browser()
    assert browser.ask(**FROM_ELSEWHERE) is None
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.ask(**FROM_ELSEWHERE) == "ada"


def test_of_several_cookies_the_one_that_is_proved_counts(shop: Shop) -> None:
    """A bound one without proof hides no other; the browser's refresh finds its own."""
    browser = shop.browser().signs_in()
    other = shop.browser().signs_in("eve")
    shop.later(UNDER_WAY)
    both = browser.copy(SHORT)
    both.cookies["a"] = f"b; {LONG}={other.cookies[LONG]}; {LONG}={browser.cookies[LONG]}"
    assert both.ask() == "ada"
    both.id, both.key = browser.id, browser.key
    assert both.refreshes().status == 200
    visitor = shop.browser()
    visitor.ask(sets("x"))
    both.cookies["a"] = f"b; {LONG}={visitor.cookies[LONG]}; {LONG}={browser.cookies[LONG]}"
    assert both.refreshes().status == 200
    both.id = "unknown"
    assert json.loads(both.refreshes().body)["continue"] is False


def test_a_sign_out_ends_no_bound_session_whose_cookie_comes_beside_it(shop: Shop) -> None:
    """A copy of that cookie is nobody's: it ends nothing either."""
    browser = shop.browser().signs_in()
    shop.later(UNDER_WAY)
    thief = shop.browser()
    thief.ask(sets("x"))
    own = thief.cookies[LONG]
    thief.cookies = {"a": f"b; {LONG}={own}; {LONG}={browser.cookies[LONG]}"}
    thief.ask(Session.destroy)
    assert browser.ask() == "ada"
    thief.cookies = {LONG: own}
    assert thief.ask(dict) == {}


def test_of_several_cookies_the_one_that_was_offered_registers(shop: Shop) -> None:
    """One without a binding beside it is no obstacle."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    visitor = shop.browser()
    visitor.ask(sets("x"))
    browser.cookies["a"] = f"b; {LONG}={'x' * 40}"
    assert browser.registers().status == 200


@pytest.mark.parametrize(
    ("cookie", "bound", "told"),
    [
        (COOKIE, True, "bound must be a Bound, got bool"),
        (Cookie("x", secrets=[SECRET], path="/shop"), BOUND, "path=\"/\", got '/shop'"),
        (Cookie("x", secrets=[SECRET], secure=False), BOUND, "secure=False"),
    ],
)
def test_what_cannot_be_bound_is_refused_when_it_is_set_up(
    cookie: Cookie, bound: Any, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Cycle(cookie, MemoryStorage(), bound=bound)


def test_sessions_in_cookies_are_refused() -> None:
    """A copy from before the registration would stay free: no server knows of it."""
    with pytest.raises(ConfigurationError, match="storage on a server or in files"):
        Cycle(COOKIE, CookieStorage(), bound=BOUND)


def test_without_the_option_nothing_is_decided(clock: Clock) -> None:
    """A session that was bound before reads as any other, and a sign-in offers nothing."""
    shop = Shop(clock)
    browser = shop.browser().signs_in()
    plain = BoundBrowser(Shell(Cycle(COOKIE, shop.storage)))
    plain.cookies[LONG] = browser.cookies[LONG]
    shop.later(UNDER_WAY)
    assert plain.ask(lambda session: (looks(session), session.is_bound)) == ("ada", False)
    plain.ask(lambda session: session.sign_in("ada"))
    assert not plain.offer
