"""A session ends: under whatever id it is by now, and for good."""

import logging
from typing import Any

import pytest

from coatcheck import Session
from coatcheck._session import next_state
from coatcheck._session.draft import Draft, Lost
from coatcheck._session.events import log_losses
from coatcheck._session.ids import tag_of
from coatcheck._session.moves import carried_away
from coatcheck._session.plan import Get, Swap, There
from coatcheck._session.record import GRACE, Marker, Tombstone
from coatcheck._session.session import showing
from tests._session.scene import (
    Scene,
    confirms,
    destroys,
    leaves,
    regenerates,
    rotates,
    sets,
    signs_in,
)

IDLE = 10 * GRACE


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE)


def test_a_sign_out_leaves_a_tombstone(scene: Scene) -> None:
    """One swap; a delete would leave a gap in which a late request could claim the key."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session.destroy()
    scene.asked.clear()
    assert scene.save(session) == ""
    assert [type(call) for call in scene.asked] == [Swap]
    assert scene.at(id) == Tombstone(tag_of(scene.space.key(id)), scene.clock() + GRACE)
    assert scene.ttls[scene.space.key(id)] == GRACE


def test_a_sign_out_wins_over_a_write_that_was_faster(scene: Scene) -> None:
    """It ends what is there by then."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session.destroy()
    scene.change(id, sets(user=2))
    assert scene.save(session) == ""
    assert isinstance(scene.at(id), Tombstone)


@pytest.mark.parametrize("gone", ["ended", "lost"])
def test_a_sign_out_of_what_is_gone_removes_the_cookie(scene: Scene, gone: str) -> None:
    """Two tabs sign out at once, or the server dropped the record."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session.destroy()
    if gone == "ended":
        scene.change(id, destroys)
    else:
        scene.lose(id)
    assert scene.save(session) == ""


def test_a_sign_out_after_a_save_of_the_same_request(scene: Scene) -> None:
    """It looks what is there, because another request may have written since."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["user"] = 2
    scene.save(session)
    session.destroy()
    scene.asked.clear()
    assert scene.save(session) == ""
    assert [type(call) for call in scene.asked] == [Get, Swap]


@pytest.mark.parametrize("change", [rotates, regenerates, confirms], ids=["rotate", "new", "ok"])
@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_sign_out_with_an_old_id_ends_the_session(scene: Scene, change: Any, times: int) -> None:
    """Read before the change or after it, and however often the id was changed."""
    id = newest = scene.stored(signs_in("ada"))
    early = scene.read(id)
    for _ in range(times):
        newest = scene.change(newest, change) or ""
    ends = early if times == 3 else scene.read(id)
    ends.destroy()
    assert scene.save(ends) == ""
    assert isinstance(scene.at(newest), Tombstone)


@pytest.mark.parametrize("change", [signs_in("bob"), leaves], ids=["another user", "nobody"])
def test_a_sign_out_with_an_old_id_ends_nobody_elses_session(scene: Scene, change: Any) -> None:
    """No removal cookie either: the browser holds the other user's."""
    id = scene.stored(signs_in("ada"))
    early = scene.read(id)
    newest = scene.change(id, change) or ""
    for session in (early, scene.read(id)):
        session.destroy()
        assert scene.save(session) is None
    assert not scene.read(newest).is_new


def test_a_sign_out_of_what_only_the_cookie_has_removes_the_cookie(scene: Scene) -> None:
    """The marker names its own key: the session was carried away under the same id."""
    id = scene.stored(user=1)
    key = scene.space.key(id)
    there = There(id, key, scene.record(id), scene.records[key].version)
    marker = carried_away(key, scene.record(id).body, scene.clock())
    scene.ask(scene.space.mark(there, marker, scene.clock(), IDLE))
    assert scene.change(id, destroys) == ""
    assert scene.marker(id) == marker


def test_a_sign_out_that_meets_a_move_follows_it(scene: Scene) -> None:
    """The move claimed its id before; the sign-out finds the marker, and ends what it names."""
    id = scene.stored(signs_in("ada"))
    moving, ending = scene.read(id), scene.read(id)
    moving.confirm()
    ending.destroy()
    move, end = scene.saving(moving).step(), scene.saving(ending)
    newest = move.finish() or ""
    assert end.finish() == ""
    assert isinstance(scene.at(newest), Tombstone)
    assert isinstance(scene.at(id), Marker)


def test_a_move_that_meets_a_sign_out_is_withdrawn(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """No id leads to the session any more."""
    id = scene.stored(signs_in("ada"))
    moving, ending = scene.read(id), scene.read(id)
    moving.regenerate_id()
    ending.destroy()
    move = scene.saving(moving).step()
    assert scene.save(ending) == ""
    assert move.finish() is None
    assert [type(scene.at(id)), len(scene.records)] == [Tombstone, 1]
    assert "another request ended it" in caplog.text


def test_a_sign_out_with_an_expired_id_ends_the_session(scene: Scene) -> None:
    """A request that read it in time could still renew it."""
    id = scene.stored(user=1)
    upload = scene.read(id)
    upload["user"] = 2
    scene.clock.advance(IDLE)
    assert scene.change(id, destroys) == ""
    assert scene.save(upload) is None
    assert isinstance(scene.at(id), Tombstone)


def test_a_sign_out_of_nobody_asks_nobody(scene: Scene) -> None:
    """A visitor without a session, or whose session was ended by this request already."""
    for session in (scene.new(), showing(Draft(origin=Lost("it was emptied")))):
        session.destroy()
        assert scene.save(session) is None
    assert scene.asked == []


def test_a_session_is_ended_once(scene: Scene) -> None:
    """A second save of the request that signed out asks nobody."""
    session = scene.read(scene.stored(user=1))
    session.destroy()
    scene.save(session)
    scene.asked.clear()
    assert scene.save(session) is None
    assert scene.asked == []


def test_an_ended_id_is_not_claimed_by_a_late_request(scene: Scene) -> None:
    """While the tombstone stays, and afterwards: an id that a client brings is never adopted."""
    id = scene.stored(user=1)
    scene.change(id, destroys)
    for _ in range(2):
        assert scene.change(id, sets(user=2)) not in (id, None)
        scene.clock.advance(GRACE)


def test_what_is_dropped_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """If there was anything; and the request keeps nothing more."""
    session = Session({"user": 1})
    session["user"] = 2
    next_state.discard(session._draft, "a reason")
    next_state.discard(session._draft, "another reason")
    log_losses(session._draft)
    (record,) = caplog.records
    assert (record.levelno, session.modified) == (logging.WARNING, False)
    assert record.getMessage().endswith(": a reason")
