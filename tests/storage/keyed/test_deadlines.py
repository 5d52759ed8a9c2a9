"""Deadlines: they are in the record, and the storage's clock judges them."""

from collections.abc import Callable

import pytest

from coatcheck import Session
from coatcheck._session.ids import key_of
from coatcheck._session.record import GRACE, Terms, owner_of
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.storage.keyed.stores import Store


def test_a_session_in_use_is_renewed_after_a_share_of_its_time(store: Store, clock: Clock) -> None:
    """Not before: most requests write nothing."""
    terms = Terms(owner_of("a"), idle=100, refresh=0.1)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    assert value
    clock.advance(9)
    session = store.read(value, terms)
    session["a"] = 2
    assert store.save(session) is None  # written, and not renewed
    clock.advance(1)
    session = store.read(value, terms)
    assert store.save(session) == value
    assert session.expires_at
    assert session.expires_at.timestamp() == clock() + 100


def test_an_unused_session_dies(store: Store, clock: Clock) -> None:
    """At its deadline, and not a moment later, also if the record is still there."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    assert value
    clock.advance(99)
    assert store.read(value)["a"] == 1
    clock.advance(1)
    assert store.backend.backend.get(key_of(value))
    assert store.read(value).is_new


def test_no_session_outlives_its_lifetime(store: Store, clock: Clock) -> None:
    """Neither use nor a new id moves the absolute deadline."""
    terms = Terms(owner_of("a"), idle=100, lifetime=250)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    for _ in range(4):
        clock.advance(60)
        session = store.read(value, terms)
        session.regenerate_id()
        value = store.save(session)
    assert store.read(value, terms)["a"] == 1
    clock.advance(10)
    assert store.read(value, terms).is_new


def test_a_save_after_the_lifetime_keeps_nothing(store: Store, clock: Clock) -> None:
    """A request that began before the end and is saved after it."""
    terms = Terms(owner_of("a"), idle=100, lifetime=50)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    clock.advance(49)
    session = store.read(value, terms)
    clock.advance(1)
    session["a"] = 2
    assert store.save(session) is None


def test_terms_that_became_stricter_hold_at_once(store: Store, clock: Clock) -> None:
    """A shorter lifetime ends older sessions, a shorter idle time is written with the next use."""
    value = store.kept(a=1)
    clock.advance(100)
    assert store.read(value, Terms(lifetime=100)).is_new
    session = store.read(value, Terms(idle=50))
    assert store.save(session) == value
    assert session.expires_at
    assert session.expires_at.timestamp() == clock() + 50


@pytest.mark.parametrize("races", [False, True])
def test_a_request_that_read_a_session_in_time_may_renew_it(
    store: Store, clock: Clock, *, races: bool
) -> None:
    """Its record stays for the grace; the time of the read counts, also after a lost race."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    assert value
    clock.advance(50)
    session, other = store.read(value, terms), store.read(value, terms)
    clock.advance(GRACE + 50 - 1)
    session["late"] = True
    if races:
        other["faster"] = True
        store.plain.save(other)
    assert store.save(session) == (None if races else value)
    assert store.look(value).keys() == {"a", "late", *(["faster"] if races else [])}


def sets(session: Session) -> None:
    session["late"] = True


HELD_OPEN: list[Callable[[Session], object]] = [sets, Session.regenerate_id, Session.confirm]


@pytest.mark.parametrize("changes", HELD_OPEN)
def test_a_request_that_is_held_open_longer_than_the_grace_renews_nothing(
    store: Store,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    changes: Callable[[Session], object],
) -> None:
    """Also where a backend keeps the record for longer; the log tells why."""
    store.backend.backend = MemoryBackend(max_records=100, clock=Clock())
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session.sign_in("ada")
    value = store.save(session)
    assert value
    session = store.read(value, terms)
    clock.advance(100 + GRACE)
    changes(session)
    assert store.save(session) is None
    assert store.backend.backend.get(key_of(value))
    assert "took longer than 15 minutes" in caplog.text


def test_a_request_that_is_held_open_goes_on_in_a_session_that_others_use(
    store: Store, clock: Clock
) -> None:
    """What it read is long over; what they left is not."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    session = store.read(value, terms)
    for _ in range(20):
        clock.advance(90)
        store.save(store.read(value, terms))
    session["late"] = True
    store.save(session)
    assert store.look(value) == {"a": 1, "late": True}


def test_a_sign_in_that_took_too_long_begins_anew(store: Store, clock: Clock) -> None:
    """With nothing of the session that is over."""
    store.backend.backend = MemoryBackend(max_records=100, clock=Clock())
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["cart"] = ["coat"]
    value = store.save(session)
    session = store.read(value, terms)
    clock.advance(100 + GRACE)
    session.sign_in("ada")
    own = store.save(session)
    assert own not in (None, "", value)
    assert store.look(own) == {}


def test_a_request_that_comes_after_the_deadline_renews_nothing(store: Store, clock: Clock) -> None:
    """It has a session of its own, and the one that expired stays as it is."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    assert value
    clock.advance(100)
    late = store.read(value, terms)
    assert late.is_new
    late["b"] = 1
    assert store.save(late) not in (None, value)
    assert store.plain.read(value).is_new


def test_a_destroy_after_the_deadline_ends_what_was_read_in_time(
    store: Store, clock: Clock
) -> None:
    """A sign-out is never too late."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["a"] = 1
    value = store.save(session)
    session = store.read(value, terms)
    clock.advance(101)
    session.destroy()
    assert store.save(session) == ""
    assert store.backend.sessions == 0


def test_a_late_sign_in_does_not_join_a_session_that_expired(store: Store, clock: Clock) -> None:
    """The marker leads to it still; what is over stays over, and the sign-in begins anew."""
    terms = Terms(owner_of("a"), idle=100)
    session = store.read(None, terms)
    session["cart"] = ["coat"]
    value = store.save(session)
    session = store.read(value, terms)
    session.sign_in("ada")
    joined = store.save(session)
    clock.advance(100)
    assert store.plain.read(joined).is_new
    late = store.read(value, terms)
    late.sign_in("ada")
    own = store.save(late)
    assert own not in (None, value, joined)
    assert store.look(own) == {}
    assert store.plain.read(joined).is_new
