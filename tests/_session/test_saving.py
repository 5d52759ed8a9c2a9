"""How the changes of a session are kept, driven by hand: see `scene`."""

import logging
from typing import Any

import pytest

from coatcheck import BackendError, SessionConflict
from coatcheck._session import lifecycle
from coatcheck._session.draft import Draft, Lost, Unread
from coatcheck._session.plan import Answer, Call, Swap, There
from coatcheck._session.record import Refused, Tombstone
from coatcheck._session.saving import ATTEMPTS
from coatcheck._session.session import showing
from tests._session.scene import (
    Scene,
    clears,
    destroys,
    regenerates,
    removes,
    sets,
)

IDLE = 100.0


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_new_session_claims_an_id(scene: Scene) -> None:
    """One swap, over nothing; the record has an owner, its times, and a CSRF value."""
    session = scene.new()
    session["user"] = 1
    saving = scene.saving(session)
    assert isinstance(saving.call, Swap) and saving.call.version is None
    id = saving.finish() or ""
    record, now = scene.record(id), scene.clock()
    assert (record.created, record.issued, record.expires) == (now, now, now + IDLE)
    assert len(record.body.csrf) == 16


def test_an_empty_new_session_asks_no_server(scene: Scene) -> None:
    """Also one that was filled and emptied again."""
    session = scene.new()
    session["user"] = 1
    session.clear()
    assert scene.save(session) is None
    assert scene.asked == []


def test_an_id_that_is_taken_is_not_overwritten(scene: Scene) -> None:
    """Another one is made, so nobody's session is ever adopted."""
    taken = scene.stored(user=1)
    session = scene.new()
    session["user"] = 2
    session._draft.id = taken
    assert scene.save(session) not in (taken, None)
    assert scene.read(taken)["user"] == 1


def test_a_write_keeps_the_deadline_and_sends_no_cookie(scene: Scene) -> None:
    """Until so much of the idle time is over that both are renewed."""
    id = scene.stored(user=1)
    before = scene.record(id).expires
    scene.clock.advance(IDLE / 20)
    assert scene.change(id, sets(user=2)) is None
    assert scene.record(id).expires == before
    scene.clock.advance(IDLE / 20)
    assert scene.change(id, sets(user=3)) == id
    assert scene.record(id).expires == scene.clock() + IDLE


def test_a_cookie_that_is_due_anew_is_sent(scene: Scene) -> None:
    """The record's deadline moves along, so both end at one time."""
    session = scene.read(scene.stored(user=1))
    session._own.fate = "renews"
    assert scene.save(session) == session.issued_id


def test_a_lost_race_is_replayed_on_what_the_winner_left(scene: Scene) -> None:
    """No update is lost: both requests' changes are there."""
    id = scene.stored(user=1, n=1)
    slow, fast = scene.read(id), scene.read(id)
    slow["a"] = 1
    slow.apply("n", lambda n: n + 1)
    saving = scene.saving(slow)
    fast["b"] = 2
    fast["n"] = 10
    scene.save(fast)
    saving.finish()
    assert dict(scene.read(id)) == {"user": 1, "a": 1, "b": 2, "n": 11}


def test_a_request_may_save_twice(scene: Scene) -> None:
    """What came in between is replayed on what is there by then."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["a"] = 1
    scene.save(session)
    scene.change(id, sets(b=2))
    session["c"] = 3
    scene.save(session)
    assert dict(scene.read(id)) == {"user": 1, "a": 1, "b": 2, "c": 3}
    assert not lifecycle.is_changed(session)


def test_what_changes_while_a_save_waits_is_left_for_the_next_one(scene: Scene) -> None:
    """A handler may go on in another task."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["a"] = 1
    saving = scene.saving(session)
    session["b"] = 2
    saving.finish()
    assert lifecycle.is_changed(session)
    scene.save(session)
    assert dict(scene.read(id)) == {"user": 1, "a": 1, "b": 2}


@pytest.mark.parametrize(
    ("other", "why"),
    [(destroys, "another request ended it"), (regenerates, "another request changed its id")],
)
def test_a_late_write_undoes_neither_a_sign_out_nor_a_new_id(
    scene: Scene, caplog: pytest.LogCaptureFixture, other: Any, why: str
) -> None:
    """It is dropped, with a warning, and sends no cookie."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    slow["user"] = 2
    scene.change(id, other)
    assert scene.save(slow) is None
    assert scene.read(id).is_new
    assert warnings(caplog) == [f"the changes of a request to a session were dropped: {why}"]
    assert slow.is_new


def test_a_write_to_what_the_server_lost_is_dropped(scene: Scene) -> None:
    """Nothing tells an evicted record from one that was ended."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["user"] = 2
    scene.lose(id)
    assert scene.save(session) is None
    assert scene.at(id) is None


def test_a_refresh_that_comes_too_late_is_quiet(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that a handler did is lost with it."""
    id = scene.stored(user=1)
    scene.clock.advance(IDLE / 2)
    late = scene.read(id)
    scene.change(id, destroys)
    assert scene.save(late) is None
    assert warnings(caplog) == []


def test_nothing_is_kept_of_a_session_that_could_not_be_read(scene: Scene) -> None:
    """Nobody is asked, and what the handler did is a warning."""
    session = showing(Draft(origin=Unread(BackendError("the server", "read"))))
    session["user"] = 1
    assert scene.save(session) is None
    assert session._draft.origin == Lost("it could not be read")
    assert scene.asked == []


def test_after_a_lost_save_nothing_more_is_kept(scene: Scene) -> None:
    """A later save of the same request asks nobody."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["user"] = 2
    scene.change(id, destroys)
    scene.save(session)
    session["user"] = 3
    scene.asked.clear()
    assert scene.save(session) is None
    assert scene.asked == []


def test_a_request_that_read_in_time_may_renew_an_expired_session(scene: Scene) -> None:
    """It is judged by the time of its read, also after a lost race."""
    id = scene.stored(user=1)
    slow, slower = scene.read(id), scene.read(id)
    slow["a"], slower["b"] = 1, 2
    scene.clock.advance(IDLE + 1)
    assert scene.save(slow) == id
    assert scene.save(slower) is None
    assert dict(scene.read(id)) == {"user": 1, "a": 1, "b": 2}


def test_no_request_renews_what_had_expired_when_it_was_read(scene: Scene) -> None:
    """Here it read one record, and another with an earlier deadline took its place."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["user"] = 2
    record = scene.record(id)
    record.expires = scene.clock()
    there = There(id, scene.space.key(id), None, None)
    swap = scene.space.write(there, record, scene.clock())
    scene.put(swap.key, swap.record)
    assert scene.save(session) is None
    assert session._draft.origin == Lost("it expired before the request read it")


@pytest.mark.parametrize("change", [sets(user=2), regenerates], ids=["write", "new id"])
def test_the_end_of_a_lifetime_ends_a_request_under_way(change: Any) -> None:
    """A deadline that no use moves holds for the slowest request, too."""
    scene = Scene(idle=IDLE, lifetime=IDLE)
    session = scene.read(scene.stored(user=1))
    change(session)
    scene.clock.advance(IDLE)
    assert scene.save(session) is None
    assert session._draft.origin == Lost("it reached the end of its lifetime")


# A session that is left empty


@pytest.mark.parametrize(
    "change",
    [clears, removes("user"), lambda session: session.pop("user")],
    ids=["clear", "unset", "pop"],
)
def test_a_session_that_is_left_empty_is_removed(scene: Scene, change: Any) -> None:
    """As by destroy(): a tombstone takes its place, and the cookie goes."""
    id = scene.stored(user=1)
    assert scene.change(id, change) == ""
    assert isinstance(scene.at(id), Tombstone)


def test_a_session_that_another_request_fills_meanwhile_is_not_removed(scene: Scene) -> None:
    """It is not empty after the replay."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    del slow["user"]
    scene.change(id, sets(cart=[1]))
    assert scene.save(slow) is None
    assert dict(scene.read(id)) == {"cart": [1]}


def test_a_session_that_another_request_empties_meanwhile_is_removed(scene: Scene) -> None:
    """What each of two requests leaves is more than both leave together."""
    id = scene.stored(a=1, b=2)
    slow, fast = scene.read(id), scene.read(id)
    del slow["a"]
    del fast["b"]
    assert (scene.save(fast), scene.save(slow)) == (None, "")
    assert isinstance(scene.at(id), Tombstone)


def test_reading_the_last_flash_leaves_the_session(scene: Scene) -> None:
    """The handler took nothing away: a form's CSRF value may hang on it."""
    id = scene.stored(lambda session: session.flash("notice", "Hi"))
    assert scene.change(id, lambda session: session["notice"]) is None
    assert not scene.read(id).is_new


def test_a_host_may_keep_sessions_that_are_empty() -> None:
    """Django's sessions are stored and stay, whatever they hold."""
    scene = Scene(keeps_empty=True)
    id = scene.save(showing(Draft(terms=scene.terms))) or ""
    assert not scene.read(id).is_new
    assert scene.change(id, sets(user=1), clears) is None
    assert not scene.read(id).is_new


def test_an_empty_session_gets_no_new_id(scene: Scene) -> None:
    """It is removed; if another request fills it meanwhile, it gets one after all."""
    id, filled = scene.stored(user=1), scene.stored(user=1)
    assert scene.change(id, clears, regenerates) == ""
    slow = scene.read(filled)
    del slow["user"]
    slow.regenerate_id()
    scene.change(filled, sets(cart=[1]))
    assert dict(scene.read(scene.save(slow) or "")) == {"cart": [1]}


# Giving up


class Contested(Scene):
    """A backend in which another request is always faster."""

    def ask(self, call: Call) -> Answer:
        if isinstance(call, Swap) and call.key in self.records:
            self.put(call.key, self.records[call.key].record)
        return super().ask(call)


@pytest.mark.parametrize("change", [sets(user=2), regenerates, destroys, clears])
def test_a_save_that_never_wins_gives_up(change: Any) -> None:
    """It tries many times, and then says that no change was kept."""
    scene = Contested(idle=IDLE)
    id = scene.stored(user=1)
    session = scene.read(id)
    change(session)
    with pytest.raises(SessionConflict, match=str(ATTEMPTS)):
        scene.save(session)
    assert scene.read(id)["user"] == 1


def test_a_claim_that_is_always_refused_gives_up() -> None:
    """No generator makes so many ids that are taken: the backend is broken."""

    class Full(Scene):
        def ask(self, call: Call) -> Answer:
            return Refused(None) if isinstance(call, Swap) else super().ask(call)

    with pytest.raises(SessionConflict):
        Full().stored(user=1)
