"""The end of a session, and saves after the first."""

from collections.abc import Callable

import pytest

from coatcheck import Session
from coatcheck._session.ids import key_of
from coatcheck._session.record import GRACE
from coatcheck.testing import Clock
from tests.storage.keyed.stores import Store, change


def test_regenerate_then_destroy_leaves_nothing(store: Store) -> None:
    """In one request: neither the old record nor a new one."""
    value = store.kept(user=1)
    session = store.read(value)
    session.regenerate_id()
    session.destroy()
    assert store.save(session) == ""
    assert store.backend.sessions == 0


def test_signing_nobody_out_asks_nobody(store: Store) -> None:
    """A new session that is destroyed was never kept."""
    session = store.read(None)
    session["a"] = 1
    session.destroy()
    assert store.save(session) is None
    assert store.backend.calls == []


def test_a_session_left_empty_by_clear_is_removed(store: Store) -> None:
    """Many applications sign out so. One that is filled again stays."""
    value = store.kept(user=1)
    session = store.read(value)
    session.clear()
    session["a"] = 1
    assert store.save(session) is None
    assert store.look(value) == {"a": 1}
    session = store.read(value)
    session.clear()
    assert store.save(session) == ""
    assert store.backend.sessions == 0


EMPTYING: dict[str, Callable[[Session], object]] = {
    "del": lambda session: session.__delitem__("a"),
    "pop": lambda session: session.pop("a"),
    "unset": lambda session: session.unset("a"),
    "popitem": lambda session: session.popitem(),
}


@pytest.mark.parametrize("empty", EMPTYING.values(), ids=EMPTYING)
def test_a_session_emptied_key_by_key_is_removed(
    store: Store, empty: Callable[[Session], object]
) -> None:
    """As by clear(). One that holds another key, or a flash that was not read, stays."""
    value = store.kept(b=1, a=1)
    session = store.read(value)
    empty(session)
    session.flash("notice", "Saved.")
    assert store.save(session) is None
    session = store.read(value)
    del session["b"]
    assert store.save(session) is None
    assert not store.plain.read(value).is_new
    value = store.kept(a=1)
    session = store.read(value)
    empty(session)
    assert store.save(session) == ""
    assert store.plain.read(value).is_new


def test_a_session_whose_last_flash_was_read_stays(store: Store) -> None:
    """To read a flash is not to take something out: the session and its cookie live on."""
    session = store.read(None)
    session.flash("notice", "Saved.")
    value = store.save(session)
    session = store.read(value)
    assert session["notice"] == "Saved."
    assert store.save(session) is None
    assert not store.plain.read(value).is_new


def test_a_session_emptied_while_another_request_wrote_stays(store: Store) -> None:
    """What that one wrote is kept: nobody took it out."""
    value = store.kept(a=1)
    session = store.read(value)
    del session["a"]
    store.meanwhile(change(store, value, lambda other: other.set("theirs", True)))
    assert store.save(session) is None
    assert store.look(value) == {"theirs": True}


def test_an_ended_session_leaves_a_tombstone_for_the_grace(store: Store, clock: Clock) -> None:
    """So nothing claims its key while a late request may be under way."""
    value = store.kept(user=1)
    change(store, value, lambda other: other.destroy())()
    clock.advance(GRACE - 1)
    assert store.plain.read(value).is_new
    assert len(store.backend.backend) == 1
    clock.advance(1)
    assert store.backend.backend.get(key_of(value)) is None


def test_a_second_save_builds_on_the_first(store: Store) -> None:
    """A late change looks first, since this request does not know what is there by now."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    store.save(session)
    change(store, value, lambda other: other.set("theirs", True))()
    session["late"] = True
    store.backend.calls.clear()
    assert store.save(session) is None
    assert store.backend.calls == ["get", "swap"]
    assert store.look(value) == {"a": 2, "late": True, "theirs": True}


@pytest.mark.parametrize("moves", [True, False])
def test_a_second_save_of_what_is_gone_brings_nothing_back(store: Store, moves: bool) -> None:
    """Also not under a new id."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    store.save(session)
    change(store, value, lambda other: other.destroy())()
    session["late"] = True
    if moves:
        session.regenerate_id()
    assert store.save(session) is None
    assert store.backend.sessions == 0
    session["later"] = True
    assert store.save(session) is None


def test_what_is_done_after_the_end_is_dropped(store: Store) -> None:
    """A session that was cleared and removed is not kept again by the same request."""
    value = store.kept(a=1)
    session = store.read(value)
    session.clear()
    assert store.save(session) == ""
    session["late"] = True
    assert store.save(session) is None
    assert store.backend.sessions == 0
