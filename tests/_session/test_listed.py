"""What a save does to the roster of the signed-in user, call by call."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from coatcheck import Session
from coatcheck._session.body_cipher import BodyCipher
from coatcheck._session.draft import Carried, Draft, Visitor
from coatcheck._session.ids import new_id
from coatcheck._session.plan import Get, Swap
from coatcheck._session.record import GRACE, Contents, Marker, Record, Tombstone, Who
from coatcheck._session.roster import Roster
from coatcheck._session.roster_plans import PATIENCE, Rosters, end_all, end_session, read
from coatcheck._session.session import showing
from coatcheck._session.user_plans import end_others
from tests._session.scene import (
    Change,
    Scene,
    acts_as,
    clears,
    confirms,
    destroys,
    leaves,
    regenerates,
    rotates,
    sets,
    signs_in,
    stops_acting,
)

OWNER = b"12345678"
IDLE = 10 * GRACE


def scene_with(limit: int = 9, **terms: Any) -> Scene:
    rosters = Rosters(owners=(OWNER,), limit=limit, lasts=50_000.0)
    return Scene(idle=IDLE, owner=OWNER, rosters=rosters, **terms)


@pytest.fixture
def scene() -> Scene:
    return scene_with()


def rosters_of(scene: Scene) -> Rosters:
    assert scene.terms.rosters
    return scene.terms.rosters


def roster(scene: Scene, user: str = "ada") -> Roster:
    return scene.run(read(rosters_of(scene).of(user, scene.space)))


def listed(scene: Scene, user: str = "ada") -> list[str]:
    return [row.key.hex() for row in roster(scene, user).rows]


def visitor(scene: Scene) -> Session:
    """Return the session of a request without a cookie that was read now."""
    return showing(Visitor(terms=scene.terms, began=scene.clock()))


def signed_in(scene: Scene, user: str = "ada") -> str:
    session = visitor(scene)
    session.sign_in(user)
    id = scene.save(session)
    assert id
    return id


def digest(scene: Scene, id: str | None) -> str:
    assert id
    return scene.space.key(id)[-64:]


def revoke(scene: Scene, user: str = "ada") -> None:
    scene.run(end_all(rosters_of(scene).of(user, scene.space), scene.clock()))


def questions(scene: Scene, act: Callable[[], object]) -> int:
    scene.asked.clear()
    act()
    return len(scene.asked)


# Sign-in


def test_a_sign_in_is_listed_before_its_record_exists(scene: Scene) -> None:
    """A revocation between the two finds it."""
    session = visitor(scene)
    session.sign_in("ada")
    saving_it = scene.saving(session).step(2)
    assert len(listed(scene)) == 1
    assert isinstance(saving_it.call, Swap) and saving_it.call.version is None
    id = saving_it.finish()
    assert listed(scene) == [digest(scene, id)]


def test_a_row_tells_what_a_page_of_devices_shows(scene: Scene) -> None:
    """Handle, times and label are those of the sign-in."""
    session = visitor(scene)
    session.sign_in("ada", label="Firefox on Windows")
    scene.save(session)
    (row,) = roster(scene).rows
    assert session.signed_in
    assert (row.handle, row.label) == (session.signed_in.handle, "Firefox on Windows")
    assert (row.signed_in_at, row.seen_at, row.since) == (scene.clock(),) * 3
    assert row.expires == scene.clock() + IDLE


def test_a_first_sign_in_asks_two_questions_more(scene: Scene) -> None:
    """One for the roster, one to change it."""
    bare = Scene(idle=IDLE)
    assert questions(scene, lambda: signed_in(scene)) == 3
    assert questions(bare, lambda: bare.stored(signs_in("ada"))) == 1
    id, other = scene.stored(cart=[1]), bare.stored(cart=[1])
    more = questions(scene, lambda: scene.change(id, signs_in("ada")))
    assert more == questions(bare, lambda: bare.change(other, signs_in("ada"))) + 2


@pytest.mark.parametrize("act", [sets(cart=[1]), regenerates, destroys])
def test_nobody_is_listed_who_is_not_signed_in(scene: Scene, act: Change) -> None:
    """A visitor costs no question more."""
    bare = Scene(idle=IDLE)
    id, other = scene.stored(cart=[0]), bare.stored(cart=[0])
    asked = questions(scene, lambda: scene.change(id, act))
    assert asked == questions(bare, lambda: bare.change(other, act))
    assert len(scene.records) == len(bare.records)


def test_a_sign_in_over_a_session_takes_that_off(scene: Scene) -> None:
    """Another user's, too."""
    id = signed_in(scene)
    second = scene.change(id, signs_in("ada"))
    assert listed(scene) == [digest(scene, second)]
    third = scene.change(second or "", signs_in("eve"))
    assert (listed(scene), listed(scene, "eve")) == ([], [digest(scene, third)])


def test_a_sign_in_that_began_before_a_revocation_is_refused(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The old password was accepted: no exception, no cookie, and a warning that names current=."""
    late = visitor(scene)
    scene.clock.advance(1)
    revoke(scene)
    scene.clock.advance(1)
    late.sign_in("ada")
    assert scene.save(late) is None
    assert listed(scene) == []
    assert "current=session" in caplog.text


def test_a_request_that_read_a_session_before_a_revocation_is_refused_too(scene: Scene) -> None:
    """Whichever cookie it came with: a visitor's, or one with an old id."""
    old = scene.stored(cart=[1])
    new = scene.change(old, signs_in("ada"))
    first, second = scene.read(new or ""), scene.read(old)
    scene.clock.advance(1)
    revoke(scene)
    for late in (first, second):
        late.sign_in("ada")
        assert scene.save(late) is None
    assert listed(scene) == []


def test_a_sign_in_at_the_same_instant_is_accepted(scene: Scene) -> None:
    """The clock of a test may stand still."""
    revoke(scene)
    id = signed_in(scene)
    assert listed(scene) == [digest(scene, id)]


def test_a_claim_that_finds_a_tombstone_gets_another_id(scene: Scene) -> None:
    """Its row was found by a limit or a revocation before the record came."""
    session = visitor(scene)
    session.sign_in("ada")
    running = scene.saving(session).step(2)
    (row,) = roster(scene).rows
    scene.run(end_session(rosters_of(scene).of("ada", scene.space), row.handle))
    id = running.finish()
    assert listed(scene) == [digest(scene, id)] != [row.key.hex()]


def test_a_sign_in_over_a_session_looks_again_after_a_lost_claim(scene: Scene) -> None:
    """It may join another request by then."""
    id = scene.stored(cart=[1])
    slow = scene.read(id)
    slow.sign_in("ada")
    running = scene.saving(slow).step(2)
    (row,) = roster(scene).rows
    scene.run(end_session(rosters_of(scene).of("ada", scene.space), row.handle))
    first = scene.change(id, signs_in("ada"))
    assert running.finish() == first
    assert listed(scene) == [digest(scene, first)]


@pytest.mark.parametrize("cookie", [True, False])
def test_a_claim_that_was_answered_too_late_is_withdrawn(scene: Scene, *, cookie: bool) -> None:
    """The tombstone of a revocation might be gone by then."""
    session = scene.read(scene.stored(cart=[1])) if cookie else visitor(scene)
    session.sign_in("ada")
    running = scene.saving(session).step(2)
    slow = listed(scene)
    scene.clock.advance(PATIENCE + 1)
    id = running.finish()
    assert [digest(scene, id)] == listed(scene) != slow
    assert slow[0] not in scene.records


def test_a_withdrawn_claim_leaves_the_roster(scene: Scene) -> None:
    """Another request was faster with the old id: the loser joins it."""
    id = scene.stored(cart=[1])
    slow = scene.read(id)
    slow.sign_in("ada")
    running = scene.saving(slow).step(3)
    first = scene.change(id, signs_in("ada"))
    assert running.finish() == first
    assert listed(scene) == [digest(scene, first)]


def test_the_oldest_session_goes_when_there_are_too_many() -> None:
    """In the order of sign-in; the newest stays."""
    scene = scene_with(limit=2)
    first, second, third = (signed_in(scene) for _ in range(3))
    assert isinstance(scene.at(first), Tombstone)
    assert listed(scene) == [digest(scene, second), digest(scene, third)]
    fourth = scene.change(scene.stored(cart=[1]), signs_in("ada"))
    assert listed(scene) == [digest(scene, third), digest(scene, fourth)]


def test_a_sign_in_over_an_expired_session_is_dated(scene: Scene) -> None:
    """It began when its request was read."""
    id = scene.stored(cart=[1])
    scene.clock.advance(IDLE)
    late = scene.read(id)
    late._draft.began = scene.clock()
    late.sign_in("ada")
    scene.save(late)
    assert len(listed(scene)) == 1


# New ids


@pytest.mark.parametrize("move", [regenerates, rotates, confirms])
def test_a_new_id_takes_the_place_of_the_old_one(scene: Scene, move: Change) -> None:
    """With its handle and its time; the order of sign-in stays."""
    first, second = signed_in(scene), signed_in(scene)
    before = roster(scene).rows[0]
    scene.clock.advance(10)
    moved = scene.change(first, move)
    assert listed(scene) == [digest(scene, moved), digest(scene, second)]
    after = roster(scene).rows[0]
    assert (after.handle, after.since) == (before.handle, before.since)
    assert after.seen_at == scene.clock()


def test_who_acts_stays_on_the_roster_of_the_actor(scene: Scene) -> None:
    """Row and handle are the actor's: the session ends with the actor's, not with the user's."""
    id = signed_in(scene)
    (before,) = roster(scene).rows
    acting = scene.change(id, acts_as("eve"))
    assert (listed(scene), listed(scene, "eve")) == ([digest(scene, acting)], [])
    back = scene.change(acting or "", stops_acting)
    assert listed(scene) == [digest(scene, back)]
    assert roster(scene).rows[0].handle == before.handle


def test_a_user_who_is_taken_away_leaves_the_roster(scene: Scene) -> None:
    """The session stays, if anything is left in it."""
    id = signed_in(scene)
    left = scene.change(id, sets(notice="bye"), leaves)
    assert listed(scene) == []
    assert isinstance(scene.at(left or ""), Record)
    empty = signed_in(scene)
    assert scene.change(empty, sets(n=1), leaves, clears) == ""
    assert listed(scene) == []


def test_a_user_who_is_taken_away_while_another_request_writes(scene: Scene) -> None:
    """Nothing is left in the session, and the save that lost the race ends it all the same."""
    id = signed_in(scene)
    slow = scene.read(id)
    for act in (sets(n=1), leaves, clears):
        act(slow)
    running = scene.saving(slow)
    scene.change(id, sets(other=1))
    running.step()
    scene.change(id, sets(other=2))
    assert running.finish() == ""
    assert listed(scene) == []


def test_a_new_id_of_a_revoked_session_is_refused(scene: Scene) -> None:
    """The revocation has set its cut-off, and has not ended the session yet."""
    id = signed_in(scene)
    scene.clock.advance(1)
    listing = rosters_of(scene).of("ada", scene.space)
    scene.begin(end_all(listing, scene.clock())).step(2)
    assert scene.change(id, regenerates) is None
    assert isinstance(scene.at(id), Tombstone)


# Refresh


def test_a_refresh_writes_the_roster_first(scene: Scene) -> None:
    """So the roster outlives every session on it; it costs two questions more."""
    id = signed_in(scene)
    scene.clock.advance(IDLE / 2)
    session = scene.read(id)
    scene.asked.clear()
    running = scene.saving(session).step(2)
    (row,) = roster(scene).rows
    assert (row.seen_at, row.expires) == (scene.clock(), scene.clock() + IDLE)
    assert scene.record(id).expires < row.expires
    assert running.finish() == id
    assert scene.record(id).expires == row.expires
    assert len(scene.asked) == 3 + 1


def test_a_save_that_refreshes_nothing_asks_no_roster(scene: Scene) -> None:
    """One question, as without rosters."""
    id = signed_in(scene)
    session = scene.read(id)
    session["n"] = 1
    assert questions(scene, lambda: scene.save(session)) == 1


def test_a_refresh_of_a_visitor_asks_no_roster(scene: Scene) -> None:
    """Nobody is signed in."""
    id = scene.stored(cart=[1])
    scene.clock.advance(IDLE / 2)
    session = scene.read(id)
    assert questions(scene, lambda: scene.save(session)) == 1


def test_a_lost_roster_heals(scene: Scene) -> None:
    """With the next refresh or new id of each session, in the order of sign-in."""
    first = signed_in(scene)
    scene.clock.advance(1)
    second = signed_in(scene)
    del scene.records[rosters_of(scene).of("ada", scene.space).key]
    scene.clock.advance(IDLE / 2)
    moved = scene.change(second, regenerates)
    scene.change(first)
    assert listed(scene) == [digest(scene, first), digest(scene, moved)]
    assert scene.record(first).expires == scene.clock() + IDLE


def test_a_session_in_a_cookie_that_moves_to_a_server_is_listed_first() -> None:
    """Only the cookie has it until then, so there is nothing to read again."""
    copies = scene_with()
    copies.space = msgspec.structs.replace(copies.space, copies=True)
    who = Who("ada", "handle", copies.clock(), copies.clock())
    body = Contents(who=who, csrf=b"c" * 16)
    record = Record(b"", OWNER, 1.0, 1.0, copies.clock() + IDLE, body)
    id = new_id()
    session = showing(Draft(body, copies.terms, Carried(record, id, None, copies.clock())))
    session["n"] = 1
    assert copies.save(session) == id
    assert listed(copies) == [digest(copies, id)]


def test_a_refresh_of_a_lost_session_may_find_it_ended(scene: Scene) -> None:
    """It was ended before its row came back: the row goes again."""
    id = signed_in(scene)
    del scene.records[rosters_of(scene).of("ada", scene.space).key]
    scene.clock.advance(IDLE / 2)
    running = scene.saving(scene.read(id))
    scene.change(id, destroys)
    assert running.finish() is None
    assert listed(scene) == []


@pytest.mark.parametrize("act", [sets(n=1), regenerates])
def test_a_cut_off_ends_a_session_that_the_roster_had_lost(scene: Scene, act: Change) -> None:
    """The revocation could not find it; its next refresh or new id ends it."""
    id = signed_in(scene)
    scene.clock.advance(IDLE / 2)
    del scene.records[rosters_of(scene).of("ada", scene.space).key]
    revoke(scene)
    assert isinstance(scene.at(id), Record)
    assert scene.change(id, act) is None
    assert isinstance(scene.at(id), Tombstone)
    assert listed(scene) == []


def test_a_session_that_is_spared_stays_through_refreshes_and_new_ids(scene: Scene) -> None:
    """Its row has the time of the cut-off, and the time of its sign-in stays true."""
    id = signed_in(scene)
    scene.clock.advance(IDLE / 2)
    assert scene.run(end_others(rosters_of(scene), scene.space, scene.read(id))) == set()
    moved = scene.change(id, regenerates)
    scene.clock.advance(IDLE / 2)
    assert scene.change(moved or "") == moved
    (row,) = roster(scene).rows
    assert row.signed_in_at < row.since


# Sign-out


def test_a_sign_out_takes_every_id_of_the_session_off(scene: Scene) -> None:
    """Also with an old id, which leads there by a marker."""
    id = signed_in(scene)
    scene.change(id, regenerates)
    assert isinstance(scene.at(id), Marker)
    scene.change(id, destroys)
    assert listed(scene) == []


def encrypted(scene: Scene) -> Scene:
    """Let the bodies of sessions be encrypted."""
    scene.space = msgspec.structs.replace(scene.space, cipher=BodyCipher())
    return scene


@pytest.mark.parametrize("moves", [1, 3])
@pytest.mark.parametrize("move", [regenerates, confirms, rotates, signs_in("ada")])
def test_a_sign_out_with_an_old_id_finds_the_list_of_an_encrypted_session(
    scene: Scene, move: Change, moves: int
) -> None:
    """It cannot read the user from the session, so the marker tells the roster."""
    first = id = signed_in(encrypted(scene))
    for _ in range(moves):
        id = scene.change(id, move) or ""
    assert listed(scene) == [digest(scene, id)]
    late = scene.read(first)
    late.destroy()
    assert scene.save(late) == ""
    assert listed(scene) == []
    assert scene.read(id).is_new


def test_a_sign_out_that_another_left_unfinished_is_finished_with_an_old_id(scene: Scene) -> None:
    """The record is a tombstone already, and its row is left."""
    id = signed_in(encrypted(scene))
    newer = scene.change(id, regenerates) or ""
    first, late = scene.read(newer), scene.read(id)
    first.destroy()
    scene.saving(first).step(1)
    assert listed(scene) == [digest(scene, newer)]
    late.destroy()
    scene.save(late)
    assert listed(scene) == []


@pytest.mark.parametrize("move", [leaves, signs_in("bob"), signs_in("ada")])
def test_a_marker_tells_a_roster_to_nobody_else(scene: Scene, move: Change) -> None:
    """Not where a sign-out ends nothing, and not in clear."""
    id = signed_in(encrypted(scene))
    scene.change(id, move)
    told = scene.marker(id).sealed_roster
    key = rosters_of(scene).of("ada", scene.space).key
    assert len(told) == (32 if scene.marker(id).next_key else 0)
    assert told.hex() != key
    clear = scene_with()
    id = signed_in(clear)
    clear.change(id, move)
    assert clear.marker(id).sealed_roster == b""


def test_without_lists_a_marker_tells_none(scene: Scene) -> None:
    """Nor does one of an anonymous session, and a sign-out with it ends the session."""
    listless = encrypted(Scene(idle=IDLE, owner=OWNER))
    for each, id in ((listless, signed_in(listless)), (encrypted(scene), scene.stored(cart=[1]))):
        newer = each.change(id, regenerates) or ""
        assert each.marker(id).sealed_roster == b""
        each.change(id, destroys)
        assert each.read(newer).is_new


def test_a_sign_out_finishes_what_another_left(scene: Scene) -> None:
    """It crashed between the end of the record and that of the row."""
    id = signed_in(scene)
    late = scene.read(id)
    first = scene.read(id)
    first.destroy()
    scene.saving(first).step(1)
    late.destroy()
    scene.save(late)
    assert listed(scene) == []


def test_a_session_under_a_former_owner_leaves_both_rosters() -> None:
    """An application that changed its secret has sessions of two owners for a while."""
    old = scene_with()
    id = signed_in(old)
    rosters = msgspec.structs.replace(rosters_of(old), owners=(b"today...", OWNER))
    old.terms = msgspec.structs.replace(old.terms, rosters=rosters)
    old.change(id, destroys)
    assert [call for call in old.asked if isinstance(call, Get)]
    assert old.run(read(rosters.of("ada", old.space, OWNER))).rows == ()
