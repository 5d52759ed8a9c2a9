"""Attacks on ids: fixation, ids of strange forms, ids that are taken."""

import pytest

from coatcheck import Session
from coatcheck._session.ids import new_id
from coatcheck._session.record import GRACE
from coatcheck.storage import KeyedStorage, Refused
from coatcheck.testing import Clock
from tests.hosts import Front, Handler
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import Spy, both, does, holding, is_new, server_side, sets, signed_in


@server_side
def test_an_id_that_was_never_issued_is_not_adopted(front: Front) -> None:
    """Not even one whose seal holds: a new session gets an id of ours, and theirs stays nothing."""
    forged = new_id()
    browser = front.browser()
    browser.header = holding(forged)
    assert browser.ask(is_new).all("set-cookie") == []
    answer = browser.ask(sets(user="Ada"))
    assert browser.value
    assert browser.value != forged
    assert forged not in answer.all("set-cookie")[0]
    assert front.read(forged).is_new


STRANGE = [
    "a",
    "A" * 39,
    "A" * 41,
    "A" * 3000,
    "../" * 13 + "A",
    "/" + "A" * 39,
    "\\" + "A" * 39,
    "A" * 39 + "\0",
    "A" * 39 + "\n",
    "A" * 40 + "\n",
    "%2e%2e" + "A" * 34,
    "C:" + "A" * 38,
    "A" * 39 + "é",
    "A" * 39 + "=",
]


@both
@pytest.mark.parametrize("id", STRANGE)
def test_a_strange_id_reaches_no_backend(name: str, spy: Spy, id: str) -> None:
    """What does not look like an id of ours is asked for nowhere."""
    with front_of(name, Made(KeyedStorage(spy))) as front:
        browser = front.browser()
        browser.header = holding(id)
        assert browser.ask(is_new).json is True
    assert spy.calls == []


class Crowded(Spy):
    """A backend where somebody has every key that is claimed first."""

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if version is None and not any(call[0] == "swap" for call in self.calls):
            super().swap(key, None, b"somebody else's", ttl)
        return super().swap(key, version, record, ttl)


@both
@pytest.mark.parametrize("handler", [sets(n=1), Session.regenerate_id])
def test_a_new_id_is_claimed_and_never_overwrites(
    name: str, clock: Clock, handler: Handler
) -> None:
    """A record under the id that was drawn stays as it is, and another id is drawn."""
    backend = Crowded(clock)
    with front_of(name, Made(KeyedStorage(backend, clock=clock))) as front:
        browser = front.browser()
        if handler is Session.regenerate_id:
            backend.calls.append(("swap",))
            browser.ask(sets(n=1))
            backend.calls.clear()
        browser.ask(handler)
        assert front.read(browser.value)["n"] == 1
    taken = next(call[1] for call in backend.calls if call[0] == "swap")
    assert isinstance(taken, str)
    stored = backend.get(taken)
    assert stored
    assert stored.record == b"somebody else's"


@server_side
def test_the_id_from_before_a_sign_in_is_dead(front: Front) -> None:
    """Who planted or copied it has an empty session, and what he writes there is kept nowhere."""
    victim = front.browser()
    victim.ask(sets(cart=["coat"]))
    thief = front.browser()
    thief.header = victim.header
    victim.ask(does(sets(user="Ada"), Session.regenerate_id))
    assert thief.ask(dict).json == {}
    assert thief.ask(sets(user="Eve")).all("set-cookie") == []
    assert victim.ask(dict).json == {"cart": ["coat"], "user": "Ada"}
    assert thief.ask(dict).json == {}


@server_side
def test_a_new_id_and_the_end_in_one_request_leave_nothing(front: Front) -> None:
    """Neither the old id nor the new one leads anywhere."""
    browser = signed_in(front)
    old = browser.value
    seen: list[str] = []

    def leaves(session: Session) -> None:
        session.regenerate_id()
        seen.append(session.id)
        session.destroy()

    assert "Max-Age=0" in browser.ask(leaves).all("set-cookie")[0]
    assert front.read(old).is_new
    assert front.read(seen[0]).is_new


@both
def test_nothing_at_all_is_left_in_the_backend(name: str, spy: Spy, clock: Clock) -> None:
    """After a new id and the end in one request there is a tombstone alone, and that goes, too."""
    with front_of(name, Made(KeyedStorage(spy, clock=clock))) as front:
        signed_in(front).ask(does(Session.regenerate_id, Session.destroy))
    assert len(spy) == 1
    (key,) = {str(call[1]) for call in spy.calls}
    left = spy.get(key)
    assert left and len(left.record) < 30
    clock.advance(GRACE)
    assert spy.get(key) is None
