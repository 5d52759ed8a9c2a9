"""Requests that race with a refresh or a registration, on every kind of backend."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coatcheck import Bound, Cookie, Session, Users
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck._session.binding import UNDER_WAY
from coatcheck.storage import KeyedStorage
from coatcheck.testing import Clock
from tests.bound_browsers import BoundBrowser, looks
from tests.hosts import SECRET
from tests.storage_kinds import storage_of

LONG = "__Host-shop"

COOKIE = Cookie(LONG, secrets=[SECRET])


@pytest.fixture(params=["memory", "file", "sqlite", "redis", "memcached", "postgresql", "mariadb"])
def storage(request: pytest.FixtureRequest, clock: Clock) -> Iterator[KeyedStorage]:
    """Each kind of backend."""
    with storage_of(request.param, request, clock) as made:
        assert isinstance(made.storage, KeyedStorage)
        yield made.storage


@pytest.fixture
def browser(storage: KeyedStorage) -> BoundBrowser:
    """A browser whose session is bound."""
    shell: Any = Shell(Cycle(COOKIE, storage, rotate=300, bound=Bound()))
    return BoundBrowser(shell)


def same(browser: BoundBrowser) -> BoundBrowser:
    """Return another tab of a browser."""
    tab = BoundBrowser(browser.shell, browser.key, browser.cookies)
    tab.offer, tab.id, tab.challenge = browser.offer, browser.id, browser.challenge
    return tab


def before_the_write(
    storage: KeyedStorage, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    """Let something happen after the next request has read, and before it writes."""
    backend: Any = storage.backend
    swap = backend.swap

    def swap_later(*call: Any) -> Any:
        monkeypatch.undo()
        act()
        return swap(*call)

    monkeypatch.setattr(backend, "swap", swap_later)


def test_two_refreshes_at_once_both_count(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser is decided anew on what the winner left; a third proof of it is refused."""
    browser.signs_in().refreshes()
    one, two, three = (same(browser) for _ in range(3))
    before_the_write(storage, monkeypatch, lambda: statuses.append(two.refreshes().status))
    statuses: list[int] = []
    statuses.append(one.refreshes().status)
    assert statuses == [200, 200]
    assert one.challenge == two.challenge != browser.challenge
    assert three.refreshes().status == 403
    assert three.refreshes().status == 200


def test_a_third_refresh_at_once_is_refused_after_the_race(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had read while its challenge still counted."""
    browser.signs_in().refreshes()
    one, two, three = (same(browser) for _ in range(3))
    before_the_write(storage, monkeypatch, lambda: (two.refreshes(), three.refreshes()))
    answer = one.refreshes()
    assert answer.status == 403
    assert one.refreshes().status == 200


def test_two_registrations_at_once_leave_one_key(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the first; the other one is refused."""
    browser.ask(lambda session: session.sign_in("ada"))
    first, second = same(browser), BoundBrowser(browser.shell, cookies=dict(browser.cookies))
    second.offer = browser.offer
    before_the_write(storage, monkeypatch, first.registers)
    assert second.registers().status == 400
    assert first.refreshes().status == 200


def test_a_refresh_that_a_rotation_overtakes_goes_on_under_the_new_id(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It gives both cookies, and loses nothing of the other request."""
    browser.signs_in().refreshes()
    clock.advance(301)
    tab = browser.copy(*browser.cookies)
    tab.id, tab.key, tab.challenge = browser.id, browser.key, browser.challenge
    before_the_write(storage, monkeypatch, lambda: browser.ask(lambda it: it.set("cart", 1)))
    before = tab.cookies[LONG]
    assert tab.refreshes().status == 200
    assert tab.cookies[LONG] == browser.cookies[LONG] != before
    assert tab.ask(lambda session: (dict(session), session.is_bound)) == ({"cart": 1}, True)
    assert browser.refreshes().status == 200  # the challenge that the tab used counts once more


def test_a_rotation_that_a_refresh_overtakes_keeps_the_refresh(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """The record with the new id has the next challenge."""
    browser.signs_in().refreshes()
    clock.advance(301)
    tab = browser.copy(*browser.cookies)
    tab.id, tab.key, tab.challenge = browser.id, browser.key, browser.challenge
    answers: list[int] = []
    before_the_write(storage, monkeypatch, lambda: answers.append(tab.refreshes().status))
    browser.ask()
    browser.challenge = tab.challenge
    assert answers == [200]
    assert browser.refreshes().status == 200
    assert browser.ask(lambda session: session.is_bound)


@pytest.mark.parametrize("ends", [Session.sign_out, Session.confirm], ids=["sign-out", "new id"])
def test_a_refresh_that_finds_the_session_gone_brings_nothing_back(
    storage: KeyedStorage,
    browser: BoundBrowser,
    monkeypatch: pytest.MonkeyPatch,
    ends: Callable[[Session], None],
) -> None:
    """The browser tries later, with the cookie that it holds by then."""
    browser.signs_in().refreshes()
    tab = browser.copy(*browser.cookies)
    tab.id, tab.key, tab.challenge = browser.id, browser.key, browser.challenge
    before_the_write(storage, monkeypatch, lambda: browser.ask(ends))
    before = dict(tab.cookies)
    assert tab.refreshes().status == 503
    assert tab.cookies == before
    assert tab.ask() is None
    answer = browser.refreshes()
    if ends is Session.sign_out:
        assert json.loads(answer.body)["continue"] is False
    else:
        assert (answer.status, browser.ask()) == (200, "ada")


def test_a_refresh_that_end_others_overtakes_brings_nothing_back(
    storage: KeyedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is ended on another device, and the browser is told with its next refresh."""
    if storage.powers.may_evict:
        pytest.skip("a server that may drop records keeps no rosters")
    users = Users(COOKIE, storage)
    shell: Any = Shell(Cycle(COOKIE, storage, users=users, bound=Bound()))
    browser, other = BoundBrowser(shell).signs_in(), BoundBrowser(shell).signs_in()
    browser.refreshes()
    assert [row.is_bound for row in users.sessions_of("ada")] == [True, True]
    before_the_write(storage, monkeypatch, lambda: other.ask(users.end_others))
    assert browser.refreshes().status == 503
    assert browser.ask() is None
    assert json.loads(browser.refreshes().body)["continue"] is False
    assert (other.refreshes().status, other.ask()) == (200, "ada")


def test_a_registration_that_a_sign_out_overtakes_binds_nothing(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.ask(lambda session: session.sign_in("ada"))
    tab = browser.copy(LONG)
    tab.offer = browser.offer
    before_the_write(storage, monkeypatch, lambda: browser.ask(Session.sign_out))
    assert tab.registers().status == 400
    assert tab.ask() is None


def test_a_registration_loses_nothing_that_others_write_meanwhile(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """And a write that it overtakes keeps the binding."""
    browser.ask(lambda session: session.sign_in("ada"))
    before_the_write(storage, monkeypatch, lambda: browser.ask(lambda it: it.set("one", 1)))
    assert browser.registers().status == 200
    browser.refreshes()
    before_the_write(storage, monkeypatch, browser.refreshes)
    browser.ask(lambda session: session.set("two", 2))
    assert browser.ask(dict) == {"one": 1, "two": 2}
    clock.advance(UNDER_WAY)
    assert browser.copy(LONG).ask() is None
    assert browser.refreshes().status == 200


def test_two_clicks_on_sign_in_offer_the_same(
    storage: KeyedStorage, browser: BoundBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answers carry one session and one offer: the browser may drop either."""
    browser.ask(lambda session: session.set("cart", 1))
    tab = same(browser)
    before_the_write(storage, monkeypatch, lambda: tab.ask(lambda session: session.sign_in("ada")))
    browser.cookies = dict(browser.cookies)
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.offer == tab.offer
    assert browser.cookies == tab.cookies
    assert browser.registers().status == 200
    assert browser.ask(looks) == "ada"
