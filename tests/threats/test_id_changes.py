"""An old id signs out, and nothing else: whoever kept it, and whatever changed the id."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from coatcheck import Session
from coatcheck.csrf import csrf_token, is_csrf_token
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, Migrating
from coatcheck.testing import Clock
from tests.hosts import Browser, Front, Handler
from tests.storage_kinds import SERVER_SIDE, Made, front_of
from tests.threats.attacks import (
    does,
    everywhere,
    gets,
    held_open,
    holder,
    in_hand,
    is_new,
    server_side,
    sets,
)


def signs_in(user: str, **written: object) -> Handler:
    def signs(session: Session) -> None:
        session.sign_in(user)
        session.update(written)

    return signs


def regenerates(session: Session) -> None:
    session.regenerate_id()


def confirms(session: Session) -> None:
    session.confirm()


def acts(session: Session) -> None:
    session.act_as("customer")


def stops(session: Session) -> None:
    session.stop_acting()


def destroys(session: Session) -> None:
    session.destroy()


def user_of(session: Session) -> str | None:
    return session.signed_in.user if session.signed_in else None


def ada(front: Front) -> Browser:
    """Return a browser in which Ada is signed in, and collected something."""
    browser = front.browser()
    browser.ask(sets(visited=True))
    browser.ask(signs_in("ada", cart=["coat"], prefs={"size": 4}, secret="x"))
    return browser


CHANGES: dict[str, list[Handler]] = {
    "regenerate_id": [regenerates],
    "confirm": [confirms],
    "sign_in again": [signs_in("ada")],
    "act_as": [acts],
    "act_as and stop_acting": [acts, stops],
    "three changes": [regenerates, confirms, regenerates],
}
"""What changes the id of a session, whose user stays."""

server_side_changes = pytest.mark.parametrize(
    ("front", "steps"),
    [
        pytest.param(
            *front.values,
            steps,
            id=f"{front.id}-{name}",
            marks=front.marks
            if front.id.endswith("-memory") or name == "three changes"
            else pytest.mark.thorough,
        )
        for front in SERVER_SIDE
        for name, steps in CHANGES.items()
    ],
    indirect=["front"],
)
"""Every change over memory, and the last of them over every storage."""


def flashes(session: Session) -> None:
    session.flash("secret", "late")


def appends(session: Session) -> None:
    session["cart"].append("late")


WRITES: dict[str, Handler] = {
    "a value": sets(late=True),
    "a change in place": appends,
    "a change inside a dict": lambda s: s["prefs"].update(late=1),
    "a change further inside": lambda s: s["prefs"].pop("size"),
    "setdefault": lambda s: s.setdefault("cart", []).append("late"),
    "update": lambda s: s.update(cart=[*s.get("cart", []), "late"]),
    "apply": lambda s: s.apply("cart", lambda cart: [*cart, "late"], []),
    "a flash": flashes,
    "a new id": does(sets(late=True), regenerates),
    "a change in place and a new id": does(appends, regenerates),
    "a change in place and a sign-in": does(appends, signs_in("eve")),
    "the same value, and a sign-in": does(lambda s: s.update(dict(s)), signs_in("eve")),
    "apply and a sign-in": does(
        lambda s: s.apply("cart", lambda cart: [*cart, "late"], []), signs_in("eve")
    ),
    "a flash and a sign-in": does(flashes, signs_in("eve")),
    "a sign-in, and everything again": does(
        lambda s: s.update(a=dict(s)), signs_in("eve"), lambda s: s.pop("a")
    ),
    "acting": does(appends, acts),
}
"""What a request does that is held open with a stolen cookie."""


def assert_nothing_is_back(front: Front, header: str | None) -> None:
    """A cookie that an attacker got leads to nothing that Ada had."""
    if header:
        found = holder(front, header)
        assert found.ask(user_of).json not in ("ada", "customer")
        held = found.ask(dict).json
        assert not held.keys() & {"cart", "prefs", "secret", "visited"}
        assert found.ask(gets("secret")).json in (None, "late")


@server_side
def test_a_request_held_open_with_a_stolen_cookie_brings_nothing_back(front: Front) -> None:
    """Ada changes her id and signs out meanwhile: then nothing of hers is anywhere."""
    for write in WRITES.values():
        victim = ada(front)
        stolen, old = victim.header, victim.value
        answer = held_open(front, stolen, write, (victim, regenerates), (victim, destroys))
        assert victim.header is None
        assert_nothing_is_back(front, in_hand(answer))
        assert front.read(old).is_new
        assert holder(front, stolen).ask(is_new).json is True


@server_side_changes
def test_a_request_held_open_over_any_change_of_the_id_brings_nothing_back(
    front: Front, steps: list[Handler]
) -> None:
    """Whatever changed it, once or again; the sign-out follows at once, or never."""
    for last in (destroys, sets(still=True)):
        victim = ada(front)
        stolen = victim.header
        taken = [*((victim, step) for step in steps), (victim, last)]
        late = lambda s: s["cart"].append("late") or (s.setdefault("planted", True) and None)  # noqa: E731
        answer = held_open(front, stolen, late, *taken)
        assert in_hand(answer) is None
        assert "planted" not in victim.ask(dict).json
        assert holder(front, stolen).ask(dict).json == {}


@dataclass
class Shop:
    cart: list[str] = field(default_factory=list)
    secret: str = ""


@server_side
def test_typed_fields_bring_nothing_back(front: Front) -> None:
    """A field that was changed in place is a change like any other."""

    def fills(session: Session) -> None:
        session.data.cart.append("coat")
        session.data.secret = "x"
        session.sign_in("ada")

    def late(session: Session) -> None:
        session.data.cart.append("late")
        session.sign_in("eve")

    victim = front.browser(data=Shop)
    victim.ask(fills)
    stolen = victim.header
    answer = held_open(front, stolen, late, (victim, regenerates), (victim, destroys), data=Shop)
    found = holder(front, in_hand(answer), data=Shop)
    assert found.ask(lambda session: session.data.cart).json == []
    assert found.ask(lambda session: session.data.secret).json == ""


MIGRATIONS = ["memory to memory", "cookie to memory"]


@pytest.fixture
def moving(request: pytest.FixtureRequest, clock: Clock) -> Iterator[tuple[Front, Browser]]:
    """A front end over a storage made of two, and a browser whose session lies in the old one."""
    name, way = request.param
    new = MemoryStorage(clock=clock)
    old: CookieStorage | KeyedStorage = MemoryStorage(clock=clock)
    if way.startswith("cookie"):
        old = CookieStorage(clock=clock)
    with front_of(name, Made(old)) as before:
        header = ada(before).header
    with front_of(name, Made(Migrating(old, new))) as front:
        yield front, holder(front, header)


@pytest.mark.parametrize(
    "moving", [(name, way) for name in ("asgi", "wsgi") for way in MIGRATIONS], indirect=True
)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_session_on_the_move_brings_nothing_back(
    moving: tuple[Front, Browser], write: Handler
) -> None:
    """It lies in the old storage when the request is held open, and moves meanwhile."""
    front, victim = moving
    stolen, old = victim.header, victim.value
    answer = held_open(front, stolen, write, (victim, regenerates), (victim, destroys))
    assert_nothing_is_back(front, in_hand(answer))
    assert front.read(old).is_new
    assert holder(front, stolen).ask(is_new).json is True


# Signing out with an old id


@server_side_changes
@pytest.mark.parametrize("early", [True, False])
def test_a_sign_out_with_an_old_id_ends_the_session(
    front: Front, steps: list[Handler], *, early: bool
) -> None:
    """It had read the session before, or comes later: Ada is signed out, and her cookie goes."""
    victim = ada(front)
    kept = victim.header
    taken = [(victim, step) for step in steps]
    if early:
        answer = held_open(front, kept, destroys, *taken)
    else:
        for _, step in taken:
            victim.ask(step)
        answer = holder(front, kept).ask(destroys)
    assert in_hand(answer) == ""
    assert victim.ask(is_new).json is True


@server_side
@pytest.mark.parametrize("early", [True, False])
def test_a_sign_out_with_a_rotated_id_ends_the_session(
    front: Front, clock: Clock, *, early: bool
) -> None:
    """A rotation hands the session over, to be ended, too."""
    victim = front.browser(rotate=300)
    victim.ask(signs_in("ada"))
    kept = victim.header
    clock.advance(300)
    if early:
        answer = held_open(front, kept, destroys, (victim, sets(n=1)), rotate=300)
    else:
        victim.ask(sets(n=1))
        answer = holder(front, kept, rotate=300).ask(destroys)
    assert victim.header != kept
    assert in_hand(answer) == ""
    assert victim.ask(is_new).json is True


@server_side
@pytest.mark.parametrize("was", ["nobody", "ada"])
@pytest.mark.parametrize("early", [True, False])
def test_a_sign_out_with_an_old_id_spares_another_user(
    front: Front, was: str, *, early: bool
) -> None:
    """Bob signed in meanwhile, at the same browser: his session and his cookie stay."""
    browser = front.browser()
    browser.ask(signs_in("ada") if was == "ada" else sets(cart=["coat"]))
    kept = browser.header
    if early:
        answer = held_open(front, kept, destroys, (browser, signs_in("bob")))
    else:
        browser.ask(signs_in("bob"))
        answer = holder(front, kept).ask(destroys)
    assert in_hand(answer) is None
    assert browser.ask(user_of).json == "bob"


@server_side_changes
def test_an_old_id_gains_nothing(front: Front, steps: list[Handler]) -> None:
    """It reads nothing, keeps nothing, cannot confirm or act, and changes no cookie."""
    victim = ada(front)
    thief = holder(front, victim.header)
    for step in steps:
        victim.ask(step)
    before = victim.ask(dict).json
    assert thief.ask(does(lambda s: s.setdefault("mine", 1), dict)).json == {"mine": 1}
    assert thief.ask(user_of).json is None
    for denied in (confirms, acts, stops):
        with pytest.raises(Exception, match="needs"):
            thief.ask(denied)
    assert in_hand(thief.ask(does(sets(planted=True), regenerates))) is None
    assert victim.ask(dict).json == before
    own = in_hand(thief.ask(signs_in("eve", planted=True)))
    assert own
    assert holder(front, own).ask(dict).json == {"planted": True}
    assert victim.ask(dict).json == before


# Whose cookie stands last


@server_side
@pytest.mark.parametrize("due", ["a refresh", "a rotation", "a write"])
def test_a_slow_answer_puts_no_older_cookie_over_a_newer_one(
    front: Front, clock: Clock, due: str
) -> None:
    """The id changed while the slow request was under way: it sends no cookie at all."""
    rotate = 300 if due == "a rotation" else None
    handler = gets("n") if due == "a refresh" else sets(n=1)
    for step in (regenerates, confirms, signs_in("ada")):
        browser = front.browser(rotate=rotate)
        browser.ask(signs_in("ada"))
        old = browser.header
        clock.advance(7 * 24 * 3600 if due == "a refresh" else 301)
        answer = held_open(front, old, handler, (browser, step), rotate=rotate)
        assert in_hand(answer) is None
        assert browser.ask(user_of).json == "ada"


@server_side
@pytest.mark.parametrize("dropped", ["first", "second"])
def test_two_clicks_on_sign_in_leave_the_browser_signed_in(front: Front, dropped: str) -> None:
    """Whichever answer it drops: both send the same cookie, and both did what they did."""
    browser = front.browser()
    browser.ask(sets(cart=["coat"]))
    first = holder(front, browser.header)
    answer = held_open(
        front, browser.header, signs_in("ada", second=True), (first, signs_in("ada", first=True))
    )
    assert in_hand(answer) == first.header
    browser.header = first.header if dropped == "second" else in_hand(answer)
    assert browser.ask(user_of).json == "ada"
    assert browser.ask(dict).json == {"cart": ["coat"], "first": True, "second": True}


@server_side
def test_two_users_who_sign_in_at_once_get_two_sessions(front: Front) -> None:
    """Nothing of one is in the session of the other; the last answer counts."""
    browser = front.browser()
    browser.ask(sets(cart=["coat"]))
    bob = holder(front, browser.header)
    answer = held_open(front, browser.header, signs_in("ada", a=1), (bob, signs_in("bob", b=1)))
    assert bob.ask(user_of).json == "bob"
    assert bob.ask(dict).json == {"cart": ["coat"], "b": 1}
    other = holder(front, in_hand(answer))
    assert other.ask(user_of).json == "ada"
    assert other.ask(dict).json == {"a": 1}


@server_side
def test_a_session_is_not_handed_from_one_user_to_the_next(front: Front) -> None:
    """What Ada left is gone when Bob signs in over her session, and her old id is worth nothing."""
    browser = ada(front)
    old = browser.header
    browser.ask(signs_in("bob", own=1))
    assert browser.ask(dict).json == {"own": 1}
    assert holder(front, old).ask(dict).json == {}


# Rotation


@server_side
def test_a_rotated_id_works_for_the_grace_and_not_after_a_change(
    front: Front, clock: Clock
) -> None:
    """A slow request goes on under the new id; a sign-in, a new id or a sign-out ends that."""
    browser = front.browser(rotate=300)
    browser.ask(signs_in("ada"))
    old = browser.header
    clock.advance(300)
    browser.ask(sets(n=1))
    assert browser.header != old
    late = holder(front, old, rotate=300)
    assert late.ask(sets(late=True)).status == 200
    assert late.header == browser.header
    assert browser.ask(dict).json == {"n": 1, "late": True}
    browser.ask(confirms)
    assert holder(front, old, rotate=300).ask(is_new).json is True
    assert browser.ask(user_of).json == "ada"


@server_side
def test_a_rotation_changes_no_csrf_token(front: Front, clock: Clock) -> None:
    """A form that was open meanwhile still works; after a sign-in it does not."""
    browser = front.browser(rotate=300)
    browser.ask(sets(cart=[]))
    token = browser.ask(csrf_token).json
    clock.advance(300)
    before = browser.header
    browser.ask(sets(n=1))
    assert browser.header != before
    assert browser.ask(lambda session: is_csrf_token(session, token)).json is True
    browser.ask(signs_in("ada"))
    assert browser.ask(lambda session: is_csrf_token(session, token)).json is False


@everywhere
def test_a_sign_in_changes_the_csrf_token(front: Front) -> None:
    """And a confirmation does not: it is the same person, at the same form."""
    browser = front.browser()
    browser.ask(sets(cart=[]))
    token = browser.ask(csrf_token).json
    browser.ask(signs_in("ada"))
    assert browser.ask(lambda session: is_csrf_token(session, token)).json is False
    token = browser.ask(csrf_token).json
    browser.ask(confirms)
    assert browser.ask(lambda session: is_csrf_token(session, token)).json is True
