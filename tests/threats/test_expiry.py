"""A copied cookie is refused after its deadlines, whatever the browser or the backend keeps."""

import pytest

from coatcheck import Session
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.hosts import Front
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import (
    both,
    everywhere,
    gets,
    held_open,
    holder,
    in_hand,
    is_new,
    server_side,
    sets,
    signed_in,
)


@everywhere
def test_a_copied_cookie_dies_when_it_is_not_used(front: Front, clock: Clock) -> None:
    """The deadline stands on the server, or under the seal; the browser is not asked."""
    browser = signed_in(front, idle=60)
    copied = browser.header
    clock.advance(59)
    assert browser.ask(gets("user")).json == "Ada"
    browser = front.browser(idle=60)
    browser.header = copied
    clock.advance(60)
    assert browser.ask(is_new).json is True


@everywhere
def test_a_copied_cookie_dies_at_the_end_of_its_lifetime(front: Front, clock: Clock) -> None:
    """However much it is used, refreshed and regenerated."""
    browser = signed_in(front, idle=60, lifetime=100)
    for handler in (gets("user"), Session.regenerate_id, sets(n=1)):
        clock.advance(33)
        browser.ask(handler)
    assert browser.ask(gets("user")).json == "Ada"
    clock.advance(1)
    assert browser.ask(is_new).json is True


@both
def test_an_expired_record_that_is_still_there_counts_as_absent(name: str, clock: Clock) -> None:
    """The deadline in the record decides; a backend that keeps it longer changes nothing."""
    frozen = Clock(clock.now)
    backend = MemoryBackend(max_records=10, clock=frozen)
    with front_of(name, Made(KeyedStorage(backend, clock=clock))) as front:
        browser = signed_in(front, idle=60)
        clock.advance(60)
        assert browser.ask(is_new).json is True
        assert len(backend) == 1
        assert browser.ask(sets(user="Eve")).all("set-cookie")
        assert len(backend) == 2


def uploads(session: Session) -> None:
    session["uploaded"] = True
    session.setdefault("cart", []).append("late")


@server_side
@pytest.mark.parametrize("seconds", [30, 70])
def test_an_upload_of_a_former_visitor_renews_nothing_after_a_sign_in(
    front: Front, clock: Clock, seconds: float
) -> None:
    """Somebody else signed in at the same browser, before or after the session had expired."""
    browser = front.browser(idle=60)
    browser.ask(sets(cart=["coat"]))
    browser.ask(lambda session: session.sign_in("ada"))
    old, other = browser.header, front.browser()
    waits = lambda _: clock.advance(seconds)  # noqa: E731
    signs_in = lambda session: session.sign_in("bob")  # noqa: E731
    answer = held_open(front, old, uploads, (other, waits), (browser, signs_in), idle=60)
    assert in_hand(answer) is None
    assert browser.ask(lambda session: session.signed_in and session.signed_in.user).json == "bob"
    assert browser.ask(dict).json == {}
    assert holder(front, old, idle=60).ask(dict).json == {}


@server_side
def test_nothing_renews_an_expired_session_but_a_request_that_read_it_in_time(
    front: Front, clock: Clock
) -> None:
    """Its record is there for the grace; who comes later finds nothing, and writes elsewhere."""
    browser = signed_in(front, idle=60)
    copied, value = browser.header, browser.value
    clock.advance(60)
    for handler in (uploads, Session.regenerate_id, lambda s: s.sign_in("eve"), Session.destroy):
        thief = holder(front, copied, idle=60)
        thief.ask(handler)
        assert thief.ask(gets("user")).json is None
        assert front.read(value).is_new
    browser = signed_in(front, idle=60)
    slow = held_open(front, browser.header, uploads, then=lambda: clock.advance(70), idle=60)
    assert in_hand(slow) == browser.header
    assert browser.ask(gets("user")).json == "Ada"
