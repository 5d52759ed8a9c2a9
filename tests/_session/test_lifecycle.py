"""
How a session is read and saved: the plans carried out call by call over a dict.

New ids are in `test_lifecycle_new_ids`, the end of sessions in `test_lifecycle_ends`, and what
cookies carry in `test_lifecycle_cookies`.
"""

import logging
from typing import Any

import msgspec
import pytest

from coatcheck import BackendError, Session
from coatcheck._session import lifecycle
from coatcheck._session.draft import Draft, Unread, Visitor
from coatcheck._session.ids import new_id
from coatcheck._session.lifecycle import FOLLOWED
from coatcheck._session.record import GRACE, owner_of
from coatcheck._session.session import showing
from tests._session.scene import (
    Scene,
    destroys,
    regenerates,
    rotates,
    sets,
)

IDLE = 100.0


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# Reading


def test_a_session_is_read_as_it_was_saved(scene: Scene) -> None:
    """Its values, and the flashes that it left."""
    id = scene.stored(lambda session: session.flash("notice", "Hi"), user=1)
    session = scene.read(id)
    assert (session["user"], session["notice"], session.issued_id) == (1, "Hi", id)


def test_an_id_that_leads_nowhere_reads_as_a_new_session(scene: Scene) -> None:
    """It is not adopted: the session that is saved has another one."""
    unknown = new_id()
    session = scene.read(unknown)
    session["user"] = 1
    assert session.is_new
    assert scene.save(session) not in (unknown, None)


def test_an_expired_session_reads_as_none(scene: Scene) -> None:
    """Its record is still there, for requests that read it in time."""
    id = scene.stored(user=1)
    scene.clock.advance(IDLE - 1)
    assert not scene.read(id).is_new
    scene.clock.advance(1)
    assert scene.read(id).is_new
    assert scene.at(id)


@pytest.mark.parametrize("change", [destroys, regenerates], ids=["tombstone", "marker"])
def test_a_tombstone_and_a_marker_read_as_no_session(scene: Scene, change: Any) -> None:
    """What was ended or moved is not there for a later request; nor afterwards."""
    id = scene.stored(user=1)
    scene.change(id, change)
    for _ in range(2):
        session = scene.read(id)
        assert (session.is_new, dict(session)) == (True, {})
        scene.clock.advance(GRACE)


def test_a_damaged_record_reads_as_no_session(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning, and without an error for the visitor."""
    id = scene.stored(user=1)
    scene.put(scene.space.key(id), b"\x03damaged")
    assert scene.read(id).is_new
    assert len(warnings(caplog)) == 1


def test_the_record_of_another_session_is_never_read(scene: Scene) -> None:
    """A server that mixes up answers is an error."""
    mine, theirs = scene.stored(user=1), scene.stored(user=2)
    scene.records[scene.space.key(mine)] = scene.records[scene.space.key(theirs)]
    with pytest.raises(BackendError, match="another key"):
        scene.read(mine)


@pytest.mark.parametrize("times", [1, FOLLOWED])
def test_rotations_are_followed(scene: Scene, times: int) -> None:
    """A request with an old id works on the session, and its answer carries the new cookie."""
    first = newest = scene.stored(user=1)
    for _ in range(times):
        newest = scene.change(newest, rotates) or ""
    session = scene.read(first)
    assert (session["user"], session.issued_id) == (1, newest)
    assert lifecycle.is_pending(session)
    assert scene.save(session) == newest


def test_more_rotations_than_a_request_outlasts_are_not_followed(scene: Scene) -> None:
    """The chain is bounded, so what a client sends costs a bounded number of questions."""
    first = newest = scene.stored(user=1)
    for _ in range(FOLLOWED + 1):
        newest = scene.change(newest, rotates) or ""
    scene.asked.clear()
    assert scene.read(first).is_new
    assert len(scene.asked) == FOLLOWED + 1


def test_a_rotation_is_followed_for_the_grace() -> None:
    """After that, the old id is worth nothing, also if the backend still keeps its marker."""
    scene = Scene(idle=2 * GRACE)
    id = scene.stored(user=1)
    scene.change(id, rotates)
    scene.clock.advance(GRACE - 1)
    assert not scene.read(id).is_new
    scene.clock.advance(1)
    assert scene.read(id).is_new


# The middleware's terms


def test_a_session_of_another_cookie_is_none() -> None:
    """Two cookies over one storage never see each other's sessions."""
    scene, other = Scene(owner=owner_of("a")), Scene(owner=owner_of("b"))
    id = scene.stored(user=1)
    other.records = scene.records
    assert other.read(id).is_new
    assert not scene.read(id).is_new


def test_a_session_without_an_owner_belongs_to_the_first_cookie_that_writes() -> None:
    """A storage that was filled without a cookie's name keeps its sessions."""
    nobody, scene, other = Scene(), Scene(owner=owner_of("a")), Scene(owner=owner_of("b"))
    id = nobody.stored(user=1)
    scene.records = other.records = nobody.records
    scene.change(id, sets(user=2))
    assert scene.read(id)["user"] == 2
    assert other.read(id).is_new


def test_a_lifetime_ends_a_session_that_is_in_use() -> None:
    """It counts from when the session was first saved, and no write moves it."""
    scene = Scene(idle=IDLE, lifetime=2 * IDLE)
    id = scene.stored(user=1)
    for _ in range(3):
        scene.clock.advance(IDLE / 2)
        assert scene.change(id, sets(user=2)) in (None, id)
    scene.clock.advance(IDLE / 2)
    assert scene.read(id).is_new


def test_a_shorter_lifetime_holds_for_sessions_that_are_there() -> None:
    """The option may be set while sessions live: what is older is no session."""
    scene = Scene(idle=IDLE)
    id = scene.stored(user=1)
    scene.terms = msgspec.structs.replace(scene.terms, lifetime=10.0)
    assert not scene.read(id).is_new
    scene.clock.advance(10)
    assert scene.read(id).is_new


def test_a_visitor_who_only_looks_has_no_draft(scene: Scene) -> None:
    """One draft serves all of them."""
    visitor = Visitor()
    assert lifecycle.admit(Session(), scene.terms, visitor=visitor)._draft is visitor


def test_a_cookie_may_lead_to_the_session_by_now_or_not(scene: Scene) -> None:
    """Another request may have ended it, or given it a newer id, while an answer was slow."""
    session = scene.new()
    session["user"] = 1
    assert not lifecycle.is_current(session, scene.new())
    id = scene.save(session) or ""
    scene.change(id, sets(n=1))
    assert lifecycle.is_current(session, scene.read(id))
    scene.change(id, rotates)
    assert not lifecycle.is_current(session, scene.read(id))
    scene.change(id, destroys)
    assert not lifecycle.is_current(session, scene.read(id))


# Is there anything to do?


def test_a_session_that_was_only_read_is_not_saved(scene: Scene) -> None:
    """Neither is a new one that holds nothing."""
    found = scene.read(scene.stored(cart=[1]))
    assert (found["cart"], found.get("nothing")) == ([1], None)
    for session in (found, scene.new(), Session()):
        assert not lifecycle.is_pending(session)
        assert not lifecycle.is_changed(session)


def test_a_changed_session_is_saved(scene: Scene) -> None:
    """A value, a change in place, a flash that was read, a new id."""
    id = scene.stored(lambda session: session.flash("notice", "Hi"), cart=[1])
    for change in (
        sets(user=1),
        lambda session: session["cart"].append(2),
        lambda session: session["notice"],
        regenerates,
        destroys,
    ):
        session = scene.read(id)
        change(session)
        assert lifecycle.is_pending(session)
        assert lifecycle.is_changed(session)


def test_a_refresh_is_pending_and_no_change(scene: Scene) -> None:
    """It may wait for the next request, where a change may not."""
    id = scene.stored(user=1)
    scene.clock.advance(IDLE / 5)
    session = scene.read(id)
    assert lifecycle.is_pending(session)
    assert not lifecycle.is_changed(session)


def test_to_destroy_what_is_not_there_is_nothing(scene: Scene) -> None:
    """No server is asked; a session whose id was changed may be there."""
    session, moved = scene.new(), scene.read(scene.stored(user=1))
    session.destroy()
    assert not lifecycle.is_changed(session)
    id = scene.stored(user=1)
    scene.change(id, regenerates)
    moved = scene.read(id)
    moved.destroy()
    assert lifecycle.is_changed(moved)


def test_a_session_that_could_not_be_read_is_never_saved(scene: Scene) -> None:
    """What the handler does to it goes nowhere."""
    session = showing(Draft(origin=Unread(BackendError("the server", "read"))))
    session["user"] = 1
    assert not lifecycle.is_pending(session)
    assert scene.save(session) is None
    assert scene.asked == []


def test_a_backend_may_keep_something_under_the_id_that_a_request_brought(scene: Scene) -> None:
    """A session, what is left of one, or a marker; not where no id led to anything."""
    found, moved, lapsed = scene.stored(a=1), scene.stored(a=1), scene.stored(a=1)
    scene.change(moved, regenerates)
    assert lifecycle.is_on_server(scene.read(found))
    assert lifecycle.is_on_server(scene.read(moved))
    assert not lifecycle.is_on_server(scene.read(new_id()))
    scene.clock.advance(IDLE)
    assert lifecycle.is_on_server(scene.read(lapsed))


@pytest.mark.parametrize(
    ("age", "change", "due"),
    [
        (299, sets(user=2), False),
        (300, sets(user=2), True),
        (300, lambda session: session.get("user"), True),
        (300, lambda session: setattr(session, "_accessed", False), False),
        (300, regenerates, False),
        (300, destroys, False),
    ],
    ids=["young", "write", "look", "not in use", "new id", "destroy"],
)
def test_the_id_of_a_session_in_use_is_rotated(age: float, change: Any, *, due: bool) -> None:
    """Once it is so old, and where the request does nothing else with it."""
    scene = Scene(idle=10_000.0, rotate=300.0)
    id = scene.stored(user=1)
    scene.clock.advance(age)
    session = scene.read(id)
    change(session)
    assert lifecycle.rotates(session) is due
    assert lifecycle.is_pending(session) is (due or lifecycle.is_changed(session))


def test_nothing_is_rotated_without_the_option(scene: Scene) -> None:
    """Nor a session that was not stored."""
    session = scene.read(scene.stored(user=1))
    session["user"] = 2
    assert not lifecycle.rotates(session)
    assert not lifecycle.rotates(Scene(rotate=300.0).new())


# Saving
