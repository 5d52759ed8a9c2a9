"""
A session gets another id: what races decide, step by step.

`test_every_order` runs the table "Changing the id" in every order; here is why, one rule at a time.
"""

import logging
from typing import Any

import pytest

from coatcheck import Session
from coatcheck._session import lifecycle
from coatcheck._session.draft import Lapsed, Moved
from coatcheck._session.moves import HUSH
from coatcheck._session.plan import Answer, Call, Delete, Get, Swap
from coatcheck._session.record import GRACE, Marker, Record, Tombstone
from tests._session.scene import (
    Change,
    Scene,
    acts_as,
    confirms,
    destroys,
    leaves,
    regenerates,
    rotates,
    sets,
    signs_in,
    stops_acting,
)

IDLE = 10 * GRACE


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def user_of(session: Session) -> str | None:
    return session.signed_in.user if session.signed_in else None


def race(
    scene: Scene, id: str, fast: Change, slow: Change
) -> tuple[str | None, str | None, Session]:
    """Let two requests read one session; return both cookies, and what the slow one leads to."""
    behind = scene.read(id)
    behind["slow"] = 1
    slow(behind)
    first = scene.change(id, fast)
    second = scene.save(behind)
    return first, second, scene.read(second or "")


# The move itself


def test_a_new_id_is_claimed_before_the_old_one_is_marked(scene: Scene) -> None:
    """A crash in between leaves a record that no cookie names, and the session as it was."""
    id = scene.stored(cart=[1])
    session = scene.read(id)
    session.regenerate_id()
    saving = scene.saving(session)
    assert isinstance(saving.call, Swap) and saving.call.version is None
    saving.step()
    assert isinstance(scene.at(id), Record)
    assert saving.finish() == session.issued_id != id
    assert isinstance(scene.at(id), Marker)


def test_the_age_of_a_session_stays_with_a_new_id(scene: Scene) -> None:
    """Its id is younger; a lifetime counts on. A new deadline comes with the new cookie."""
    id = scene.stored(cart=[1])
    before, made = scene.record(id), scene.clock()
    scene.clock.advance(60)
    after = scene.record(scene.change(id, regenerates) or "")
    assert (after.created, after.issued) == (made, made + 60)
    assert after.expires == before.expires + 60
    assert after.body.values == before.body.values


def test_the_id_that_a_handler_was_shown_is_the_one_that_is_claimed(scene: Scene) -> None:
    """An application may print it, for a client that keeps no cookies."""
    session = scene.read(scene.stored(user=1))
    session.regenerate_id()
    assert session.id == scene.save(session)


def test_a_move_that_lost_to_a_write_is_made_anew(scene: Scene) -> None:
    """The id that was claimed is withdrawn, and never claimed again; both changes are kept."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    slow["a"] = 1
    slow.regenerate_id()
    shown = slow.id
    saving = scene.saving(slow).step()
    scene.change(id, sets(b=2))
    assert isinstance(saving.step().call, Delete)
    moved = saving.finish() or ""
    assert moved != shown
    assert scene.at(shown) is None
    assert dict(scene.read(moved)) == {"user": 1, "a": 1, "b": 2}


def test_a_moved_session_can_be_saved_again(scene: Scene) -> None:
    """Under the new id, by the same request."""
    session = scene.read(scene.stored(user=1))
    session.regenerate_id()
    id = scene.save(session) or ""
    session["late"] = 1
    assert scene.save(session) is None
    assert dict(scene.read(id)) == {"user": 1, "late": 1}


# A rotation: every request goes on under the new id


def test_a_request_that_read_the_old_id_goes_on_under_the_new_one(scene: Scene) -> None:
    """Its change is replayed there, and its answer carries that cookie."""
    id = scene.stored(user=1)
    first, second, found = race(scene, id, rotates, sets(n=1))
    assert first == second != id
    assert dict(found) == {"user": 1, "slow": 1, "n": 1}


def test_two_rotations_at_once_are_one(scene: Scene) -> None:
    """The slower request goes on under the id that the faster one made."""
    id = scene.stored(user=1)
    first, second, found = race(scene, id, rotates, rotates)
    assert first == second
    assert dict(found) == {"user": 1, "slow": 1}


def test_a_rotation_that_loses_halfway_withdraws_its_id(scene: Scene) -> None:
    """Its claim is removed, and its request goes on under the other one."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    slow["slow"] = 1
    rotates(slow)
    saving = scene.saving(slow).step()
    first = scene.change(id, rotates)
    assert saving.finish() == first
    assert len(scene.records) == 2


def test_a_slow_answer_puts_no_older_cookie_over_a_newer_one(scene: Scene) -> None:
    """A request that has nothing to write looks whether the cookie still leads to a session."""
    id = scene.stored(user=1)
    newer = scene.change(id, rotates) or ""
    still, over = scene.read(id), scene.read(id)
    assert lifecycle.is_pending(still)
    assert scene.save(still) == newer
    scene.change(newer, destroys)
    assert scene.save(over) is None


def test_a_rotation_that_finds_the_session_ended_is_quiet(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that changed nothing loses nothing."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    rotates(slow)
    scene.change(id, destroys)
    assert scene.save(slow) is None
    assert warnings(caplog) == []


# A new id or a confirmation: the others are dropped


@pytest.mark.parametrize("slow", [sets(n=1), regenerates, rotates], ids=["set", "new", "rotate"])
@pytest.mark.parametrize("fast", [regenerates, confirms, destroys], ids=["new", "confirm", "out"])
def test_a_request_that_read_the_old_id_is_dropped(
    scene: Scene, caplog: pytest.LogCaptureFixture, fast: Any, slow: Any
) -> None:
    """It sends no cookie, and a warning says what was lost."""
    id = scene.stored(signs_in("ada"), cart=[1])
    first, second, _ = race(scene, id, fast, slow)
    assert second is None
    assert first is not None
    assert len(warnings(caplog)) == 1
    assert scene.read(id).is_new


def test_a_second_new_id_of_a_visitor_makes_a_session_of_its_own(scene: Scene) -> None:
    """Two clicks on "sign in", where the application calls regenerate_id(): neither is lost."""
    id = scene.stored(cart=[1])
    first, second, found = race(scene, id, regenerates, regenerates)
    assert None not in (first, second)
    assert first != second
    assert dict(found) == {"slow": 1}


# A sign-in: the same user joins


def test_two_sign_ins_of_one_user_make_one_session(scene: Scene) -> None:
    """A double click: the slower one goes on under the id of the faster one, and its handle."""
    id = scene.stored(cart=[1])
    first, second, found = race(scene, id, signs_in("ada"), signs_in("ada"))
    assert first == second
    assert (user_of(found), dict(found)) == ("ada", {"cart": [1], "slow": 1})


def test_a_sign_in_joins_a_confirm_and_the_other_way_round(scene: Scene) -> None:
    """Both say that this user is there."""
    for fast, slow in ((confirms, signs_in("ada")), (signs_in("ada"), confirms)):
        first, second, _ = race(scene, scene.stored(signs_in("ada")), fast, slow)
        assert first == second


def test_sign_ins_of_two_users_make_two_sessions(scene: Scene) -> None:
    """Neither sees what the other wrote; the visitor's cart went along with the faster one."""
    id = scene.stored(cart=[1])
    first, _, found = race(scene, id, signs_in("ada"), signs_in("bob"))
    assert user_of(scene.read(first or "")) == "ada"
    assert (user_of(found), dict(found)) == ("bob", {"slow": 1})


def test_what_a_request_wrote_under_keys_of_its_base_does_not_return(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """It may hold parts of what another request moved away; a warning says so."""
    id = scene.stored(lambda session: session.flash("notice", "Hi"), cart=[1])
    slow = scene.read(id)
    slow["cart"].append(2)
    slow["new"] = 1
    slow.flash("notice", "Again")
    slow.sign_in("bob")
    scene.change(id, signs_in("ada"))
    found = scene.read(scene.save(slow) or "")
    assert (dict(found), found.get("notice")) == ({"new": 1}, None)
    assert "a session of its own" in warnings(caplog)[-1]


def test_a_sign_in_after_a_sign_out_gets_a_session_of_its_own(scene: Scene) -> None:
    """It found a tombstone: nothing of the ended session returns."""
    id = scene.stored(signs_in("ada"), cart=[1])
    first, second, found = race(scene, id, destroys, signs_in("ada"))
    assert (first, user_of(found), dict(found)) == ("", "ada", {"slow": 1})
    assert second != id


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_sign_in_cannot_join_what_was_ended(scene: Scene, when: str) -> None:
    """The session that the marker leads to is over, or ends during the join: it begins anew."""
    id = scene.stored(cart=[1])
    slow = scene.read(id)
    slow["slow"] = 1
    slow.sign_in("ada")
    joined = scene.change(id, signs_in("ada")) or ""
    saving = scene.saving(slow)
    if when == "meanwhile":
        while not (isinstance(saving.call, Swap) and saving.call.key == scene.space.key(joined)):
            saving.step()
    scene.change(joined, destroys)
    found = scene.read(saving.finish() or "")
    assert (user_of(found), dict(found)) == ("ada", {"slow": 1})
    assert isinstance(scene.at(joined), Tombstone)


def test_a_request_that_reads_the_marker_joins_if_it_signs_in_the_user(scene: Scene) -> None:
    """The answer with the new cookie may have been lost: signing in again leads to the session."""
    id = scene.stored(cart=[1])
    first = scene.change(id, signs_in("ada"))
    assert isinstance(scene.read(id)._draft.origin, Moved)
    assert scene.change(id, sets(late=1), signs_in("ada")) == first
    assert dict(scene.read(first or "")) == {"cart": [1], "late": 1}


def test_a_session_that_has_expired_is_not_joined() -> None:
    """A marker may outlive the session that it leads to: nobody renews that."""
    scene = Scene(idle=GRACE / 2)
    id = scene.stored(cart=[1])
    first = scene.change(id, signs_in("ada")) or ""
    scene.clock.advance(GRACE / 2)
    second = scene.change(id, sets(late=1), signs_in("ada")) or ""
    assert second not in (first, "")
    assert dict(scene.read(second)) == {"late": 1}
    assert scene.read(first).is_new


# Acting as another user


def test_the_same_act_as_joins(scene: Scene) -> None:
    """Another one does not: its changes are dropped."""
    id = scene.stored(signs_in("support"))
    first, second, found = race(scene, id, acts_as("ada"), acts_as("ada"))
    assert (first, user_of(found)) == (second, "ada")
    id = scene.stored(signs_in("support"))
    first, second, _ = race(scene, id, acts_as("ada"), acts_as("bob"))
    assert first is not None
    assert second is None


def test_whoever_stops_acting_and_loses_ends_the_session(scene: Scene) -> None:
    """Somebody who meant to give rights back must not keep them."""
    id = scene.change(scene.stored(signs_in("support")), acts_as("ada")) or ""
    first, second, _ = race(scene, id, regenerates, stops_acting)
    assert first is not None
    assert second is None
    assert isinstance(scene.at(first), Tombstone)


# Taking the user away


def test_whoever_takes_the_user_away_and_loses_ends_the_users_session(scene: Scene) -> None:
    """As a sign-out does; what the handler wrote stays, in a session of its own."""
    id = scene.stored(signs_in("ada"), cart=[1])
    first, second, found = race(scene, id, confirms, leaves)
    assert isinstance(scene.at(first or ""), Tombstone)
    assert (second is not None, user_of(found), dict(found)) == (True, None, {"slow": 1})


def test_a_late_request_ends_nothing_of_who_came_after(scene: Scene) -> None:
    """The user was taken away: the session that goes on is nobody's, and no sign-out reaches it."""
    id = scene.stored(signs_in("ada"), cart=[1])
    first = scene.change(id, leaves) or ""
    assert scene.change(id, destroys) is None
    assert not scene.read(first).is_new


# A request that comes with an old id, later


def test_within_a_minute_an_old_id_keeps_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The browser is about to get the new cookie, and must not get another one."""
    id = scene.stored(cart=[1])
    scene.change(id, regenerates)
    scene.clock.advance(HUSH - 1)
    assert scene.change(id, sets(n=1)) is None
    assert len(warnings(caplog)) == 1


def test_after_a_minute_an_old_id_is_that_of_an_ordinary_visitor(scene: Scene) -> None:
    """Who comes with it gets a new session."""
    id = scene.stored(cart=[1])
    scene.change(id, regenerates)
    scene.clock.advance(HUSH)
    assert dict(scene.read(scene.change(id, sets(n=1)) or "")) == {"n": 1}
    assert scene.change(id) is None


def test_a_late_sign_in_is_never_kept_waiting(scene: Scene) -> None:
    """Also within the minute; so is a new id that a visitor's marker leads to."""
    id = scene.stored(cart=[1])
    scene.change(id, regenerates)
    for change in (signs_in("ada"), regenerates):
        found = scene.read(scene.change(id, sets(n=1), change) or "")
        assert dict(found) == {"n": 1}
    signed_in = scene.stored(signs_in("ada"))
    scene.change(signed_in, regenerates)
    assert scene.change(signed_in, sets(n=1), regenerates) is None


# A sign-in with an id that has expired


@pytest.fixture
def lapsed(scene: Scene) -> tuple[str, Session, Session]:
    """Return an id that has expired, a late request that read it in time, and one that did not."""
    id = scene.stored(cart=[1])
    upload = scene.read(id)
    upload["upload"] = 1
    scene.clock.advance(IDLE)
    late = scene.read(id)
    assert isinstance(late._draft.origin, Lapsed)
    late.sign_in("ada")
    return id, upload, late


def test_a_sign_in_closes_the_expired_id(scene: Scene, lapsed: Any) -> None:
    """A late upload of the former visitor cannot put its cookie over the new one."""
    id, upload, late = lapsed
    assert scene.save(late) not in (None, id)
    assert isinstance(scene.at(id), Marker)
    assert scene.save(upload) is None


def test_a_sign_in_closes_an_id_that_was_renewed_meanwhile(scene: Scene, lapsed: Any) -> None:
    """The upload was faster: its session is over, too."""
    id, upload, late = lapsed
    saving = scene.saving(late)
    assert scene.save(upload) == id
    saving.finish()
    assert isinstance(scene.at(id), Marker)


@pytest.mark.parametrize("meanwhile", ["dropped", "ended"])
def test_an_expired_id_that_is_closed_already_is_left_alone(
    scene: Scene, lapsed: Any, meanwhile: str
) -> None:
    """There is nothing more to do."""
    id, upload, late = lapsed
    saving = scene.saving(late)
    if meanwhile == "dropped":
        scene.lose(id)
    else:
        upload.destroy()
        scene.save(upload)
    before = scene.at(id)
    assert saving.finish()
    assert scene.at(id) == before


def test_a_visitor_who_signs_in_nowhere_leaves_the_expired_id(scene: Scene, lapsed: Any) -> None:
    """It stays for the grace, for requests that read it in time."""
    id, upload, _ = lapsed
    assert scene.change(id, sets(n=1)) not in (None, id)
    assert scene.save(upload) == id


def test_an_expired_id_that_is_always_renewed_meanwhile_is_given_up() -> None:
    """The sign-in itself is done: it does not fail for that."""

    class Contested(Scene):
        def ask(self, call: Call) -> Answer:
            if isinstance(call, Swap) and call.key in self.records:
                self.put(call.key, self.records[call.key].record)
            return super().ask(call)

    scene = Contested(idle=IDLE)
    id = scene.stored(cart=[1])
    scene.clock.advance(IDLE)
    assert user_of(scene.read(scene.change(id, signs_in("ada")) or "")) == "ada"
    assert isinstance(scene.at(id), Record)


def test_the_questions_of_a_move_are_few(scene: Scene) -> None:
    """A claim and a marker, where nobody interferes; a join looks once more, and writes once."""
    id = scene.stored(cart=[1])
    slow = scene.read(id)
    slow.sign_in("ada")
    scene.asked.clear()
    scene.change(id, signs_in("ada"))
    assert [type(call) for call in scene.asked] == [Get, Swap, Swap]
    scene.asked.clear()
    scene.save(slow)
    assert [type(call) for call in scene.asked] == [Swap, Swap, Delete, Get, Swap]


def test_a_session_that_two_requests_empty_is_removed(scene: Scene) -> None:
    """Also where one of them changes its id: nothing is left that could move."""
    id = scene.stored(a=1, b=2)
    slow = scene.read(id)
    del slow["a"]
    slow.regenerate_id()
    scene.change(id, lambda session: session.unset("b"))
    assert scene.save(slow) == ""
    assert type(scene.at(id)) is Tombstone
