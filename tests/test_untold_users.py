"""
Sessions that tell their user by the value under `user_key` alone.

They are from before that option was set, or of another package.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from typing import Any

import pytest

from coatcheck import Event, Session, Users, adopt
from coatcheck.storage import CookieStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.adopt.formats import VECTORS, Records, records_of
from tests.adopt.signed import reader, starlette
from tests.hosts import COOKIE, Asgi, Browser, Front, Wsgi

KEY = "user_id"
UNTIL = date(2099, 1, 1)


@pytest.fixture(params=[Wsgi, Asgi])
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    front = request.param(MemoryStorage(clock=clock))
    with front.runner if isinstance(front, Asgi) else nullcontext():
        yield front


def user_of(session: Session) -> object:
    return session.signed_in and session.signed_in.user


def handle_of(session: Session) -> object:
    return session.signed_in and session.signed_in.handle


def signs_out(session: Session) -> object:
    session.destroy()
    return user_of(session)


def sets(**values: Any) -> Any:
    return lambda session: session.update(values)


def from_before(front: Front, clock: Clock, **options: Any) -> Browser:
    """Return a browser whose session was kept before the application had the options."""
    before, now = front.browser(), front.browser(user_key=KEY, **options)
    before.ask(sets(user_id="ada", cart=["tea"]))
    clock.advance(60)
    now.header = before.header
    return now


def of_another_package(front: Front, clock: Clock, **options: Any) -> Browser:
    """Return a browser with a cookie of Starlette's middleware."""
    browser = front.browser(user_key=KEY, adopts=[reader()], **options)
    browser.header = starlette(clock.now, user_id="ada", cart=["tea"])
    clock.advance(60)
    return browser


untold = pytest.mark.parametrize("begin", [from_before, of_another_package])


@untold
def test_the_user_is_signed_in_in_the_first_request(begin: Any, front: Front, clock: Clock) -> None:
    """A page that asks `signed_in` sends nobody to the sign-in; the handle stays."""
    began = clock.now
    browser = begin(front, clock)

    def shows(session: Session) -> list[Any]:
        assert session.signed_in
        at = session.signed_in.signed_in_at.timestamp()
        return [session.signed_in.user, session.signed_in.handle, at - began]

    first = browser.ask(shows).json
    assert first[::2] == ["ada", 0]
    assert browser.ask(shows).json == first


@untold
def test_a_change_of_the_password_in_the_first_request(
    begin: Any, front: Front, clock: Clock
) -> None:
    """The others end, and this one goes on, in the list too."""
    users = Users(COOKIE, front.storage)
    browser, other = begin(front, clock, users=users), front.browser(users=users)
    other.ask(lambda session: session.sign_in("ada"))
    clock.advance(1)

    def changes(session: Session) -> list[Any]:
        session.confirm(pin="new hash")
        return [users.end_others(session), user_of(session)]

    assert browser.ask(changes).json == [1, "ada"]
    clock.advance(1)
    assert [browser.ask(user_of).json, other.ask(user_of).json] == ["ada", None]
    listed = browser.ask(lambda s: [it.is_current for it in users.sessions_of("ada", current=s)])
    assert listed.json == [True]


@untold
def test_the_others_end_without_a_confirm(begin: Any, front: Front, clock: Clock) -> None:
    """The session that asks for it is spared, although no list had it."""
    users = Users(COOKIE, front.storage)
    browser = begin(front, clock, users=users)
    assert browser.ask(users.end_others).json == 0
    clock.advance(1)
    browser.ask(sets(page=1))
    assert browser.ask(user_of).json == "ada"
    assert len(users.sessions_of("ada")) == 1


@untold
def test_everything_ends_with_a_sign_out_everywhere(begin: Any, front: Front, clock: Clock) -> None:
    """Also the session that asks for it, although no list has it yet."""
    users = Users(COOKIE, front.storage)
    browser = begin(front, clock, users=users)
    browser.ask(lambda session: [user_of(session), users.end_all("ada", current=session)])
    clock.advance(1)
    browser.ask(sets(page=1))
    assert browser.ask(user_of).json is None


@untold
@pytest.mark.parametrize("signs_in", [sets(user_id="bob"), lambda session: session.sign_in("bob")])
def test_what_the_user_left_goes_when_another_signs_in(
    begin: Any, signs_in: Any, front: Front, clock: Clock
) -> None:
    """As it goes from a session that tells its user."""
    browser = begin(front, clock)
    browser.ask(signs_in)
    assert browser.ask(user_of).json == "bob"
    assert "cart" not in browser.ask(dict).json
    same = begin(front, clock)
    same.ask(lambda session: session.sign_in("ada"))
    assert same.ask(dict).json["cart"] == ["tea"]


@untold
def test_a_user_who_is_taken_away_stays_away(begin: Any, front: Front, clock: Clock) -> None:
    """Also if the handler looked who it is before."""
    browser = begin(front, clock)
    browser.ask(lambda session: [user_of(session), session.pop(KEY), user_of(session)])
    assert browser.ask(user_of).json is None
    assert browser.ask(dict).json == {"cart": ["tea"]}


def clears_first(session: Session) -> None:
    session.clear()
    session[KEY] = "7"


@pytest.mark.parametrize(
    ("logs_in", "left"),
    [(sets(user_id="7"), "7"), (sets(user_id=7), 7), (clears_first, "7")],
)
def test_a_login_after_the_end_of_all_counts_with_the_same_value_too(
    logs_in: Any, left: object, front: Front, clock: Clock
) -> None:
    """The key is written again: a reset of the password signs this browser in anew."""
    users = Users(COOKIE, front.storage)
    one, two = (front.browser(user_key=KEY, users=users) for _ in range(2))
    for browser in (one, two):
        browser.ask(sets(user_id="7", cart=1))
    before = one.value
    clock.advance(1)

    def resets(session: Session) -> None:
        users.end_all("7", current=session)
        logs_in(session)
        assert user_of(session) == "7"

    one.ask(resets)
    clock.advance(1)
    assert [one.ask(dict).json, one.ask(user_of).json] == [{KEY: left}, "7"]
    assert one.value != before and two.ask(user_of).json is None
    assert len(users.sessions_of("7")) == 1
    one.ask(lambda session: [users.end_all("7", current=session), session.get(KEY)])
    clock.advance(1)
    assert one.ask(user_of).json is None


def test_others_end_and_the_same_value_is_nothing(front: Front) -> None:
    """The session goes on then, with its handle."""
    users = Users(COOKIE, front.storage)
    browser = front.browser(user_key=KEY, users=users)
    browser.ask(sets(user_id="ada"))
    handle = browser.ask(handle_of).json

    def changes(session: Session) -> None:
        users.end_others(session)
        session[KEY] = "ada"

    browser.ask(changes)
    assert browser.ask(handle_of).json == handle


def test_after_the_headers_a_user_is_only_shown(clock: Clock) -> None:
    """What cannot be kept any more is not noted."""
    storage = MemoryStorage(clock=clock)
    session = Wsgi(storage)
    browser = from_before(session, clock)
    late: list[Session] = []
    browser.ask(late.append)
    assert late[0].signed_in is None
    assert browser.ask(signs_out).json is None


def test_a_cookie_from_before_a_sign_out_everywhere_is_nobodys(front: Front, clock: Clock) -> None:
    """Its pages are not shown even once; the user signs in there, and others are let in."""
    users, events = Users(COOKIE, front.storage), list[Event]()
    browser = of_another_package(front, clock, users=users, on_event=events.append)
    old = browser.header
    users.end_all("ada")
    clock.advance(1)
    for _ in range(2):
        assert browser.ask(dict).json == {}
        assert browser.header == old
    assert [each.reason for each in events if each.kind == "refused"] == ["Starlette: cut-off"] * 2
    browser.ask(sets(user_id="ada"))
    assert browser.ask(user_of).json == "ada"
    browser.header = starlette(clock.now, user_id="ada")  # the old package signed it after that
    assert browser.ask(user_of).json == "ada"
    browser.header = starlette(clock.now - 99, user_id="bob")
    assert browser.ask(user_of).json == "bob"


def test_a_record_without_a_time_counts_as_from_before(front: Front) -> None:
    """Its package does not tell when the user signed in."""
    vector = VECTORS["express/max_age"]
    readers = [adopt.Express(Records(records_of(vector)), secrets=vector["secrets"])]
    users = Users(COOKIE, front.storage)
    for user in ("7", "42"):
        users.end_all(user)
        browser = front.browser(user_key=KEY, adopts=readers, users=users)
        browser.header = f"connect.sid={vector['cookies']['connect.sid']}"
        assert browser.ask(user_of).json == (None if user == "42" else "42")


def test_a_cookie_from_before_is_nobodys_where_cookies_carry_sessions(clock: Clock) -> None:
    """The list of the user's sessions tells it there, too."""
    storage = CookieStorage(clock=clock)
    users = Users(COOKIE, storage, rosters=MemoryStorage(clock=clock))
    browser = Wsgi(storage).browser(user_key=KEY, users=users, adopts=[reader(until=UNTIL)])
    browser.header = starlette(clock.now, user_id="ada")
    clock.advance(1)
    users.end_all("ada")
    assert browser.ask(dict).json == {}
