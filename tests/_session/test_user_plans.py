"""What an application asks about the sessions of a user."""

import pytest

from coatcheck import ConfigurationError, Session
from coatcheck._session import user_plans
from coatcheck._session.record import GRACE, Record
from coatcheck._session.roster_plans import Rosters
from coatcheck._session.user_plans import UserSession
from tests._session.scene import Scene, confirms, signs_in
from tests._session.test_listed import signed_in, visitor

OWNER, FORMER = b"12345678", b"former.."
IDLE = 10 * GRACE
ROSTERS = Rosters(owners=(OWNER, FORMER), limit=9, lasts=50_000.0)


@pytest.fixture
def scene() -> Scene:
    return Scene(idle=IDLE, owner=OWNER, rosters=ROSTERS)


def sessions_of(scene: Scene, current: Session | None = None) -> list[UserSession]:
    return scene.run(user_plans.sessions_of(ROSTERS, scene.space, "ada", current))


def end_others(scene: Scene, session: Session) -> int:
    return len(scene.run(user_plans.end_others(ROSTERS, scene.space, session)))


def end_all(scene: Scene, current: Session | None = None) -> int:
    return len(scene.run(user_plans.end_all(ROSTERS, scene.space, "ada", current)))


def lives(scene: Scene, id: str | None) -> bool:
    return isinstance(scene.at(id or ""), Record)


def test_sessions_are_listed_newest_use_first(scene: Scene) -> None:
    """With what a page shows, in UTC; this request's is marked."""
    first = signed_in(scene)
    scene.clock.advance(1)
    second = signed_in(scene)
    scene.clock.advance(IDLE / 2)
    scene.change(first)
    current = scene.read(first)
    one, two = sessions_of(scene, current)
    assert current.signed_in and one.handle == current.signed_in.handle
    assert (one.is_current, two.is_current) == (True, False)
    assert one.signed_in_at < two.signed_in_at < one.seen_at
    assert one.expires_at.timestamp() == scene.record(first).expires
    assert two.seen_at == two.signed_in_at
    assert lives(scene, second)
    assert repr(one) == f"<UserSession {one.handle}>"


def test_a_request_without_a_sign_in_is_none_of_them(scene: Scene) -> None:
    """`current` may be any session."""
    signed_in(scene)
    assert [each.is_current for each in sessions_of(scene, visitor(scene))] == [False]


def test_one_session_ends(scene: Scene) -> None:
    """By its handle; a handle of another user ends nothing."""
    id, other = signed_in(scene), signed_in(scene, "eve")
    (mine,) = sessions_of(scene)
    assert scene.run(user_plans.end(ROSTERS, scene.space, "eve", mine.handle)) == set()
    assert scene.run(user_plans.end(ROSTERS, scene.space, "ada", mine.handle)) == {mine.handle}
    assert (lives(scene, id), lives(scene, other)) == (False, True)


def test_all_sessions_end(scene: Scene) -> None:
    """The answer is how many; a user without any has none."""
    ids = [signed_in(scene), signed_in(scene)]
    assert (end_all(scene), end_all(scene)) == (2, 0)
    assert [lives(scene, id) for id in ids] == [False, False]


def test_a_request_that_ends_all_may_sign_in_afterwards(scene: Scene) -> None:
    """A reset of the password: everything ends, and this device is signed in."""
    id = signed_in(scene)
    scene.clock.advance(5)
    session = scene.read(id)
    scene.clock.advance(5)
    assert end_all(scene, session) == 1
    session.sign_in("ada")
    newer = scene.save(session)
    assert (lives(scene, id), lives(scene, newer)) == (False, True)
    assert len(sessions_of(scene)) == 1


def test_that_holds_for_this_user_alone(scene: Scene) -> None:
    """A cut-off of another user refuses the sign-in."""
    session = visitor(scene)
    scene.clock.advance(5)
    end_all(scene, session)
    scene.run(user_plans.end_all(ROSTERS, scene.space, "eve", None))
    session.sign_in("eve")
    assert scene.save(session) is None


def test_all_others_end(scene: Scene) -> None:
    """This session stays, under its next ids, too."""
    own, other = signed_in(scene), signed_in(scene)
    session = scene.read(own)
    scene.clock.advance(5)
    assert end_others(scene, session) == 1
    assert (lives(scene, own), lives(scene, other)) == (True, False)
    session.confirm(pin=None)
    moved = scene.save(session)
    assert lives(scene, moved)


def test_a_change_of_the_password_in_one_request(scene: Scene) -> None:
    """`confirm` first, then `end_others`: the new id is saved after the others ended."""
    own, other = signed_in(scene), signed_in(scene)
    scene.clock.advance(5)
    session = scene.read(own)
    scene.clock.advance(5)
    confirms(session)
    assert end_others(scene, session) == 1
    moved = scene.save(session)
    assert lives(scene, moved) and not lives(scene, other)
    assert len(sessions_of(scene)) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_a_sign_in_and_the_end_of_all_others_in_one_request(scene: Scene, *, stored: bool) -> None:
    """The session is not on the list yet, and is entered after the cut-off."""
    other = signed_in(scene)
    session = scene.read(signed_in(scene)) if stored else visitor(scene)
    scene.clock.advance(5)
    session.sign_in("ada")
    assert end_others(scene, session) == 1
    newer = scene.save(session)
    assert lives(scene, newer) and not lives(scene, other)
    assert len(sessions_of(scene)) == 1


def test_a_lost_session_is_put_back_when_it_is_spared(scene: Scene) -> None:
    """Its roster was lost; the cut-off must not end it later."""
    own = signed_in(scene)
    scene.clock.advance(5)
    del scene.records[ROSTERS.of("ada", scene.space).key]
    assert end_others(scene, scene.read(own)) == 0
    scene.clock.advance(IDLE / 2)
    assert scene.change(own) == own
    assert len(sessions_of(scene)) == 1


def test_nobody_can_end_others_for_nobody(scene: Scene) -> None:
    """Sign in first."""
    with pytest.raises(ConfigurationError, match="needs a signed-in user"):
        end_others(scene, visitor(scene))


def test_somebody_who_acts_ends_no_others(scene: Scene) -> None:
    """It would mean the wrong person."""
    session = scene.read(signed_in(scene))
    session.act_as("eve")
    with pytest.raises(ConfigurationError, match="stop acting first"):
        end_others(scene, session)


def test_the_lists_of_a_former_owner_are_looked_up_too(scene: Scene) -> None:
    """An application that changed its secret finds the sessions of both, each once."""
    old = Rosters(owners=(FORMER,), limit=9, lasts=50_000.0)
    was = Scene(idle=IDLE, owner=FORMER, rosters=old)
    was.records, was.clock, was.space = scene.records, scene.clock, scene.space
    first = was.stored(signs_in("ada"))
    signed_in(scene)
    assert len(sessions_of(scene)) == 2
    assert end_all(scene) == 2
    assert not lives(scene, first)
