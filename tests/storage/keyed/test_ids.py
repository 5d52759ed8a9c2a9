"""A new id, and what is left under the old one."""

import logging

import pytest

from coatcheck import Session
from coatcheck._session.ids import key_of
from coatcheck._session.moves import HUSH
from coatcheck._session.record import GRACE
from coatcheck.testing import Clock
from tests.storage.keyed.stores import Store, change


def test_a_new_id_takes_the_data_along_and_the_old_one_leads_nowhere(store: Store) -> None:
    """The old one reads as an empty session that keeps nothing and sends no cookie."""
    value = store.kept(user=1)
    session = store.read(value)
    session.regenerate_id()
    moved = store.save(session)
    assert moved == session.id != value
    assert store.look(moved) == {"user": 1}
    late = store.read(value)
    late["planted"] = True
    assert store.save(late) is None
    assert store.look(value) == {}
    assert store.look(moved) == {"user": 1}


def test_a_write_before_the_move_comes_along(store: Store) -> None:
    """What another request wrote while the new id was claimed is there; nothing is left over."""
    value = store.kept(user=1)
    session = store.read(value)
    session["mine"] = True
    session.regenerate_id()
    store.meanwhile(change(store, value, lambda other: other.set("theirs", True)))
    moved = store.save(session)
    assert store.look(moved) == {"user": 1, "mine": True, "theirs": True}
    assert len(store.backend.backend) == 2


def test_a_write_after_the_move_is_dropped(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It never reaches the new session, and the log says so without a key or a value."""
    caplog.set_level(logging.INFO)
    value = store.kept(user=1)
    slow = store.read(value)
    slow["hunter2"] = "hunter2"
    moved = change(store, value, lambda other: other.regenerate_id())()
    assert store.save(slow) is None
    assert store.look(moved) == {"user": 1}
    assert "dropped" in caplog.text
    assert "hunter2" not in caplog.text
    assert value not in caplog.text


def test_of_two_moves_the_second_keeps_what_it_wrote_itself(store: Store) -> None:
    """As when somebody clicks "sign in" twice; nothing of the old session comes along."""
    value = store.kept(secret=1)
    second = store.read(value)
    second["user"] = 2
    second.regenerate_id()

    def first(session: Session) -> None:
        session["user"] = 1
        session.regenerate_id()

    moved: list[str | None] = []
    store.meanwhile(lambda: moved.append(change(store, value, first)()))
    other = store.save(second)
    assert store.look(moved[0]) == {"secret": 1, "user": 1}
    assert store.look(other) == {"user": 2}


def test_a_move_that_wrote_nothing_of_its_own_is_dropped(store: Store) -> None:
    """There is nothing to keep under the second id."""
    value = store.kept(user=1)
    second = store.read(value)
    second.regenerate_id()
    store.meanwhile(change(store, value, lambda other: other.regenerate_id()))
    assert store.save(second) is None
    assert len(store.backend.backend) == 2


def test_who_comes_with_the_old_id_can_sign_in(store: Store) -> None:
    """A second click that comes after the first was done gets an id of its own."""
    value = store.kept(user=1)
    change(store, value, lambda other: other.regenerate_id())()
    late = store.read(value)
    late["user"] = 2
    late.regenerate_id()
    assert store.look(store.save(late)) == {"user": 2}


def test_a_marker_goes_after_its_time(store: Store, clock: Clock) -> None:
    """Then the old id is like any that was never issued: a write starts a session of its own."""
    value = store.kept(user=1)
    change(store, value, lambda other: other.regenerate_id())()
    clock.advance(GRACE)
    session = store.read(value)
    session["a"] = 1
    assert store.save(session) not in (None, value)


def test_a_new_id_is_claimed_and_never_overwritten(store: Store) -> None:
    """If somebody has it, another one is taken."""
    session = store.read(None)
    session["mine"] = True
    wanted = session.id
    other = key_of(wanted)
    store.backend.backend.swap(other, None, b"somebody's", 100)
    value = store.save(session)
    assert value != wanted
    assert store.look(value) == {"mine": True}
    found = store.backend.backend.get(other)
    assert found
    assert found.record == b"somebody's"
    assert session.id == value


def test_a_late_visitor_is_an_ordinary_new_one_after_a_minute(store: Store, clock: Clock) -> None:
    """Within it the browser is about to get the new cookie; then it is lost, and may begin anew."""
    value = store.kept(user=1)
    moved = change(store, value, lambda other: other.regenerate_id())()
    clock.advance(HUSH - 1)
    early = store.read(value)
    early["a"] = 1
    assert store.save(early) is None
    clock.advance(1)
    late = store.read(value)
    assert late.is_new
    late["a"] = 2
    own = store.save(late)
    assert own not in (None, value, moved)
    assert store.look(own) == {"a": 2}
    assert store.look(moved) == {"user": 1}


def test_a_sign_out_with_the_old_id_ends_the_session(store: Store) -> None:
    """Who holds an old id can sign out, early or late, however often the id changed."""
    value = store.kept(user=1)
    early, late = store.read(value), store.read(value)
    moved = change(store, value, lambda other: other.regenerate_id())()
    assert moved
    again = change(store, moved, lambda other: other.regenerate_id())()
    early.destroy()
    assert store.save(early) == ""
    assert store.plain.read(again).is_new
    assert store.backend.sessions == 0
    late["planted"] = True
    assert store.save(late) is None
    assert store.backend.sessions == 0


def test_a_sign_out_with_the_old_id_spares_another_user(store: Store) -> None:
    """The session under the new id is not the one that the old id led to; no cookie is removed."""
    value = store.kept(cart=1)
    early = store.read(value)
    moved = change(store, value, lambda other: other.sign_in("ada"))()
    early.destroy()
    assert store.save(early) is None
    late = store.read(value)
    late.destroy()
    assert store.save(late) is None
    signed_in = store.plain.read(moved).signed_in
    assert signed_in and signed_in.user == "ada"
