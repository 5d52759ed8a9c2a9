"""Sessions in cookies that can be ended, through the middleware, plain and awaited."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from coatcheck import BackendError, ConfigurationError, Event, Session, Users
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.storage.watch import Watch
from coatcheck.testing import Clock, failing
from tests.hosts import COOKIE, Asgi, Browser, Front, Wsgi

IDLE = 14 * 24 * 3600


class Processes:
    """
    Processes of one application over one server of lists.

    Args:
        make: The front end of each.
    """

    def __init__(self, make: Any, clock: Clock) -> None:
        self.make, self.clock = make, clock
        self.lists = MemoryStorage(clock=clock)
        self.seconds = 0.0

    def users(self, **options: Any) -> tuple[Users, Front]:
        """Return a process: its own `Users`, and its front end."""
        storage = CookieStorage(clock=self.clock)
        users = Users(COOKIE, storage, rosters=self.lists, **options)
        watch: Watch = users._kept._watch  # type: ignore[attr-defined]
        watch._clock = lambda: self.seconds
        return users, self.make(storage)

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(seconds)


@pytest.fixture(params=[Wsgi, Asgi])
def processes(request: pytest.FixtureRequest, clock: Clock) -> Processes:
    return Processes(request.param, clock)


@pytest.fixture
def site(processes: Processes) -> Iterator[tuple[Users, Front]]:
    users, front = processes.users()
    with front.runner if isinstance(front, Asgi) else nullcontext():
        yield users, front


def signs_in(session: Session) -> None:
    session.sign_in("42", label="a browser")


def is_in(browser: Browser) -> bool:
    user = browser.ask(lambda session: session.signed_in and session.signed_in.user).json
    return bool(user == "42")


def signed_in(site: tuple[Users, Front], **options: Any) -> Browser:
    browser = site[1].browser(users=site[0], **options)
    browser.ask(signs_in)
    return browser


def copy_of(browser: Browser) -> Browser:
    return Browser(browser.send, browser.cookie, browser.header)


def asked(processes: Processes) -> list[str]:
    """Count the questions from now on."""
    seen: list[str] = []
    backend: Any = processes.lists.backend
    for name in ("get", "swap", "delete"):
        method = getattr(backend, name)

        def noted(*args: Any, method: Any = method, name: str = name) -> Any:
            seen.append(name)
            return method(*args)

        setattr(backend, name, noted)
    return seen


def test_sign_ins_in_cookies_are_listed_and_ended(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """A revoked copy is dead within `check_every` seconds."""
    users, _ = site
    one, two = signed_in(site), signed_in(site)
    assert [each.label for each in users.sessions_of("42")] == ["a browser"] * 2
    current = one.ask(lambda s: [each.is_current for each in users.sessions_of("42", current=s)])
    assert sorted(current.json) == [False, True]
    (own,) = [each.handle for each in users.sessions_of("42") if not each.is_current][:1]
    assert users.end("42", own) is True
    assert users.end("42", own) is False
    processes.wait(5)
    assert [is_in(one), is_in(two)].count(True) == 1
    assert len(users.sessions_of("42")) == 1


def visitor_of(site: tuple[Users, Front]) -> Browser:
    browser = site[1].browser(users=site[0])
    browser.ask(lambda session: session.set("cart", 1))
    return browser


@pytest.mark.parametrize("before", ["a visitor", "the same user", "another user"])
def test_two_clicks_on_sign_in_are_one_device(
    processes: Processes, site: tuple[Users, Front], before: str
) -> None:
    """Both answers hold, whichever the browser keeps, and end together."""
    users, _ = site
    one = visitor_of(site)
    if before != "a visitor":
        one.ask(lambda session: session.sign_in("42" if before == "the same user" else "7"))
    other = copy_of(one)
    for click in (one, other):
        click.ask(signs_in)
    assert one.header != other.header
    (only,) = users.sessions_of("42")
    assert [users.sessions_of("7"), is_in(one), is_in(other)] == [[], True, True]
    processes.wait(IDLE / 2)
    assert [is_in(one), is_in(other)] == [True, True]  # both are refreshed
    assert [each.handle for each in users.sessions_of("42")] == [only.handle]
    assert users.end("42", only.handle)
    processes.wait(5)
    assert [is_in(one), is_in(other)] == [False, False]


def test_a_click_that_comes_much_later_is_another_device(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """So is one after a sign-out, and one of another user."""
    users, _ = site
    first = visitor_of(site)
    late, later, others = copy_of(first), copy_of(first), copy_of(first)
    first.ask(signs_in)
    others.ask(lambda session: session.sign_in("7"))
    assert [len(users.sessions_of(user)) for user in ("42", "7")] == [1, 1]
    processes.wait(16 * 60)
    late.ask(signs_in)
    assert len(users.sessions_of("42")) == 2
    assert users.end_all("42") == 2
    processes.wait(5)
    later.ask(signs_in)
    processes.wait(5)
    assert [is_in(each) for each in (first, late, later)] == [False, False, True]


def test_a_click_that_joins_is_an_event(processes: Processes) -> None:
    """As on a server, its reason is "joined", and it has the handle of the first."""
    events: list[Event] = []
    users, front = processes.users()
    with front.runner if isinstance(front, Asgi) else nullcontext():
        one = front.browser(users=users, on_event=events.append)
        one.ask(lambda session: session.set("cart", 1))
        other = copy_of(one)
        for click in (one, other):
            click.ask(signs_in)
    told = [event for event in events if event.kind == "signed_in"]
    assert [event.reason for event in told] == ["", "joined"]
    assert len({event.handle for event in told}) == 1


def test_a_copy_of_a_cookie_that_signed_out_is_dead(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """Also one that was replaced by a sign-in, or whose user was taken away."""
    for act in (Session.destroy, signs_in):
        browser = signed_in(site)
        copy = copy_of(browser)
        browser.ask(act)
        processes.wait(5)
        assert not is_in(copy)
    assert len(site[0].sessions_of("42")) == 1


def test_a_revoked_copy_is_refused_with_an_event(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """Its reason tells it from a broken seal."""
    seen: list[Event] = []
    browser = signed_in(site, on_event=seen.append)
    copy = copy_of(browser)
    browser.ask(Session.destroy)
    processes.wait(5)
    assert not is_in(copy)
    assert [event.reason for event in seen if event.kind == "refused"] == ["revoked"]


def test_every_process_learns_of_it(processes: Processes, site: tuple[Users, Front]) -> None:
    """Each asks by itself, and before that it may serve the copy."""
    browser = signed_in(site)
    users, other = processes.users()
    with other.runner if isinstance(other, Asgi) else nullcontext():
        copy = other.browser(users=users)
        copy.header = browser.header
        assert is_in(copy)
        browser.ask(Session.destroy)
        assert is_in(copy)
        processes.wait(5)
        assert not is_in(copy)


def test_a_request_asks_nothing_in_between(processes: Processes, site: tuple[Users, Front]) -> None:
    """Once in `check_every` seconds all 256 records are read; visitors never wait for them."""
    browser, visitor = signed_in(site), site[1].browser(users=site[0])
    visitor.ask(lambda session: session.set("cart", 1))
    is_in(browser)
    seen = asked(processes)
    for _ in range(3):
        is_in(browser)
        visitor.ask(dict)
    assert seen == []
    processes.wait(5)
    visitor.ask(dict)
    assert seen == []
    is_in(browser)
    assert seen == ["get"] * 256


def test_everything_ends_at_once(processes: Processes, site: tuple[Users, Front]) -> None:
    """By handle and by the cut-off, so a copy from a machine whose clock is ahead is dead, too."""
    users, _ = site
    processes.clock.advance(3600)
    ahead = signed_in(site)
    processes.clock.advance(-3600)
    behind = signed_in(site)
    processes.wait(1)
    assert users.end_all("42") == 2
    processes.wait(5)
    assert (is_in(ahead), is_in(behind)) == (False, False)
    processes.wait(10)
    assert is_in(signed_in(site))


def test_all_others_end_and_this_one_stays(processes: Processes, site: tuple[Users, Front]) -> None:
    """Through refreshes and new ids, although it signed in before the cut-off."""
    users, _ = site
    own, other = signed_in(site), signed_in(site)
    processes.wait(60)

    def changes_password(session: Session) -> int:
        session.confirm(pin="new")
        return users.end_others(session)

    assert own.ask(changes_password).json == 1
    processes.wait(5)
    assert (is_in(own), is_in(other)) == (True, False)
    processes.wait(IDLE / 2)
    assert is_in(own)
    assert len(users.sessions_of("42")) == 1


def test_the_oldest_end_when_there_are_too_many(processes: Processes) -> None:
    """In cookies, too."""
    site = processes.users(max_sessions=2)
    with site[1].runner if isinstance(site[1], Asgi) else nullcontext():
        browsers = [signed_in(site) for _ in range(3)]
        processes.wait(5)
        assert [is_in(browser) for browser in browsers] == [False, True, True]


def test_a_sign_in_that_began_before_is_refused(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """No exception, and no cookie."""
    users, front = site

    def overtaken(session: Session) -> None:
        processes.clock.advance(1)
        users.end_all("42")
        session.sign_in("42")

    browser = front.browser(users=users)
    assert browser.ask(overtaken).all("set-cookie") == []


def test_nothing_brings_a_revoked_copy_back(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """A new id asks at once, and so does a refresh whose row is gone."""
    for later in (Session.confirm, lambda session: session.get("x")):
        browser = signed_in(site)
        copy = copy_of(browser)
        assert is_in(copy)
        processes.wait(IDLE / 2)
        assert is_in(browser)  # asks, and refreshes
        copy.header = browser.header
        browser.ask(Session.destroy)
        if later is not Session.confirm:
            processes.wait(4)
            processes.clock.advance(IDLE / 2)
        assert copy.ask(later).all("set-cookie") == []
        assert site[0].sessions_of("42") == []


def test_a_new_id_puts_no_lost_row_back_and_a_refresh_does(
    processes: Processes, site: tuple[Users, Front]
) -> None:
    """The lists were lost: each session comes back with its next refresh."""
    users, _ = site
    browser = signed_in(site)
    backend: Any = processes.lists.backend
    backend._rosters.clear()
    browser.ask(Session.confirm)
    assert users.sessions_of("42") == []
    processes.wait(IDLE / 2)
    assert is_in(browser)
    assert len(users.sessions_of("42")) == 1


def test_a_user_key_is_listed_with_the_next_write(processes: Processes) -> None:
    """Sessions from before the option was set."""
    users, front = processes.users()
    with front.runner if isinstance(front, Asgi) else nullcontext():
        browser = front.browser()
        browser.ask(lambda session: session.set("user", 42))
        header = browser.header
        browser = front.browser(users=users, user_key="user")
        browser.header = header
        browser.ask(lambda session: session.set("n", 1))
        assert len(users.sessions_of("42")) == 1
        browser.ask(lambda session: session.unset("user"))
        assert users.sessions_of("42") == []


def test_without_an_answer_on_outage_decides(processes: Processes) -> None:
    """Until the first answer, and when the last one is older than three times `check_every`."""
    users, front = processes.users()
    with front.runner if isinstance(front, Asgi) else nullcontext():
        browser = signed_in((users, front))
        anonymous = front.browser(users=users, on_outage="anonymous")
        anonymous.header = browser.header
        with failing(processes.lists):
            with pytest.raises(BackendError):
                is_in(browser)
            assert not is_in(anonymous)
        assert is_in(browser)
        with failing(processes.lists):
            processes.wait(15)
            assert is_in(browser)
            processes.wait(1)
            with pytest.raises(BackendError):
                is_in(browser)


def test_a_write_that_fails_is_an_error(processes: Processes, site: tuple[Users, Front]) -> None:
    """A sign-out that no process would learn of must not look like one."""
    browser = signed_in(site)
    is_in(browser)
    with failing(processes.lists), pytest.raises(BackendError):
        browser.ask(Session.destroy)
    assert is_in(browser)


def test_a_cookie_storage_needs_a_place_for_the_lists() -> None:
    """The message says what to write."""
    with pytest.raises(ConfigurationError, match="Users needs rosters= with CookieStorage"):
        Users(COOKIE, CookieStorage())


def test_what_is_shown_holds_nothing(processes: Processes, site: tuple[Users, Front]) -> None:
    """Its kind, and that of the sessions."""
    users, _ = site
    assert repr(users._kept) == "RevocableStorage(CookieStorage())"
    assert isinstance(processes.lists, KeyedStorage)
    kept: Any = users._kept
    assert kept.close() is None
    assert repr(kept.aio) == "AsyncRevocableStorage(CookieStorage())"
    asyncio.run(kept.aio.close())
