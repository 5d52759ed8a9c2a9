"""
Sessions of other packages are kept once: every order of the calls of parallel first requests.

Each schedule says which request makes the next call. All that two requests can do is tried: keep
the session, change it, sign in, sign out.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import pytest
from msgspec.structs import replace

from coatcheck._session.adopted import old_id
from coatcheck._session.body_cipher import BodyCipher
from coatcheck._session.draft import Draft, Foreign, Lost
from coatcheck._session.record import GRACE, Contents, Record, Who
from coatcheck._session.roster_plans import Rosters, read
from coatcheck._session.session import Session, showing
from coatcheck._session.values import encode
from tests._session.scene import Running, Scene
from tests.thorough import thorough

OLD = old_id(b"verified", "name")
CALLS = 6
"""Calls that one save makes at most before it only follows the other."""

Does = Callable[[Session], object]


def foreign(scene: Scene, lives_until: float | None = None) -> Session:
    """Return the session of a first request, as the shell makes it."""
    body = Contents({"user": encode("user", 42)})
    until = scene.clock() + 10 * GRACE if lives_until is None else lives_until
    return showing(Draft(body.copy(), scene.terms, Foreign(body, OLD, None, until, "Flask")))


def look(session: Session) -> object:
    return session["user"]


def change(session: Session) -> object:
    session["more"] = 1
    return None


def sign_in(session: Session) -> object:
    session.sign_in("ada")
    return None


def destroy(session: Session) -> object:
    session.destroy()
    return None


def schedules() -> Iterator[list[int]]:
    """Yield every order of the calls of two requests."""
    places = range(2 * CALLS)
    for first in combinations(places, CALLS):
        yield [0 if at in first else 1 for at in places]


def carry_out(schedule: list[int], requests: list[Running[str | None]]) -> list[str | None]:
    """Make the calls in an order; then finish what is left."""
    for which in schedule:
        if requests[which].call:
            requests[which].step()
    return [request.finish() for request in requests]


def living(scene: Scene) -> list[str]:
    """Return the keys of the sessions that live."""
    found = []
    for key, stored in scene.records.items():
        if isinstance(scene.space.unpacked(stored.record, bytes.fromhex(key[:16]), ""), Record):
            found.append(key)
    return found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (look, change),
        (look, destroy),
        (change, change),
        (change, sign_in),
        (sign_in, sign_in),
        (sign_in, destroy),
        thorough(look, look),
        thorough(look, sign_in),
        thorough(change, look),
        thorough(change, destroy),
        thorough(sign_in, look),
        thorough(sign_in, change),
    ],
)
def test_two_first_requests_make_at_most_one_session(first: Does, second: Does) -> None:
    """Every cookie that goes out leads to it, or, after a sign-out, nowhere; nothing else lives."""
    for schedule in schedules():
        scene = Scene()
        sessions = [foreign(scene), foreign(scene)]
        first(sessions[0])
        second(sessions[1])
        ids = carry_out(schedule, [scene.saving(session) for session in sessions])
        alive = living(scene)
        if second is destroy:
            if first is not sign_in:  # a sign-in is another user's: the sign-out does not end it
                assert alive == [], schedule
                assert all("user" not in scene.read(id) for id in ids if id)
            continue
        assert len(alive) == 1, schedule
        given = [id for id in ids if id]
        assert any(scene.space.key(id) == alive[0] for id in given), schedule
        assert sign_in in (first, second) or scene.read(given[-1])["user"] == 42
        if (first is sign_in) == (second is sign_in):
            assert {scene.space.key(id) for id in given} == {alive[0]}
            assert len(given) == 2


@pytest.mark.parametrize("does", [sign_in, Session.regenerate_id])
def test_an_adoption_that_signs_in_gives_the_old_cookie_nothing(does: Does) -> None:
    """An attacker who planted that cookie holds it, too; a second click of the visitor joins."""
    scene = Scene()
    session = foreign(scene)
    does(session)
    id = scene.save(session)
    assert id
    late = scene.read(OLD)
    assert late.is_new
    assert late.signed_in is None
    late["more"] = 1
    assert scene.save(late) is None
    assert "more" not in scene.read(id)
    again = scene.read(OLD)
    again.sign_in("eve")
    assert scene.save(again) != id
    twice = scene.read(OLD)
    twice.sign_in("ada")
    assert (scene.save(twice) == id) is (does is sign_in)


@pytest.mark.parametrize("calls", range(1, 4))
def test_a_crash_leaves_no_second_session_to_any_cookie(calls: int) -> None:
    """A request that was killed after any of its calls: the next one with the old cookie adopts."""
    scene = Scene()
    killed = scene.saving(foreign(scene))
    for _ in range(calls):
        if killed.call:
            killed.step()
    found = scene.read(OLD)
    if found.is_new:
        assert scene.space.key(OLD) not in scene.records
        found = foreign(scene)
        look(found)
        assert scene.save(found)
        found = scene.read(OLD)
    assert found["user"] == 42


def test_the_marker_stays_as_long_as_the_old_cookie_could_live() -> None:
    """And hands the session over for the grace alone."""
    scene = Scene()
    until = scene.clock() + 30 * 24 * 3600
    id = scene.save(foreign(scene, until))
    assert id
    assert scene.marker(OLD).expires == until
    assert scene.ttls[scene.space.key(OLD)] >= until - scene.clock()
    assert scene.read(OLD).id == id
    scene.clock.advance(GRACE)
    assert scene.read(OLD).is_new
    scene.save(scene.read(id))
    late = scene.read(OLD)
    late.destroy()
    scene.save(late)
    assert scene.read(id).is_new


def test_a_rotated_session_is_handed_over_too() -> None:
    """The id that the marker names may be an old one by then."""
    scene = Scene(rotate=300)
    id = scene.save(foreign(scene))
    assert id
    scene.clock.advance(301)
    session = scene.read(id)
    session.regenerate_id()
    newer = scene.save(session)
    assert newer != id
    assert scene.read(OLD).is_new, "regenerate_id() hands nothing over"


def test_a_session_whose_lifetime_ends_meanwhile_is_not_kept() -> None:
    """`lifetime` counts from when the package made it."""
    scene = Scene(lifetime=100)
    body = Contents({"user": encode("user", 42)})
    origin = Foreign(body, OLD, scene.clock() - 50, scene.clock() + GRACE)
    session = showing(Draft(body.copy(), scene.terms, origin))
    scene.clock.advance(51)
    assert scene.save(session) is None
    assert type(session._draft.origin) is Lost
    assert not scene.records


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_sign_out_with_the_old_cookie_takes_the_session_off_the_list(*, encrypted: bool) -> None:
    """Where the body is encrypted, the marker of the old cookie tells the roster."""
    rosters = Rosters(owners=(b"12345678",), limit=9, lasts=50_000.0)
    scene = Scene(owner=b"12345678", rosters=rosters)
    if encrypted:
        scene.space = replace(scene.space, cipher=BodyCipher())

    def first_request() -> Session:
        body = Contents({"n": encode("n", 1)}, who=Who("ada", "handle", scene.clock()))
        until = scene.clock() + 10 * GRACE
        return showing(Draft(body.copy(), scene.terms, Foreign(body, OLD, None, until, "Flask")))

    assert scene.save(first_request())
    listing = rosters.of("ada", scene.space)
    assert len(scene.run(read(listing)).rows) == 1
    late = first_request()
    late.destroy()
    scene.save(late)
    assert scene.run(read(listing)).rows == ()
    assert living(scene) == []
