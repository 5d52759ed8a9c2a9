"""The calls around a save of a session that a cookie carries: their order, and their races."""

import pytest
from msgspec.structs import replace

from coatcheck import BackendError, Session, SessionConflict
from coatcheck._cookie.pins import Pins
from coatcheck._session import revocable, revocations, roster_plans
from coatcheck._session.draft import Carried, Visitor
from coatcheck._session.lifecycle import admit, found
from coatcheck._session.plan import Get, Swap
from coatcheck._session.record import GRACE, Record
from coatcheck._session.revocations import Revocations, digests_of
from coatcheck._session.roster_plans import (
    Listing,
    Rosters,
    end_all,
    living,
    revocations_of,
    revoke,
)
from coatcheck._session.session import showing
from tests._session.scene import Change, Running, Scene, confirms, destroys, sets

OWNER = b"12345678"
IDLE = 10 * GRACE
ROSTERS = Rosters((OWNER,), 9, 50_000.0, revocations=digests_of(OWNER))

Cookie = tuple[str, Record]


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE, owner=OWNER, rosters=ROSTERS)


def listing_in(scene: Scene) -> Listing:
    return ROSTERS.of("ada", scene.space)


def read(scene: Scene, cookie: Cookie) -> Session:
    session = found(Carried(cookie[1], cookie[0], None, scene.clock()))
    return admit(session, scene.terms, visitor=Visitor(terms=scene.terms))


def saving(scene: Scene, session: Session) -> "Running[Cookie | str | None]":
    return scene.begin(revocable.save(session, scene.space))


def change(scene: Scene, cookie: Cookie, act: Change) -> Cookie | str | None:
    session = read(scene, cookie)
    act(session)
    return saving(scene, session).finish()


def signed_in(scene: Scene) -> Cookie:
    session = showing(Visitor(terms=scene.terms, began=scene.clock()))
    session.sign_in("ada")
    cookie = saving(scene, session).finish()
    assert isinstance(cookie, tuple)
    return cookie


def test_a_sign_in_is_listed_before_its_cookie_leaves(scene: Scene) -> None:
    """Two questions; the row has the key of the id in the cookie."""
    id, _ = signed_in(scene)
    ((row, _),) = scene.run(living(listing_in(scene)))
    assert row.key.hex() == scene.space.key(id)
    assert [type(call) for call in scene.asked[:2]] == [Get, Swap]


def test_a_sign_out_is_entered_before_its_row_goes(scene: Scene) -> None:
    """A crash in between leaves a row, and no living copy."""
    session = read(scene, signed_in(scene))
    session.destroy()
    saving(scene, session).step(2)
    assert scene.run(living(listing_in(scene))) == []


def test_a_write_that_refreshes_nothing_asks_nothing(scene: Scene) -> None:
    """So a request costs what it did."""
    cookie = signed_in(scene)
    scene.asked.clear()
    assert isinstance(change(scene, cookie, sets(n=1)), tuple)
    assert scene.asked == []


def test_a_copy_that_comes_back_after_a_cut_off_is_refused(scene: Scene) -> None:
    """Its row is gone, and a refresh that would put it back asks first."""
    cookie = signed_in(scene)
    del scene.records[listing_in(scene).key]
    scene.clock.advance(IDLE / 2)
    late = read(scene, cookie)
    scene.run(end_all(listing_in(scene), scene.clock()))
    assert saving(scene, late).finish() is None
    assert change(scene, cookie, confirms) is None


def test_a_cut_off_between_the_question_and_the_row_is_seen(scene: Scene) -> None:
    """The roster has it first."""
    cookie = signed_in(scene)
    del scene.records[listing_in(scene).key]
    scene.clock.advance(IDLE / 2)
    running = saving(scene, read(scene, cookie)).step(2)
    scene.run(end_all(listing_in(scene), scene.clock()))
    assert running.finish() is None


def test_two_sign_outs_at_once_are_both_entered(scene: Scene) -> None:
    """The swap that lost is made again."""
    first, second = signed_in(scene), signed_in(scene)
    session = read(scene, first)
    destroys(session)
    running = saving(scene, session).step(1)
    change(scene, second, destroys)
    assert running.finish() == ""
    assert scene.run(living(listing_in(scene))) == []


def revoked_in(scene: Scene) -> Revocations:
    return scene.run(revocations_of(listing_in(scene)))


def test_one_user_cannot_fill_the_record_of_many(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many sign-outs a cut-off is left, and the user's other session goes on."""
    monkeypatch.setattr(revocations, "CROWDED", 2)
    stays = signed_in(scene)
    for _ in range(5):
        cookie = signed_in(scene)
        scene.clock.advance(1)
        assert change(scene, cookie, destroys) == ""
        copy = read(scene, cookie)._draft.contents.who
        assert copy
        digest = listing_in(scene).key[-64:]
        assert revoked_in(scene).is_over(digest, copy.handle, copy.signed_in_at)
    found = revoked_in(scene)
    assert (len(found.handles), len(found.cuts)) == (2, 1)
    ((row, _),) = scene.run(living(listing_in(scene)))
    assert row.key.hex() == scene.space.key(stays[0])
    assert isinstance(change(scene, stays, confirms), tuple)


def test_a_cut_off_in_place_of_handles_misses_no_sign_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a machine whose clock is ahead, or whose row was lost."""
    monkeypatch.setattr(revocations, "CROWDED", 0)
    ahead, lost = signed_in(scene), signed_in(scene)
    scene.clock.advance(-1)
    change(scene, ahead, destroys)
    del scene.records[listing_in(scene).key]
    scene.clock.advance(2)
    change(scene, lost, destroys)
    handles = [cookie[1].body.who.handle for cookie in (ahead, lost) if cookie[1].body.who]
    assert sorted(revoked_in(scene).handles) == sorted(handles)


def test_a_handle_that_is_there_is_not_written_again(scene: Scene) -> None:
    """One question tells that."""
    until = scene.clock() + 9.0
    scene.run(revoke(listing_in(scene), {"a": until}))
    scene.asked.clear()
    scene.run(revoke(listing_in(scene), {"a": until}))
    assert [type(call) for call in scene.asked] == [Get]


def test_the_record_of_another_key_is_an_error_of_the_backend(scene: Scene) -> None:
    """Nobody is signed out by a stranger's record."""
    listing = listing_in(scene)
    scene.run(revoke(ROSTERS.of("eve", scene.space), {"a": 5.0}))
    (stored,) = scene.records.values()
    scene.put(listing.revocations_key, stored.record)
    with pytest.raises(BackendError, match="another key"):
        scene.run(living(listing))


def test_a_list_that_always_changes_gives_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as many attempts as a save makes."""
    monkeypatch.setattr(roster_plans, "ATTEMPTS", 0)
    with pytest.raises(SessionConflict):
        scene.run(revoke(listing_in(scene), {"a": 5.0}))


@pytest.mark.parametrize("steps", range(6))
def test_two_clicks_at_once_are_one_row(steps: int) -> None:
    """Wherever the second one comes in between; of both, the limit of one session ends neither."""
    pins, rosters = Pins(["a secret of more than thirty-two characters"]), replace(ROSTERS, limit=1)
    scene = Scene(idle=IDLE, owner=OWNER, rosters=rosters, pins=pins)
    visitor = showing(Visitor(terms=scene.terms, began=scene.clock()))
    visitor["cart"] = ["tea"]
    cookie = saving(scene, visitor).finish()
    assert isinstance(cookie, tuple)
    clicks = [read(scene, cookie) for _ in range(2)]
    for click in clicks:
        click.sign_in("ada")
    first, second = (saving(scene, click) for click in clicks)
    for _ in range(steps):
        if first.call:
            first.step()
    kept = [second.finish(), first.finish()]
    handles = {each[1].body.who and each[1].body.who.handle for each in kept if type(each) is tuple}
    ((row, _),) = scene.run(living(listing_in(scene)))
    assert handles == {row.handle}
    assert not scene.run(revocations_of(listing_in(scene))).is_over(
        listing_in(scene).key[-64:], row.handle, row.signed_in_at
    )
