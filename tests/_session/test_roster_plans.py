"""
Plans that change rosters and end sessions, one call after another.

`test_roster_orders` runs them in every order; here is why, one rule at a time.
"""

import logging

import pytest

from coatcheck import BackendError, SessionConflict
from coatcheck._session import roster_plans
from coatcheck._session.ids import key_of, tag_of
from coatcheck._session.plan import Beside, Delete, Get, GetMany, Keyspace, Swap
from coatcheck._session.record import GRACE, Marker, Record, Stored, Tombstone
from coatcheck._session.roster import Roster, Row, pack_roster, roster_digest, unpack_roster
from coatcheck._session.roster_plans import (
    Rosters,
    bury,
    change,
    end_all,
    end_session,
    hold_to_limit,
    living,
    read,
    take_off,
)
from coatcheck._session.row_cipher import RowCipher
from tests._session.scene import Scene, regenerates, sets, signs_in

OWNER = b"12345678"
ROSTERS = Rosters(owners=(OWNER,), limit=3, lasts=5000.0)
IDLE = 10 * GRACE


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE, rosters=ROSTERS, owner=OWNER)


def listing_in(scene: Scene, rosters: Rosters = ROSTERS) -> roster_plans.Listing:
    return rosters.of("ada", scene.space)


def roster_in(scene: Scene) -> Roster:
    return scene.run(read(listing_in(scene)))


def handles(scene: Scene) -> list[str]:
    return [row.handle for row in roster_in(scene).rows]


def signed_in(scene: Scene) -> str:
    return scene.stored(signs_in("ada"))


def asked(scene: Scene) -> list[str]:
    return [type(call).__name__ for call in scene.asked]


def test_a_roster_is_under_a_key_of_its_own(scene: Scene) -> None:
    """Of the records' owner and the user."""
    signed_in(scene)
    assert listing_in(scene).key == roster_digest(OWNER, "ada")
    assert listing_in(scene).key in scene.records


def test_a_roster_may_be_in_another_storage() -> None:
    """Its calls say so, and its key has that storage's prefix."""
    other = Keyspace(lambda: 1.0, "lists:", "another server")
    rosters = Rosters((OWNER,), 3, 5000.0, space=other, place="there")
    listing = rosters.of("ada", Keyspace(lambda: 1.0, "shop:"))
    assert listing.key.startswith("lists:")
    assert next(read(listing)) == Beside(Get(listing.key), "there")


def test_nothing_is_written_if_nothing_changes(scene: Scene) -> None:
    """A look at the roster is enough."""
    scene.run(take_off(listing_in(scene), (key_of("unknown"),)))
    assert asked(scene) == ["Get"]


def test_a_refused_change_is_made_again(scene: Scene) -> None:
    """On what the winner left."""
    listing = listing_in(scene)
    id = signed_in(scene)
    running = scene.begin(take_off(listing, (scene.space.key(id),))).step()
    signed_in(scene)
    running.finish()
    assert len(handles(scene)) == 1


def test_a_change_that_always_loses_gives_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as many attempts as a save makes."""
    monkeypatch.setattr(roster_plans, "ATTEMPTS", 0)
    with pytest.raises(SessionConflict):
        scene.run(change(listing_in(scene), lambda roster: roster))
    with pytest.raises(SessionConflict):
        scene.run(bury(listing_in(scene), scene.space.key("id")))


def test_a_damaged_roster_counts_as_empty(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """It heals: each session puts its row back with its next refresh."""
    signed_in(scene)
    scene.put(listing_in(scene).key, b"\x06damaged")
    assert roster_in(scene) == Roster()
    assert "counts as empty" in caplog.text
    signed_in(scene)
    assert len(handles(scene)) == 1


def test_the_roster_of_another_user_is_an_error_of_the_backend(scene: Scene) -> None:
    """Never a list of a stranger's devices."""
    signed_in(scene)
    data = scene.records[listing_in(scene).key].record
    with pytest.raises(BackendError, match="another key"):
        ROSTERS.of("eve", scene.space).opened(Stored(data, 1))


def test_a_roster_lives_for_the_grace_after_its_last_session(scene: Scene) -> None:
    """As the session's record does."""
    signed_in(scene)
    assert scene.ttls[listing_in(scene).key] == IDLE + GRACE


def test_a_cut_off_stays_for_as_long_as_any_session_could_live(scene: Scene) -> None:
    """Also on a roster without sessions."""
    now = scene.clock()
    assert scene.run(end_all(listing_in(scene), now)) == set()
    assert roster_in(scene).expires == now + 5000.0
    assert scene.ttls[listing_in(scene).key] == 5000.0 + GRACE


# The end of sessions


def test_a_tombstone_is_put_where_nothing_is(scene: Scene) -> None:
    """A claim that comes late finds it."""
    scene.run(bury(listing_in(scene), scene.space.key("x")))
    assert isinstance(scene.at("x"), Tombstone)


def test_a_marker_is_left_alone(scene: Scene) -> None:
    """The session has another row, which is ended by itself."""
    id = signed_in(scene)
    scene.change(id, regenerates)
    scene.run(bury(listing_in(scene), scene.space.key(id)))
    assert isinstance(scene.at(id), Marker)


def test_a_save_that_was_faster_is_buried_too(scene: Scene) -> None:
    """The tombstone goes over what it left."""
    id = signed_in(scene)
    burying = scene.begin(bury(listing_in(scene), scene.space.key(id))).step()
    scene.change(id, sets(cart=[1]))
    burying.finish()
    assert isinstance(scene.at(id), Tombstone)


def test_one_session_is_ended_by_its_handle(scene: Scene) -> None:
    """The others stay; the answer tells whether it was there."""
    first, second = signed_in(scene), signed_in(scene)
    handle, other = handles(scene)
    assert scene.run(end_session(listing_in(scene), handle)) == {handle}
    assert scene.run(end_session(listing_in(scene), handle)) == set()
    assert isinstance(scene.at(first), Tombstone)
    assert isinstance(scene.at(second), Record)
    assert handles(scene) == [other]


def test_all_are_looked_at_together(scene: Scene) -> None:
    """One question for the list, and one for all of its records."""
    signed_in(scene), signed_in(scene)
    scene.asked.clear()
    assert len(scene.run(living(listing_in(scene)))) == 2
    assert asked(scene) == ["Get", "GetMany"]


def test_an_empty_roster_asks_for_no_record(scene: Scene) -> None:
    """One question says that nobody is signed in."""
    assert scene.run(living(listing_in(scene))) == []
    assert asked(scene) == ["Get"]


def test_only_what_is_alive_is_listed(scene: Scene) -> None:
    """A row whose session ended or expired is no device."""
    first, second = signed_in(scene), signed_in(scene)
    scene.lose(first)
    ((row, record),) = scene.run(living(listing_in(scene)))
    assert (row.key.hex(), record) == (key_of(second), scene.record(second))
    scene.clock.advance(IDLE)
    assert scene.run(living(listing_in(scene))) == []


def test_a_session_of_another_cookie_is_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Two applications share a server, and need prefixes of their own: a log line says so."""
    id = signed_in(scene)
    strange = Scene(idle=IDLE, owner=b"87654321")
    other = strange.stored(signs_in("ada"))
    key = scene.space.key(other)
    scene.put(key, strange.records[key].record)
    listing = listing_in(scene)
    row = Row(bytes.fromhex(key[-64:]), "strange", 1.0, 1.0, 1.0, scene.clock() + 9.0)
    scene.run(change(listing, lambda roster: Roster(rows=(row, *roster.rows))))
    assert [each.handle for each, _ in scene.run(living(listing))] == handles(scene)[1:]
    assert len(scene.run(end_all(listing, 1.0))) == 1
    assert scene.run(end_session(listing, "strange")) == set()
    narrow = ROSTERS.__class__((OWNER,), 1, 5000.0).of("ada", scene.space)
    scene.run(hold_to_limit(narrow, Roster(rows=(row, row)), key_of("own")))
    assert isinstance(scene.at(other), Record)
    assert isinstance(scene.at(id), Tombstone)
    assert handles(scene) == ["strange"]
    assert "another cookie, and is left alone" in caplog.text


def test_rows_of_another_application_are_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """They do not open under the cookie's secrets; a log line says so."""
    own = Rosters((OWNER,), 3, 5000.0, cipher=RowCipher(["x" * 32]))
    other = Rosters((OWNER,), 3, 5000.0, cipher=RowCipher(["y" * 32]))
    row = Row(b"a" * 32, "strange", 1.0, 1.0, 1.0, scene.clock() + 9.0)
    scene.run(change(listing_in(scene, other), lambda _: Roster(rows=(row,))))
    assert scene.run(living(listing_in(scene, own))) == []
    assert scene.run(end_all(listing_in(scene, own), 1.0)) == set()
    assert scene.run(read(listing_in(scene, other))).rows == (row,)
    assert [each.levelno for each in caplog.records] == [logging.WARNING] * 2
    assert "do not open" in caplog.text


def test_a_limit_looks_again_before_it_ends_a_session(scene: Scene) -> None:
    """Another sign-in may have been withdrawn since this one was entered."""
    ids = [signed_in(scene) for _ in range(3)]
    stale = Roster(rows=roster_in(scene).rows * 2)
    scene.run(hold_to_limit(listing_in(scene), stale, key_of(ids[2])))
    assert all(isinstance(scene.at(id), Record) for id in ids)


def test_the_calls_of_a_plan_are_told_apart() -> None:
    """Each shows its kind and nothing of what it holds."""
    calls = [Get("k"), GetMany(("k",)), Swap("k", None, b"", 1.0), Delete("k")]
    shown = [repr(call) for call in (*calls, Beside(Get("k"), None))]
    assert shown == ["<Get>", "<GetMany>", "<Swap>", "<Delete>", "<Beside>"]


def test_a_roster_is_packed_under_its_own_tag(scene: Scene) -> None:
    """The tag of its key, less the prefix."""
    signed_in(scene)
    key = listing_in(scene).key
    data = scene.records[key].record
    assert unpack_roster(data, tag_of(key), None) == roster_in(scene)
    assert data == pack_roster(roster_in(scene), tag_of(key), None)


def test_the_server_is_asked_once_whether_it_evicts(scene: Scene) -> None:
    """Before the first change of a list; not again by another user's."""
    rosters = Rosters((OWNER,), 3, 5000.0, unwarned={"eviction"})
    for _ in range(2):
        scene.run(end_all(listing_in(scene, rosters), 1.0))
    assert asked(scene) == ["WarnOfEviction", "Get", "Swap", "Get", "Swap"]
