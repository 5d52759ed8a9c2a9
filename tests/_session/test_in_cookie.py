"""Sessions that cookies carry, and sessions on their way from a server into cookies or back."""

from typing import Any

import pytest

from coatcheck import BackendError, Session, SessionConflict
from coatcheck._session import in_cookie, lifecycle
from coatcheck._session.draft import Carried, Draft, Lost, Moved, Unread
from coatcheck._session.next_state import LONG_OVER
from coatcheck._session.plan import Answer, Call, Swap
from coatcheck._session.record import GRACE, Marker, Record, Refused, Tombstone
from coatcheck._session.saving import ATTEMPTS
from coatcheck._session.session import showing
from tests._session.scene import (
    Scene,
    clears,
    destroys,
    regenerates,
    removes,
    rotates,
    sets,
    signs_in,
)

IDLE = 100.0

Carry = tuple[str, Record] | str | None


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE)


def carried(scene: Scene, **values: object) -> tuple[str, Record]:
    """Return the id and the record of a session that a cookie carries."""
    session = scene.new()
    session.update(values)
    found = in_cookie.carry(session, scene.clock())
    assert isinstance(found, tuple)
    return found


def read(scene: Scene, cookie: tuple[str, Record]) -> Session:
    """Return the session that a cookie carries, as a request reads it."""
    id, record = cookie
    session = lifecycle.found(Carried(record, id, None, scene.clock()))
    session._draft.terms = scene.terms
    return session


def change(scene: Scene, cookie: tuple[str, Record], *changes: Any) -> Carry:
    session = read(scene, cookie)
    for each in changes:
        each(session)
    return in_cookie.carry(session, scene.clock())


# A cookie carries the session


def test_a_session_is_carried_whole(scene: Scene) -> None:
    """The cookie has its id, its record, and its deadline."""
    id, record = carried(scene, user=1)
    assert (record.created, record.expires) == (scene.clock(), scene.clock() + IDLE)
    session = read(scene, (id, record))
    assert (session["user"], session.issued_id) == (1, id)


def test_a_change_makes_another_cookie(scene: Scene) -> None:
    """The id stays, and what was carried before is as it was."""
    before = carried(scene, user=1, cart=[1])
    after = change(scene, before, sets(user=2), lambda session: session["cart"].append(2))
    assert isinstance(after, tuple)
    assert after[0] == before[0]
    assert dict(read(scene, after)) == {"user": 2, "cart": [1, 2]}
    assert dict(read(scene, before)) == {"user": 1, "cart": [1]}


def test_a_cookie_that_nothing_changed_stays(scene: Scene) -> None:
    """Until it is due for a refresh."""
    before = carried(scene, user=1)
    assert change(scene, before) is None
    scene.clock.advance(IDLE / 5)
    after = change(scene, before)
    assert isinstance(after, tuple)
    assert after[1].expires == scene.clock() + IDLE


@pytest.mark.parametrize("ends", [destroys, clears, removes("user")])
def test_an_ended_session_takes_its_cookie_along(scene: Scene, ends: Any) -> None:
    """By a removal cookie, once."""
    session = read(scene, carried(scene, user=1))
    ends(session)
    assert in_cookie.carry(session, scene.clock()) == ""
    assert in_cookie.carry(session, scene.clock()) is None


@pytest.mark.parametrize(
    "session",
    [
        Session(),
        showing(Draft(fate="ends")),
        showing(Draft(origin=Lost("it was emptied"))),
        showing(Draft(origin=Unread(BackendError("the server", "read")))),
    ],
    ids=["empty", "destroyed", "lost", "unread"],
)
def test_what_is_no_session_makes_no_cookie(session: Session) -> None:
    """Neither does what a handler writes into one that could not be read."""
    if session._draft.fate != "ends" and not session._draft.shared:
        session["user"] = 1
    assert in_cookie.carry(session, 1000.0) is None


@pytest.mark.parametrize("moves", [regenerates, signs_in("ada")], ids=["new id", "sign in"])
def test_a_new_id_goes_into_the_cookie(scene: Scene, moves: Any) -> None:
    """It is the one that the handler was shown."""
    before = carried(scene, user=1)
    session = read(scene, before)
    moves(session)
    shown = session.id
    after = in_cookie.carry(session, scene.clock())
    assert isinstance(after, tuple)
    assert after[0] == shown != before[0]
    assert after[1].issued == scene.clock()


@pytest.mark.parametrize("changes", [sets(b=2), regenerates, removes("a")])
def test_a_request_that_is_held_open_for_too_long_makes_no_cookie(
    scene: Scene, changes: Any
) -> None:
    """Nothing on a server limits how long it may take."""
    session = read(scene, carried(scene, a=1))
    scene.clock.advance(IDLE + GRACE)
    changes(session)
    assert in_cookie.carry(session, scene.clock()) is None
    assert session._draft.origin == Lost(LONG_OVER)


def test_a_sign_in_that_took_too_long_has_a_cookie_of_its_own(scene: Scene) -> None:
    """With nothing of the session that is over."""
    before = carried(scene, a=1)
    session = read(scene, before)
    scene.clock.advance(IDLE + GRACE)
    session["b"] = 2
    signs_in("ada")(session)
    cookie = in_cookie.carry(session, scene.clock())
    assert isinstance(cookie, tuple)
    assert cookie[0] != before[0]
    assert dict(read(scene, cookie)) == {"b": 2}


def test_a_lifetime_ends_a_carried_session() -> None:
    """However often the cookie was refreshed."""
    scene = Scene(idle=IDLE, lifetime=IDLE)
    session = read(scene, carried(scene, user=1))
    session["user"] = 2
    scene.clock.advance(IDLE)
    assert in_cookie.carry(session, scene.clock()) is None
    assert [it.reason for it in session._draft.events] == ["it reached the end of its lifetime"]


# From cookies to a server


@pytest.fixture
def copies() -> Scene:
    return Scene(idle=IDLE, copies=True)


def test_the_first_write_puts_a_carried_session_on_the_server(copies: Scene) -> None:
    """It claims the id, and the cookie is to carry that alone from now on."""
    cookie = carried(copies, user=1)
    session = read(copies, cookie)
    session["n"] = 1
    assert copies.save(session) == cookie[0]
    assert dict(copies.read(cookie[0])) == {"user": 1, "n": 1}


def test_requests_with_copies_of_a_cookie_meet_on_the_server(copies: Scene) -> None:
    """The slower one finds what the faster one put there."""
    cookie = carried(copies, user=1)
    fast, slow = read(copies, cookie), read(copies, cookie)
    fast["a"], slow["b"] = 1, 2
    assert copies.save(fast) == copies.save(slow) == cookie[0]
    assert dict(copies.read(cookie[0])) == {"user": 1, "a": 1, "b": 2}


def test_a_carried_session_is_ended_on_the_server(copies: Scene) -> None:
    """A copy of its cookie could live until its deadline: so long, the server remembers."""
    id, record = carried(copies, user=1)
    session = read(copies, (id, record))
    session.destroy()
    assert copies.save(session) == ""
    assert isinstance(copies.at(id), Tombstone)
    assert copies.ttls[copies.space.key(id)] == IDLE + GRACE


def test_a_carried_session_that_was_moved_meanwhile_is_ended_there(copies: Scene) -> None:
    """The sign-out loses the claim, and ends what is there."""
    cookie = carried(copies, user=1)
    ends, moves = read(copies, cookie), read(copies, cookie)
    ends.destroy()
    moves["n"] = 1
    copies.save(moves)
    assert copies.save(ends) == ""
    assert isinstance(copies.at(cookie[0]), Tombstone)


def test_a_claim_that_is_refused_over_nothing_is_tried_again(copies: Scene) -> None:
    """The record went between the answer and the next question."""
    cookie = carried(copies, user=1)
    session = read(copies, cookie)
    session.destroy()
    saving = copies.saving(session)
    assert isinstance(saving.call, Swap)
    saving._go_on(Refused(None))
    assert saving.finish() == ""
    assert isinstance(copies.at(cookie[0]), Tombstone)


# From a server into cookies


def fits(_: str, record: Record) -> bool:
    """Tell whether a cookie can carry a record: one with few values."""
    return len(record.body.values) < 4


def leave(scene: Scene, session: Session) -> Carry:
    return scene.run(in_cookie.leave_for_cookie(session, scene.space, fits))


def test_a_session_leaves_the_server_with_its_first_write(scene: Scene) -> None:
    """A marker takes its place and names its own key; the cookie carries it, with the same id."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session["n"] = 1
    found = leave(scene, session)
    assert isinstance(found, tuple)
    assert (found[0], dict(read(scene, found))) == (id, {"user": 1, "n": 1})
    assert scene.marker(id).next_key == scene.space.key(id)


def test_what_another_request_wrote_meanwhile_leaves_with_it(scene: Scene) -> None:
    """The marker is refused, and the changes are replayed on what is there."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    slow["a"] = 1
    scene.change(id, sets(b=2))
    found = leave(scene, slow)
    assert isinstance(found, tuple)
    assert dict(read(scene, found)) == {"user": 1, "a": 1, "b": 2}


@pytest.mark.parametrize("meanwhile", [destroys, regenerates, None])
def test_a_session_that_is_gone_leaves_nothing(scene: Scene, meanwhile: Any) -> None:
    """The request keeps nothing, and sends no cookie; None: another request took it along."""
    id = scene.stored(user=1)
    slow, fast = scene.read(id), scene.read(id)
    slow["user"] = fast["n"] = 2
    if meanwhile:
        scene.change(id, meanwhile)
    else:
        leave(scene, fast)
    assert leave(scene, slow) is None
    assert type(slow._draft.origin) is Lost


def test_a_session_that_is_too_large_stays_on_the_server(scene: Scene) -> None:
    """It is saved there, with all that was changed."""
    id = scene.stored(a=1, b=1)
    session = scene.read(id)
    session.update(c=1, d=1)
    assert leave(scene, session) is None
    assert len(scene.read(id)) == 4


def test_a_session_that_another_request_made_too_large_stays(scene: Scene) -> None:
    """Whether it fits is asked of what is there after the replay."""
    id = scene.stored(a=1, b=1)
    slow = scene.read(id)
    slow["c"] = 1
    scene.change(id, sets(d=1))
    assert leave(scene, slow) is None
    assert len(scene.read(id)) == 4


def test_a_look_leaves_the_session_where_it_is(scene: Scene) -> None:
    """So does the end of a lifetime."""
    session = scene.read(scene.stored(user=1))
    assert leave(scene, session) is None
    assert not session.is_new
    short = Scene(idle=IDLE, lifetime=IDLE)
    session = short.read(short.stored(user=1))
    session["user"] = 2
    short.clock.advance(IDLE)
    assert leave(short, session) is None


def test_a_session_leaves_under_its_new_id(scene: Scene) -> None:
    """The one that the handler was shown; the marker names the key that it would have."""
    id = scene.stored(user=1)
    session = scene.read(id)
    session.regenerate_id()
    shown = session.id
    found = leave(scene, session)
    assert isinstance(found, tuple)
    assert found[0] == shown
    assert scene.marker(id).next_key == scene.space.key(shown)


def test_a_session_leaves_from_where_rotations_led(scene: Scene) -> None:
    """A slow request with the old id takes it along from there."""
    id = scene.stored(user=1)
    slow = scene.read(id)
    slow["n"] = 1
    newer = scene.change(id, rotates) or ""
    found = leave(scene, slow)
    assert isinstance(found, tuple)
    assert (found[0], dict(read(scene, found))) == (newer, {"user": 1, "n": 1})
    assert isinstance(scene.at(newer), Marker)


@pytest.mark.parametrize("ends", [destroys, clears], ids=["destroy", "clear"])
def test_an_ended_session_is_ended_on_the_server(scene: Scene, ends: Any) -> None:
    """Nothing of it goes into a cookie."""
    id = scene.stored(user=1)
    session = scene.read(id)
    ends(session)
    assert leave(scene, session) == ""
    assert isinstance(scene.at(id), Tombstone)


def test_a_sign_out_of_what_a_cookie_carried_away_removes_that_cookie(scene: Scene) -> None:
    """The server has nothing more of it; the browser holds the cookie that carries it."""
    id = scene.stored(user=1)
    ends, leaves_server = scene.read(id), scene.read(id)
    leaves_server["n"] = 1
    assert isinstance(leave(scene, leaves_server), tuple)
    for session in (ends, scene.read(id)):
        session.destroy()
        assert leave(scene, session) == ""


def test_a_request_with_a_marker_leaves_nothing(scene: Scene) -> None:
    """It has no session that could leave."""
    id = scene.stored(user=1)
    scene.change(id, regenerates)
    late = scene.read(id)
    assert type(late._draft.origin) is Moved
    late["n"] = 1
    assert leave(scene, late) is None


def test_a_move_that_never_wins_gives_up() -> None:
    """The session stays where it is."""

    class Contested(Scene):
        def ask(self, call: Call) -> Answer:
            if isinstance(call, Swap) and call.version is not None:
                self.put(call.key, self.records[call.key].record)
            return super().ask(call)

    scene = Contested()
    id = scene.stored(user=1)
    session = scene.read(id)
    session["n"] = 1
    with pytest.raises(SessionConflict, match=str(ATTEMPTS)):
        leave(scene, session)
    assert dict(scene.read(id)) == {"user": 1}
