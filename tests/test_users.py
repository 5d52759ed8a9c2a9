"""The sessions of a user, as an application sees them: through a middleware, and from a worker."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from coatcheck import (
    ConfigurationError,
    Cookie,
    Event,
    Session,
    Users,
    session,
    user_digest,
)
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    FileStorage,
    MemcachedStorage,
    MemoryStorage,
    Migrating,
)
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.testing import Clock
from tests.hosts import COOKIE, SECRET, Asgi, Browser, Front, Wsgi, wsgi_app


def signs_in(handler_session: Session) -> None:
    handler_session.sign_in("42", label="a browser")


def signs_in_as(handler_session: Session, user: str | int) -> str:
    handler_session.sign_in(user)
    assert handler_session.signed_in
    return handler_session.signed_in.handle


def user_of(handler_session: Session) -> object:
    return handler_session.signed_in and handler_session.signed_in.user


def is_in(browser: Browser) -> bool:
    return bool(browser.ask(user_of).json == "42")


@pytest.fixture(params=[Wsgi, Asgi])
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    with opened(request.param(MemoryStorage(clock=clock))) as front:
        yield front


@contextmanager
def opened(front: Front) -> Iterator[Front]:
    with front.runner if isinstance(front, Asgi) else nullcontext():
        yield front


def test_a_user_sees_and_ends_their_sessions(front: Front, clock: Clock) -> None:
    """Two devices: each is listed, and either can end the other."""
    users = Users(COOKIE, front.storage)
    one, two = front.browser(users=users), front.browser(users=users)
    for browser in (one, two):
        browser.ask(signs_in)
        clock.advance(1)
    current = one.ask(lambda s: [each.is_current for each in users.sessions_of(42, current=s)])
    assert current.json == [False, True]
    newest, _ = users.sessions_of("42")
    assert newest.label == "a browser"
    assert users.end("42", newest.handle)
    assert (is_in(one), is_in(two)) == (True, False)
    assert users.end_all("42") == 1
    assert not is_in(one)


def test_a_sign_in_that_was_under_way_is_refused(front: Front, clock: Clock) -> None:
    """Without a cookie too: it began when its request was read."""
    users = Users(COOKIE, front.storage)
    browser = front.browser(users=users)

    def overtaken(handler_session: Session) -> None:
        clock.advance(1)
        users.end_all("42")
        clock.advance(1)
        handler_session.sign_in("42")

    answer = browser.ask(overtaken)
    assert (answer.status, answer.all("set-cookie"), is_in(browser)) == (200, [], False)
    browser.ask(signs_in)
    assert is_in(browser)


def test_a_reset_of_the_password_in_one_request(front: Front, clock: Clock) -> None:
    """Everything ends, and this device is signed in."""
    users = Users(COOKIE, front.storage)
    one, two = front.browser(users=users), front.browser(users=users)
    one.ask(signs_in)

    def resets(handler_session: Session) -> int:
        clock.advance(1)
        ended = users.end_all("42", current=handler_session)
        handler_session.sign_in("42")
        return ended

    assert two.ask(resets).json == 1
    assert (is_in(one), is_in(two)) == (False, True)


def test_a_change_of_the_password_in_one_request(front: Front, clock: Clock) -> None:
    """The others end, and this device goes on under a new id."""
    users = Users(COOKIE, front.storage)
    one, two = front.browser(users=users), front.browser(users=users)
    one.ask(signs_in)
    two.ask(signs_in)
    before = two.value

    def changes(handler_session: Session) -> int:
        clock.advance(1)
        handler_session.confirm(pin="new hash")
        return users.end_others(handler_session)

    assert two.ask(changes).json == 1
    assert two.value != before
    assert (is_in(one), is_in(two)) == (False, True)


def test_at_most_so_many_sessions_live(front: Front) -> None:
    """The oldest go when a newer one signs in."""
    users = Users(COOKIE, front.storage, max_sessions=2)
    browsers = [front.browser(users=users) for _ in range(3)]
    for browser in browsers:
        browser.ask(signs_in)
    assert [is_in(browser) for browser in browsers] == [False, True, True]


def test_the_same_methods_are_awaited(clock: Clock) -> None:
    """On a storage that never waits, and on one that is only awaited."""
    memory = MemoryStorage(clock=clock)
    awaited = AsyncKeyedStorage(InlineBackend(memory.backend, memory.backend), clock=clock)
    front = Wsgi(memory)
    for storage in (memory, awaited):
        users = Users(COOKIE, storage)
        browser = front.browser(users=Users(COOKIE, memory))
        browser.ask(signs_in)

        async def everything(users: Users = users) -> list[Any]:
            aio = users.aio
            (only,) = await aio.sessions_of("42")
            return [await aio.end("42", only.handle), await aio.end_all("42")]

        assert asyncio.run(everything()) == [True, 0]
        assert not is_in(browser)


def test_others_are_ended_by_an_awaited_call(clock: Clock) -> None:
    """From a handler that is a coroutine."""
    storage = MemoryStorage(clock=clock)
    users, front = Users(COOKIE, storage), Asgi(storage)
    one, two = front.browser(users=users), front.browser(users=users)
    one.ask(signs_in)
    two.ask(signs_in)
    with front.runner:
        assert two.ask(users.aio.end_others).json == 1
        assert (is_in(one), is_in(two)) == (False, True)


def test_plain_methods_on_an_awaited_storage_name_the_awaited_ones(clock: Clock) -> None:
    """A coroutine would be lost without a word."""
    backend = MemoryStorage(clock=clock).backend
    users = Users(COOKIE, AsyncKeyedStorage(InlineBackend(backend, backend), clock=clock))
    with pytest.raises(ConfigurationError, match=r"use users\.aio"):
        users.sessions_of("42")


def test_lists_may_be_in_another_storage(clock: Clock) -> None:
    """Plain and awaited; the sessions' storage holds none of them."""
    for make in (Wsgi, Asgi):
        sessions, lists = MemoryStorage(clock=clock), MemoryStorage(clock=clock)
        users = Users(COOKIE, sessions, rosters=lists)
        with opened(make(sessions)) as front:
            browser = front.browser(users=users)
            browser.ask(signs_in)
            assert (len(sessions.backend), len(lists.backend)) == (1, 1)  # type: ignore[arg-type]
            assert len(users.sessions_of("42")) == 1
            assert asyncio.run(users.aio.end_all("42")) == 1
            assert not is_in(browser)


def test_encrypted_lists_show_no_label(clock: Clock) -> None:
    """Rows are encrypted under the cookie's secrets; a new secret loses none."""
    storage = MemoryStorage(clock=clock, encrypt=True)
    users = Users(COOKIE, storage)
    browser = Wsgi(storage).browser(users=users)
    browser.ask(signs_in)
    (held,) = storage.backend._rosters.values()  # type: ignore[attr-defined]
    assert b"a browser" not in held.record
    newer = Cookie("__session", secrets=["another secret of more than thirty-two", SECRET])
    assert [each.label for each in Users(newer, storage).sessions_of("42")] == ["a browser"]
    assert browser.ask(users.end_others).json == 0


def test_a_cut_off_lasts_as_long_as_a_session_may_live(front: Front) -> None:
    """`lifetime`, or 400 days."""
    users = Users(COOKIE, front.storage)
    assert users._rosters.lasts == 400 * 24 * 3600
    front.browser(users=users, lifetime=3600)
    assert users._rosters.lasts == 3600


# What is refused


def test_users_are_those_of_the_same_cookie_and_storage() -> None:
    """Else a sign-in would be entered in other lists than those that are looked up."""
    storage = MemoryStorage()
    users = Users(COOKIE, storage)
    with pytest.raises(ConfigurationError, match="the storage that session"):
        session(COOKIE, MemoryStorage(), users=users)
    for other in (Cookie("other", secrets=[SECRET]), Cookie("__session", secrets=["s" * 40])):
        with pytest.raises(ConfigurationError, match="the cookie that session"):
            session(other, storage, users=users)
    session(Cookie("__session", secrets=[SECRET]), storage, users=users)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_sessions": 0}, "max_sessions must be from 1 to 1000, got 0"),
        ({"max_sessions": 1001}, "max_sessions must be from 1 to 1000, got 1001"),
        ({"max_sessions": True}, "max_sessions must be a number, got True"),
        ({"max_sessions": 2.5}, r"max_sessions must be a number, got 2\.5"),
        ({"check_every": 0}, "check_every must be seconds above 0, or a timedelta of them, got 0"),
        ({"check_every": "5"}, "check_every must be seconds above 0, or a timedelta of them, got"),
        ({"rosters": MemcachedStorage("127.0.0.1:1")}, "rosters must be a storage that keeps"),
        ({"rosters": CookieStorage()}, "rosters must be a storage that keeps records"),
    ],
)
def test_options_are_checked(options: dict[str, Any], why: str) -> None:
    """When they are given, with what to write instead."""
    with pytest.raises(ConfigurationError, match=why):
        Users(COOKIE, MemoryStorage(), **options)


def test_users_have_a_sealed_cookie_and_a_duration_may_be_a_timedelta() -> None:
    """As with session()."""
    with pytest.raises(ConfigurationError, match="has no secrets"):
        Users(Cookie("__session"), MemoryStorage())
    assert Users(COOKIE, MemoryStorage(), check_every=timedelta(seconds=5))


def test_a_storage_that_may_evict_needs_another_for_the_lists(tmp_path: Any) -> None:
    """Memcached drops what it has no room for."""
    memcached = MemcachedStorage("127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=r"Users needs rosters= with KeyedStorage"):
        Users(COOKIE, memcached)
    with pytest.raises(ConfigurationError, match=r"Users needs rosters="):
        Users(COOKIE, Migrating(memcached, FileStorage(tmp_path / "new")))
    Users(COOKIE, memcached, rosters=MemoryStorage())


def test_sessions_that_move_into_cookies_cannot_be_listed() -> None:
    """Their ids are looked up no more."""
    with pytest.raises(ConfigurationError, match="storage must be a storage that keeps records"):
        Users(COOKIE, Migrating(MemoryStorage(), CookieStorage()))


def test_lists_must_be_asked_wherever_sessions_are(clock: Clock) -> None:
    """Sessions in memory are asked in place, and lists that are awaited cannot be."""
    memory = MemoryStorage(clock=clock)
    awaited = AsyncKeyedStorage(InlineBackend(memory.backend, memory.backend))
    with pytest.raises(ConfigurationError, match="rosters must have plain methods"):
        Users(COOKIE, memory, rosters=awaited)


def test_what_is_shown_holds_nothing() -> None:
    """No secret, no user."""
    users = Users(COOKIE, MemoryStorage())
    assert (repr(users), repr(users.aio)) == ("<Users of __session>", "<AsyncUsers of __session>")


def test_cookie_sessions_over_awaited_lists_are_awaited(clock: Clock) -> None:
    """There is no plain form, and none is needed under ASGI."""
    backend = MemoryStorage(clock=clock).backend
    lists = AsyncKeyedStorage(InlineBackend(backend, backend), clock=clock)
    storage = CookieStorage(clock=clock)
    users = Users(COOKIE, storage, rosters=lists)
    with opened(Asgi(storage)) as front:
        browser = front.browser(users=users)
        browser.ask(signs_in)
        assert is_in(browser)
        assert browser.ask(users.aio.end_others).json == 0
    with pytest.raises(ConfigurationError, match="storage must have plain methods"):
        session(COOKIE, storage, users=users).wsgi(wsgi_app)


@pytest.mark.parametrize("beside", [False, True])
def test_what_ended_in_cookies_stays_ended_while_sessions_move_to_a_server(
    front: Front, clock: Clock, *, beside: bool
) -> None:
    """Copies of signed-out cookies, sessions that were ended, and all that a cut-off reached."""
    lists = front.storage
    front.storage = cookies = CookieStorage(clock=clock)
    users = Users(COOKIE, cookies, rosters=lists, check_every=1e-9)
    copies = []
    for user in ("ada", 42, 42, 42):
        browser = front.browser(users=users)
        handle = browser.ask(partial(signs_in_as, user=user)).json
        copies.append(browser.header)
        clock.advance(1)
        if len(copies) == 2:
            browser.ask(lambda s: s.sign_out())
        if len(copies) == 3:
            assert users.end("42", handle)
    users.end_all("ada")
    clock.advance(1)

    new = MemoryStorage(clock=clock) if beside else lists
    front.storage = Migrating(cookies, new)  # type: ignore[call-overload]
    now = Users(COOKIE, front.storage, rosters=lists if beside else None, check_every=1e-9)
    for copy, expected in zip(copies, [None, None, None, "42"], strict=True):
        browser = front.browser(users=now)
        browser.header = copy
        assert browser.ask(user_of).json == expected
        browser.ask(lambda s: s.set("page", 1))
        assert browser.ask(user_of).json == expected
    assert now.end_all("42") == 1
    assert not is_in(browser)


def test_over_an_awaited_server_what_ended_in_cookies_stays_ended(clock: Clock) -> None:
    """The same, where nothing has a plain form."""
    front = Asgi(CookieStorage(clock=clock))
    backend = MemoryStorage(clock=clock).backend
    lists = AsyncKeyedStorage(InlineBackend(backend, backend), clock=clock)
    with opened(front):
        browser = front.browser(users=Users(COOKIE, front.storage, rosters=lists))
        browser.ask(signs_in)
        copy = browser.header
        browser.ask(lambda s: s.sign_out())
        front.storage = Migrating(front.storage, lists)  # type: ignore[call-overload]
        browser = front.browser(users=Users(COOKIE, front.storage))
        browser.header = copy
        assert not is_in(browser)


def test_each_session_that_ends_is_an_event(front: Front, clock: Clock) -> None:
    """With the method as the reason, the handle, and a digest of the user."""
    seen: list[Event] = []
    users = Users(COOKIE, front.storage, max_sessions=3, on_event=seen.append)
    browsers = [front.browser(users=users, on_event=seen.append) for _ in range(4)]
    for browser in browsers:
        browser.ask(signs_in)
        clock.advance(1)
    newest = users.sessions_of("42")[0].handle
    users.end("42", newest)
    assert browsers[2].ask(users.end_others).json == 1
    clock.advance(1)

    def overtaken(handler_session: Session) -> None:
        clock.advance(1)
        users.end_all("42")
        handler_session.sign_in("42")

    front.browser(users=users, on_event=seen.append).ask(overtaken)
    told = [event for event in seen if event.kind == "ended"]
    assert [event.reason for event in told] == ["most", "end", "end_others", "end_all"]
    assert {event.user for event in told} == {user_digest(COOKIE, "42")}
    assert told[1].handle == newest
    assert [event.reason for event in seen if event.kind == "refused"] == ["cut-off"]


@pytest.mark.thorough
def test_a_script_that_signs_in_every_two_minutes_for_a_month_harms_nobody(clock: Clock) -> None:
    """It forgets its cookie: its own oldest sign-ins go, and a small memory keeps the others."""
    storage = MemoryStorage(clock=clock, max_records=1000)
    users = Users(COOKIE, storage, max_sessions=20)
    front = Wsgi(storage)
    person = front.browser(users=users)
    person.ask(lambda s: s.sign_in("ada"))
    for minute in range(0, 30 * 24 * 60, 2):
        script = front.browser(users=users)
        script.ask(signs_in)
        clock.advance(120)
        if minute % (24 * 60) == 0:
            assert is_in(script)
            assert person.ask(user_of).json == "ada"
    assert [len(users.sessions_of(user)) for user in ("42", "ada")] == [20, 1]
