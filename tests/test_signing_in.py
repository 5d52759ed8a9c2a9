"""Signing in, as users call it: over every storage, with the cookie that browsers get."""

from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck import ConfigurationError, Cookie, ResponseStarted, Session, Users
from coatcheck.csrf import csrf_token
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.applications import ACCEPT, connection, fill, run, sets, speaks
from tests.hosts import COOKIE, SECRET, Browser, Front
from tests.storage_kinds import EVERYWHERE, NEAR, Made, front_of, storage_of

SHORT = Cookie("short", secrets=[SECRET], max_age=3600)


@pytest.fixture(params=EVERYWHERE)
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """Every front end over every storage."""
    way, kind = request.param
    with storage_of(kind, request, clock) as made, front_of(way, made) as front:
        yield front


@pytest.fixture(params=NEAR)
def near_front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """Every front end, over a storage with ids and one without."""
    way, kind = request.param
    with storage_of(kind, request, clock) as made, front_of(way, made) as front:
        yield front


def shown(session: Session) -> Any:
    found = session.signed_in
    return found and [found.user, found.handle, found.label, found.actor]


def test_a_sign_in_lasts(front: Front, clock: Clock) -> None:
    """User, handle, times, pin, label, idle time and kind of cookie: over refresh and confirm()."""
    browser = front.browser(SHORT, idle=60)
    browser.ask(lambda session: session.update(cart=["tea"]))
    visitor = browser.header

    def sign_in(session: Session) -> Any:
        session.sign_in(42, remember=300, pin="hash", label="Firefox on Windows")
        return shown(session)

    answer = browser.ask(sign_in)
    told = answer.json
    assert told[0] == "42" and told[2:] == ["Firefox on Windows", None]
    assert "Max-Age=300;" in answer.all("set-cookie")[0]
    assert browser.header != visitor
    clock.advance(200)  # longer than the middleware's idle time
    answer = browser.ask(shown)
    assert answer.json == told
    assert "Max-Age=300;" in answer.all("set-cookie")[0]  # a refresh
    clock.advance(200)

    def confirm(session: Session) -> Any:
        assert session.signed_in and not session.signed_in.is_fresh(300)
        session.confirm(pin="newer")
        assert session.signed_in.is_fresh(0)
        return shown(session)

    signed_in = browser.header
    answer = browser.ask(confirm)
    assert answer.json == told and browser.header != signed_in
    assert "Max-Age=300;" in answer.all("set-cookie")[0]

    def later(session: Session) -> Any:
        found = session.signed_in
        assert found and found.holds("newer") and not found.holds("hash")
        assert found.signed_in_at.timestamp() == found.confirmed_at.timestamp() - 400
        return dict(session)

    assert browser.ask(later).json == {"cart": ["tea"]}
    assert "Max-Age=0;" in browser.ask(lambda session: session.sign_out()).all("set-cookie")[0]
    assert browser.ask(shown).json is None


def test_acting_as_a_user(front: Front, clock: Clock) -> None:
    """The same handle; the data of each is hidden from the other; it ends by itself."""
    browser = front.browser(SHORT)
    browser.ask(lambda session: session.sign_in("staff"))
    handle = browser.ask(shown).json[1]

    def act(session: Session) -> Any:
        session.act_as(7, seconds=600)
        session["page"] = "the user's"
        return shown(session)

    assert browser.ask(act).json == ["7", handle, "", "staff"]
    assert browser.ask(dict).json == {"page": "the user's"}
    clock.advance(600)
    assert browser.ask(shown).json == ["staff", handle, "", None]
    assert browser.ask(dict).json == {}
    browser.ask(act)
    browser.ask(lambda session: session.stop_acting())
    assert browser.ask(shown).json == ["staff", handle, "", None]
    assert browser.ask(dict).json == {}


def test_acting_ends_with_the_sessions_of_the_staff(clock: Clock) -> None:
    """The session is on the list of the staff, and a sign-out of the user everywhere spares it."""
    storage = MemoryStorage(clock=clock)
    users = Users(COOKIE, storage)
    with front_of("wsgi", Made(storage)) as front:
        browser = front.browser(users=users)
        browser.ask(lambda session: session.sign_in("staff"))
        browser.ask(lambda session: session.act_as(7))
        assert users.sessions_of(7) == [] and len(users.sessions_of("staff")) == 1

        def end_others(session: Session) -> str:
            with pytest.raises(ConfigurationError) as refused:
                users.end_others(session)
            return str(refused.value)

        assert "act" in browser.ask(end_others).json
        assert users.end_all(7) == 0
        assert browser.ask(shown).json[0] == "7"
        clock.advance(1)
        assert users.end_all("staff") == 1
        assert browser.ask(shown).json is None


@pytest.mark.parametrize(
    ("remember", "own", "max_age"),
    [
        (None, 3600, "Max-Age=3600;"),
        (False, 3600, None),
        (True, 3600, "Max-Age=3600;"),
        (True, None, "Max-Age=2592000;"),
    ],
)
def test_a_refresh_keeps_the_kind_of_cookie(
    near_front: Front, clock: Clock, remember: Any, own: int | None, max_age: str | None
) -> None:
    """A cookie of the browser's session, or one with Max-Age, as the sign-in chose."""
    cookie = Cookie("kind", secrets=[SECRET], max_age=own)
    browser = near_front.browser(cookie, idle=3600, refresh=0)
    lines = browser.ask(lambda session: session.sign_in("ada", remember=remember)).all("set-cookie")
    clock.advance(2000)
    lines += browser.ask(lambda session: session.update(page=1)).all("set-cookie")
    lines += browser.ask(lambda session: session.confirm()).all("set-cookie")
    assert len(lines) == 3
    for line in lines:
        assert max_age in line if max_age else ("Max-Age" not in line and "Expires" not in line)


def test_two_clicks_get_one_cookie_whatever_each_asked_for(clock: Clock) -> None:
    """The slower one joins: its answer carries the cookie of the faster one, of its kind."""
    with front_of("wsgi", Made(MemoryStorage(clock=clock))) as front:
        slow = front.browser(SHORT)
        slow.ask(lambda session: session.update(cart=["tea"]))
        fast = front.browser(SHORT)
        fast.header = slow.header
        told = []

        def sign_in_late(session: Session) -> None:
            session.sign_in("ada", remember=False, label="slow")
            told.extend(
                fast.ask(lambda s: s.sign_in("ada", remember=True, label="fast")).all("set-cookie")
            )

        told += slow.ask(sign_in_late).all("set-cookie")
        assert told[0] == told[1] and "Max-Age=3600;" in told[0]
        assert slow.ask(shown).json[2] == "fast"


# user_key


def keys_in(browser: Browser, user: Any) -> Any:
    return browser.ask(lambda session: session.update(user_id=user))


def test_a_user_under_a_key_is_signed_in(near_front: Front) -> None:
    """A new cookie with each change of the user; tokens of the page that signs in still work."""
    browser = near_front.browser(user_key="user_id")
    browser.ask(lambda session: session.update(cart=["tea"]))
    before = browser.header

    def sign_in(session: Session) -> str:
        session["user_id"] = 42
        return csrf_token(session)

    token = browser.ask(sign_in).json
    assert browser.header not in (None, before)
    user, handle, *_ = browser.ask(shown).json
    assert user == "42"
    assert browser.ask(csrf_token).json == token
    before = browser.header

    def leave(session: Session) -> None:
        del session["user_id"]
        session.flash("notice", "Signed out.")

    browser.ask(leave)
    assert browser.header not in (None, before)
    assert browser.ask(shown).json is None
    keys_in(browser, 42)
    assert browser.ask(shown).json[0] == "42" and browser.ask(shown).json[1] != handle
    assert "Max-Age=0;" in browser.ask(lambda session: session.clear()).all("set-cookie")[0]


def test_a_session_from_before_the_option_is_entered(near_front: Front, clock: Clock) -> None:
    """When something asks who is signed in, or with its next refresh, under the id that it has."""
    before = near_front.browser()
    keys_in(before, 42)
    id = before.ask(lambda session: session.issued_id).json
    browser = near_front.browser(user_key="user_id")
    browser.header = before.header
    assert browser.ask(dict).all("set-cookie") == []
    clock.advance(2 * 24 * 3600)
    browser.ask(dict)
    user, handle, *_ = browser.ask(shown).json
    assert user == "42" and handle
    assert browser.ask(lambda session: session.issued_id).json == id
    browser.header = before.header
    first = browser.ask(shown).json
    assert first[0] == "42" and browser.ask(shown).json == first


def test_a_session_from_before_the_option_is_listed(clock: Clock) -> None:
    """With its next write it is on the list of its user, and can be ended there."""
    storage = MemoryStorage(clock=clock)
    users = Users(COOKIE, storage)
    with front_of("wsgi", Made(storage)) as front:
        before = front.browser()
        keys_in(before, 42)
        browser = front.browser(user_key="user_id", users=users)
        browser.header = before.header
        assert users.sessions_of(42) == []
        browser.ask(lambda session: session.update(page=1))
        (listed,) = users.sessions_of(42)
        assert listed.handle == browser.ask(shown).json[1]
        keys_in(browser, 43)
        assert users.sessions_of(42) == [] and len(users.sessions_of(43)) == 1
        assert users.end_all(43) == 1
        assert browser.ask(dict).json == {}


@pytest.mark.parametrize("messages", [(), (ACCEPT,)], ids=["before", "accepted"])
def test_a_user_under_a_key_cannot_change_at_a_websocket(
    memory: KeyedStorage, messages: Any
) -> None:
    """The new id could not reach the client."""
    header = fill(memory, user_id=42)
    with pytest.raises(ResponseStarted):
        run(speaks(*messages, sets(user_id=43)), connection(header), memory, user_key="user_id")
    assert memory.read(COOKIE.parse(header))["user_id"] == 42
