"""What it means that a session is bound: the registration, changes of the id, reading again."""

import json

import pytest

from coatcheck import Session
from coatcheck._session.binding import UNDER_WAY
from coatcheck.testing import Clock
from tests._request.device.shops import COOKIE, LONG, SHORT, Shop, sets
from tests.bound_browsers import (
    REGISTER,
    BoundBrowser,
    Handler,
    headers_of,
    looks,
)


def test_a_sign_in_registers_and_the_session_is_bound(either: Shop) -> None:
    """From then on the cookie alone is nobody's; with the bound cookie the session is read."""
    browser = either.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.offer["path"] == REGISTER
    assert browser.ask(lambda session: (looks(session), session.is_bound)) == ("ada", False)
    answer = browser.registers()
    assert answer.status == 200
    assert "secure-session-challenge" not in headers_of(answer)
    either.later(UNDER_WAY)
    assert browser.ask(lambda session: (looks(session), session.is_bound)) == ("ada", True)
    assert browser.copy(LONG).ask() is None
    assert browser.copy(SHORT).ask() is None


def test_where_the_browser_knows_nothing_of_it_nothing_changes(shop: Shop) -> None:
    """An offer that nobody takes: the session is as any other."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    shop.later(24 * 3600)
    assert browser.ask() == "ada"
    assert browser.ask(sets("cart")) is None
    assert browser.ask(dict) == {"cart": 1}


def test_only_a_sign_in_offers(shop: Shop) -> None:
    """No visit, no save, and no other change of the id; a thief could take a later offer."""
    browser = shop.browser()
    browser.ask(sets("cart"))
    assert not browser.offer
    browser.ask(lambda session: session.sign_in("ada"))
    first, browser.offer = browser.offer, {}
    for handler in (sets("x"), Session.confirm, Session.regenerate_id, lambda it: it.act_as("bob")):
        browser.ask(handler)
        assert not browser.offer
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.offer["challenge"] != first["challenge"]


def test_every_change_of_the_id_keeps_the_binding(shop: Shop) -> None:
    """Confirming, another id, acting as somebody, a rotation: the bound cookie goes on."""
    browser = shop.browser().signs_in()
    shop.later(UNDER_WAY)
    for handler in (
        Session.confirm,
        Session.regenerate_id,
        lambda it: it.act_as("bob"),
        Session.stop_acting,
    ):
        before = browser.cookies[LONG]
        browser.ask(handler)
        assert browser.cookies[LONG] != before
        assert browser.ask(lambda session: session.is_bound)
        assert browser.refreshes().status == 200
    assert browser.copy(LONG).ask() is None


def test_a_rotation_keeps_the_binding(clock: Clock) -> None:
    """By itself, while the session is in use."""
    shop = Shop(clock, rotate=300)
    browser = shop.browser().signs_in()
    shop.later(301)
    before = browser.cookies[LONG]
    assert browser.ask() == "ada"
    assert browser.cookies[LONG] != before
    assert browser.ask(lambda session: session.is_bound)


def test_another_sign_in_registers_anew(shop: Shop) -> None:
    """The old bound cookie proves nothing of the new session; the browser's old binding ends."""
    browser = shop.browser().signs_in()
    old_id, old_cookie = browser.id, browser.cookies[SHORT]
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.ask(lambda session: (looks(session), session.is_bound)) == ("ada", False)
    browser.registers()
    assert browser.id != old_id
    shop.later(UNDER_WAY)
    thief = browser.copy(LONG)
    thief.cookies[SHORT] = old_cookie
    assert thief.ask() is None
    answer = browser.refreshes(sec_secure_session_id=old_id)
    assert json.loads(answer.body) == {"session_identifier": old_id, "continue": False}
    assert browser.ask() == "ada"


def test_a_bound_cookie_counts_until_its_own_end(shop: Shop) -> None:
    """A refresh gives another one; the one before stays good until its time is over."""
    browser = shop.browser().signs_in()
    first = browser.cookies[SHORT]
    shop.later(400)
    assert browser.refreshes().status == 200
    slow = browser.copy(LONG)
    slow.cookies[SHORT] = first
    assert slow.ask() == "ada"
    shop.later(200)
    assert slow.ask() is None
    assert browser.ask() == "ada"
    shop.later(400)
    assert browser.ask() is None


def test_requests_under_way_while_it_registers_are_served(shop: Shop) -> None:
    """For 30 seconds; they may write and sign out."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    under_way = browser.copy(LONG)
    browser.registers()
    shop.later(UNDER_WAY - 1)
    assert under_way.ask(sets("cart")) is None
    assert browser.ask(dict) == {"cart": 1}
    assert under_way.ask(lambda session: session.is_bound) is False
    shop.later(1)
    assert under_way.ask() is None


@pytest.mark.parametrize(
    "handler",
    [Session.confirm, Session.regenerate_id, lambda it: it.act_as("bob")],
    ids=["confirm", "regenerate_id", "act_as"],
)
def test_a_request_without_proof_never_changes_the_id(shop: Shop, handler: Handler) -> None:
    """What it asks for is done, without a new id: a thief would hold that."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    thief = browser.copy(LONG)
    browser.registers()
    before = thief.cookies[LONG]
    thief.ask(handler)
    assert thief.cookies[LONG] == before
    assert browser.ask() in ("ada", "bob")


def test_what_a_move_in_place_takes_away_is_gone_in_the_same_request(shop: Shop) -> None:
    """Acting as somebody: the actor's values and flashes are not there."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    browser.ask(lambda session: session.set("cart", [1]))
    browser.ask(lambda session: session.flash("notice", "hello"))
    under_way = browser.copy(LONG)
    browser.registers()

    def acts(session: Session) -> object:
        session["cart"].append(2)
        session.act_as("bob")
        return dict(session), session.get("notice")

    assert under_way.ask(acts) == ({}, None)
    assert under_way.ask(lambda session: (looks(session), dict(session))) == ("bob", {})


def test_a_request_without_proof_is_not_rotated(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id is due, and waits for a request that proves its device; nothing is written."""
    shop = Shop(clock, rotate=300)
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    shop.later(290)
    under_way = browser.copy(LONG)
    browser.registers()
    shop.later(20)
    before = under_way.cookies[LONG]
    with monkeypatch.context() as patch:
        patch.setattr(shop.storage.backend, "swap", lambda *_: pytest.fail("it was written"))
        assert under_way.ask() == "ada"
    assert under_way.cookies[LONG] == before
    browser.ask()
    assert browser.cookies[LONG] != before


def test_a_sign_in_without_proof_gets_a_session_of_its_own(shop: Shop) -> None:
    """In the 30 seconds it takes the session's place, as ever; afterwards it is a visitor's."""
    browser = shop.browser().signs_in()
    shop.later(UNDER_WAY)
    other = browser.copy(LONG)
    before = other.cookies[LONG]
    other.ask(lambda session: session.sign_in("eve"))
    assert other.cookies[LONG] != before
    assert (other.ask(), browser.ask()) == ("eve", "ada")


def again(shop: Shop, session: Session, browser: BoundBrowser) -> None:
    """Let a request look again at what is stored, as `reload` does."""
    shop.cycle.renew(session, shop.storage.read(COOKIE.parse(browser.header)))


def test_a_sign_in_that_is_saved_early_is_offered_with_the_headers(shop: Shop) -> None:
    """The response carries cookie and offer, whatever was read again before it."""
    browser = shop.browser()

    def signs_in(session: Session) -> None:
        session.sign_in("ada")
        assert shop.cycle.is_due(session)
        shop.cycle.saved_early(session, shop.storage.save(session))
        shop.cycle.renew(session, shop.storage.read(shop.cycle.value_to_reload(session)))

    browser.ask(signs_in)
    assert browser.registers().status == 200


def test_a_session_that_is_read_again_stays_as_far_as_its_device_was_proved(shop: Shop) -> None:
    """A long connection that proved it goes on; one from before the registration does not."""
    browser = shop.browser()
    seen: list[object] = []

    def waits(session: Session) -> None:
        browser.registers()
        again(shop, session, browser)
        seen.append((looks(session), session.is_bound))
        shop.later(UNDER_WAY)
        again(shop, session, browser)
        seen.append(looks(session))

    browser.ask(lambda session: session.sign_in("ada"))
    browser.ask(waits)
    assert seen == [("ada", False), None]

    def goes_on(session: Session) -> None:
        shop.later(9000)
        again(shop, session, browser)
        seen.append((looks(session), session.is_bound))
        browser.cookies.clear()
        again(shop, session, browser)
        seen.append(looks(session))

    browser.ask(goes_on)
    assert seen[2:] == [("ada", True), None]
