"""Events: each kind from the request that makes it happen, in ASGI and WSGI."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from coatcheck import (
    ConfigurationError,
    Cookie,
    CookieTooLarge,
    Event,
    RecordTooLarge,
    Session,
    SessionConflict,
    session,
    user_digest,
)
from coatcheck._request.cycle import Cycle
from coatcheck._request.events import Reporter
from coatcheck._request.shell import Shell
from coatcheck._session.events import Happened
from coatcheck._session.saving import ATTEMPTS
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, Migrating, SessionStorage
from coatcheck.testing import Clock, failing
from tests._request.test_outages import Breakable
from tests._request.visits import DictVisit
from tests.applications import fill
from tests.hosts import COOKIE, SECRET, Asgi, Browser, Front, Wsgi, ask_wsgi, wsgi_app

DAY = 24 * 3600.0
TIMED = {"read", "saved"}


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.all.append(event)

    def take(self) -> list[tuple[str, str]]:
        """Return the kinds and reasons heard since, but for reads and saves."""
        found: list[tuple[str, str]] = [
            (it.kind, it.reason) for it in self.all if it.kind not in TIMED
        ]
        self.all.clear()
        return found

    def one(self, kind: str) -> Event:
        """Return the one event of a kind."""
        (found,) = [it for it in self.all if it.kind == kind]
        self.all.clear()
        return found


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def storage(clock: Clock) -> KeyedStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture(params=["asgi", "wsgi"])
def front(request: pytest.FixtureRequest, storage: KeyedStorage) -> Iterator[Front]:
    if request.param == "wsgi":
        yield Wsgi(storage)
        return
    front = Asgi(storage)
    with front.runner:
        yield front


def sets(**values: Any) -> Callable[[Session], object]:
    return lambda session: session.update(values)


def signs_in(session: Session) -> None:
    session.sign_in("42")


def browser_of(front: Front, heard: Heard, *steps: Any, **options: Any) -> Browser:
    """Return a browser after these requests, which nobody listened to."""
    browser = front.browser(on_event=heard, **options)
    for step in steps:
        browser.ask(step)
    heard.take()
    return browser


def test_a_session_starts(front: Front, heard: Heard, clock: Clock) -> None:
    """With the time, by the storage's clock, and a digest in place of a handle."""
    browser_of(front, heard).ask(sets(a=1))
    event = heard.one("started")
    assert event.at == datetime.fromtimestamp(clock(), UTC)
    assert (len(event.handle), event.user) == (12, "")


def test_reads_and_saves_are_timed(front: Front, heard: Heard) -> None:
    """A visitor without a cookie is no read, and a look no save."""
    browser = browser_of(front, heard)
    browser.ask(len)
    assert heard.all == []
    browser.ask(sets(a=1))
    browser.ask(len)
    timed = [(it.kind, it.reason) for it in heard.all if it.duration is not None]
    assert timed == [("saved", ""), ("read", "found")]


def test_a_user_signs_in_confirms_and_signs_out(front: Front, heard: Heard, clock: Clock) -> None:
    """Each with the handle, and a digest of the user that the application can make, too."""
    browser = browser_of(front, heard)
    browser.ask(signs_in)
    event = next(it for it in heard.all if it.kind == "signed_in")
    handle, user = event.handle, event.user
    assert len(handle) > 12
    assert user == user_digest(COOKIE, 42)
    assert "42" not in (user, handle)
    assert heard.take() == [("started", ""), ("signed_in", "")]
    browser.ask(lambda it: it.confirm())
    event = heard.one("confirmed")
    assert (event.handle, event.user) == (handle, user)
    clock.advance(60)
    browser.ask(lambda it: it.sign_out())
    event = heard.one("signed_out")
    assert (event.handle, event.user, event.duration) == (handle, user, 60)


def test_staff_act_as_a_user(front: Front, heard: Heard) -> None:
    """The event tells of the user while it begins, and of the actor when it is over."""
    browser = browser_of(front, heard, signs_in)
    browser.ask(lambda it: it.act_as("7"))
    event = heard.one("acting")
    assert (event.reason, event.user) == ("begun", user_digest(COOKIE, "7"))
    browser.ask(lambda it: it.stop_acting())
    event = heard.one("acting")
    assert (event.reason, event.user) == ("over", user_digest(COOKIE, "42"))


def test_an_acting_that_runs_out_is_told_once(front: Front, heard: Heard, clock: Clock) -> None:
    """By the next request, also by one that only reads, and by no later one."""
    browser = browser_of(front, heard, signs_in, lambda it: it.act_as("7", seconds=60))
    clock.advance(61)
    browser.ask(lambda it: it.get("a"))
    event = heard.one("acting")
    assert (event.reason, event.user) == ("over", user_digest(COOKIE, "42"))
    for step in (len, sets(a=1), len):
        browser.ask(step)
    assert heard.take() == []
    browser.ask(lambda it: it.confirm())
    assert heard.take() == [("confirmed", "")]
    assert browser.ask(lambda it: it.get("a")).body == b"1"


def test_of_two_requests_after_an_acting_one_tells(
    front: Front, heard: Heard, clock: Clock
) -> None:
    """The one whose write wins; the other's changes stay."""
    browser = browser_of(front, heard, signs_in, lambda it: it.act_as("7", seconds=60))
    other = elsewhere(front.storage, browser, sets(b=2))
    clock.advance(61)

    def handler(session: Session) -> None:
        other(session)
        session["a"] = 1

    browser.ask(handler)
    assert heard.take() == [("merged", "")]
    assert browser.ask(lambda it: it["a"] + it["b"]).body == b"3"


def test_an_acting_in_a_cookie_that_runs_out_is_told_once(heard: Heard, clock: Clock) -> None:
    """The next response carries the session without it."""
    front = Wsgi(CookieStorage(clock=clock))
    browser = browser_of(front, heard, signs_in, lambda it: it.act_as("7", seconds=60))
    clock.advance(61)
    for _ in range(2):
        browser.ask(len)
    assert heard.take() == [("acting", "over")]


def test_an_id_is_changed(front: Front, heard: Heard) -> None:
    """By the handler."""
    browser_of(front, heard, sets(a=1)).ask(lambda it: it.regenerate_id())
    assert heard.take() == [("moved", "regenerate_id")]


def test_an_id_is_rotated(front: Front, heard: Heard, clock: Clock) -> None:
    """By the middleware."""
    browser = browser_of(front, heard, sets(a=1), rotate=300)
    clock.advance(301)
    browser.ask(sets(a=2))
    assert heard.take() == [("rotated", "")]


def test_a_user_is_taken_away(front: Front, heard: Heard) -> None:
    """Where the application keeps it by itself."""
    browser = browser_of(front, heard, sets(user=1, more=2), user_key="user")
    browser.ask(lambda it: it.pop("user"))
    assert heard.take() == [("moved", "the user was taken away")]


def test_a_session_ends_without_a_user(front: Front, heard: Heard) -> None:
    """Destroyed, or emptied."""
    browser_of(front, heard, sets(a=1)).ask(lambda it: it.destroy())
    assert heard.take() == [("ended", "destroyed")]
    browser_of(front, heard, sets(a=1)).ask(lambda it: it.clear())
    assert heard.take() == [("ended", "emptied")]


def test_a_session_expires(front: Front, heard: Heard, clock: Clock) -> None:
    """Of its idle time, or of its lifetime; the event tells whose it was."""
    browser = browser_of(front, heard, signs_in, idle=60)
    clock.advance(61)
    browser.ask(len)
    event = heard.one("expired")
    assert (event.reason, event.user, event.duration) == ("idle", user_digest(COOKIE, "42"), 61)
    browser = browser_of(front, heard, sets(a=1))
    clock.advance(60)
    short = front.browser(on_event=heard, lifetime=50)
    short.header = browser.header
    short.ask(len)
    assert heard.take() == [("expired", "lifetime")]


def test_a_cookie_that_leads_nowhere_is_refused(front: Front, heard: Heard) -> None:
    """By its seal, an unknown id, a text that is no id, a tombstone."""
    browser = browser_of(front, heard, sets(a=1))
    sealed = browser.header
    for value, reason in [("A" * 40, "unknown id"), ("no id", "unknown id")]:
        browser.header = COOKIE.serialize(value).partition(";")[0]
        browser.ask(len)
        assert heard.take() == [("refused", reason)]
    browser.header = f"{COOKIE.name}=planted"
    browser.ask(len)
    assert heard.take() == [("refused", "seal")]
    browser.header = "other=1"
    browser.ask(len)
    assert heard.take() == []
    browser.header = sealed
    browser.ask(lambda it: it.destroy())
    heard.take()
    browser.header = sealed
    browser.ask(len)
    assert heard.take() == [("refused", "tombstone")]


def test_an_old_id_is_refused(front: Front, heard: Heard) -> None:
    """After a change that hands nothing over."""
    browser = browser_of(front, heard, sets(a=1))
    old = browser.header
    browser.ask(lambda it: it.regenerate_id())
    heard.take()
    browser.header = old
    browser.ask(len)
    assert heard.take() == [("refused", "old id")]


def test_the_session_of_another_cookie_is_refused(front: Front, heard: Heard) -> None:
    """Two applications on one server do not share sessions."""
    browser = browser_of(front, heard, sets(a=1))
    value = COOKIE.parse(browser.header)
    other = Cookie("other", secrets=[SECRET])
    stranger = front.browser(other, on_event=heard)
    stranger.header = other.serialize(value or "").partition(";")[0]
    stranger.ask(len)
    assert heard.take() == [("refused", "other cookie")]


def elsewhere(storage: SessionStorage, browser: Browser, does: Callable[[Session], object]) -> Any:
    """Return a handler during which another request does something to the same session."""

    def handler(_: Session) -> None:
        assert isinstance(storage, KeyedStorage)
        other = storage.read(browser.value)
        does(other)
        storage.save(other)

    return handler


def test_changes_are_merged(front: Front, heard: Heard) -> None:
    """Two of this request, in a second round."""
    browser = browser_of(front, heard, sets(a=1))
    other = elsewhere(front.storage, browser, sets(b=2))

    def handler(session: Session) -> None:
        other(session)
        session["c"], session["d"] = 3, 4

    browser.ask(handler)
    event = heard.one("merged")
    assert (event.changes, event.requests) == (2, 2)


def test_changes_are_dropped(front: Front, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    """The event has the reason that the log has."""
    browser = browser_of(front, heard, sets(a=1))
    other = elsewhere(front.storage, browser, lambda it: it.destroy())

    def handler(session: Session) -> None:
        other(session)
        session["c"] = 3

    browser.ask(handler)
    assert heard.take() == [("dropped", "another request ended it")]
    assert caplog.messages == [
        "the changes of a request to a session were dropped: another request ended it"
    ]


def test_a_change_inside_a_value_is_dropped(front: Front, heard: Heard) -> None:
    """Because another request removed the value."""
    browser = browser_of(front, heard, sets(cart=[1]))
    other = elsewhere(front.storage, browser, lambda it: it.update(x=it.pop("cart")))

    def handler(session: Session) -> None:
        session["cart"].append(2)
        other(session)

    browser.ask(handler)
    assert ("dropped", "the value inside it is gone") in heard.take()


def test_a_failed_request_drops_its_changes(
    front: Front, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """That is no warning: the error is told elsewhere."""

    def handler(session: Session) -> None:
        session["a"] = 1
        raise ZeroDivisionError

    with caplog.at_level(logging.INFO), pytest.raises(ZeroDivisionError):
        browser_of(front, heard).ask(handler)
    assert heard.take() == [("dropped", "the request failed")]
    assert [it.levelno for it in caplog.records] == [logging.INFO]


def test_two_sign_ins_at_once_join(front: Front, heard: Heard) -> None:
    """One wins, the other goes on with it."""
    browser = browser_of(front, heard, sets(a=1))
    other = elsewhere(front.storage, browser, signs_in)

    def handler(session: Session) -> None:
        other(session)
        session.sign_in("42")

    browser.ask(handler)
    assert ("signed_in", "joined") in heard.take()


def test_a_save_gives_up(front: Front, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rounds that it took."""
    browser = browser_of(front, heard)
    monkeypatch.setattr("coatcheck._session.saving.ATTEMPTS", 0)
    with pytest.raises(SessionConflict):
        browser.ask(sets(a=1))
    assert heard.one("conflict").requests == 0
    assert ATTEMPTS > 0


def test_a_session_is_too_large(front: Front, heard: Heard) -> None:
    """For a record, or for a cookie; the event has the size."""
    with pytest.raises(RecordTooLarge):
        browser_of(front, heard).ask(sets(a="x" * 1_000_001))
    event = heard.one("too_large")
    assert event.reason == "record"
    assert event.size and event.size > 1_000_000
    browser = Wsgi(CookieStorage()).browser(on_event=heard)
    with pytest.raises(CookieTooLarge):
        browser.ask(sets(a="x" * 5000))
    assert [it.reason for it in heard.all if it.kind == "too_large"] == ["cookie"]


def test_an_outage_begins_and_is_over(
    clock: Clock, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over is said a minute after the last failure, with how long it was."""
    backend, ticking = Breakable(clock), Clock()
    monkeypatch.setattr("coatcheck._request.outages.time.monotonic", ticking)
    front = Wsgi(KeyedStorage(backend, clock=clock))
    app = session(COOKIE, front.storage, on_event=heard, on_outage="anonymous")
    app._cycle.outages._clock = ticking
    browser = front.browser(on_event=heard)
    browser.ask(sets(a=1))
    heard.take()
    outages = app._cycle.outages
    with failing(front.storage):
        for _ in range(3):
            ask_wsgi(app.wsgi(wsgi_app), len, browser.header)
            ticking.advance(5)
    assert heard.take() == [("outage", "begun")]
    outages.works()
    assert heard.take() == []
    ticking.advance(60)
    ask_wsgi(app.wsgi(wsgi_app), len, browser.header)
    event = heard.one("outage")
    assert (event.reason, event.duration) == ("over", 10)


def test_a_change_that_an_outage_loses_late_is_dropped(clock: Clock, heard: Heard) -> None:
    """No answer can tell of it any more."""
    storage = MemoryStorage(clock=clock)
    shell = Shell(Cycle(COOKIE, storage, on_event=heard, on_outage="unavailable"))
    visit = DictVisit(fill(storage, a=1))
    shell.read(visit)
    shell.leave(visit)
    visit.session["late"] = 1
    with failing(storage):
        shell.end(visit)
    assert heard.take() == [("outage", "begun"), ("dropped", "the server failed")]


def test_sessions_in_cookies_have_events_too(clock: Clock, heard: Heard) -> None:
    """All but those that need a server."""
    front = Wsgi(CookieStorage(clock=clock))
    browser = browser_of(front, heard)
    browser.ask(signs_in)
    assert heard.take() == [("started", ""), ("signed_in", "")]
    browser.ask(lambda it: it.regenerate_id())
    browser.ask(lambda it: it.destroy())
    assert heard.take() == [("moved", "regenerate_id"), ("signed_out", "destroyed")]
    browser = browser_of(front, heard, sets(a=1))
    browser.ask(lambda it: it.clear())
    assert heard.take() == [("ended", "emptied")]
    browser = browser_of(front, heard, sets(a=1))
    clock.advance(20 * DAY)
    browser.ask(len)
    assert heard.take() == [("expired", "idle")]
    browser.header = COOKIE.serialize("nothing").partition(";")[0]
    browser.ask(len)
    assert heard.take() == [("refused", "unknown id")]


def test_sessions_that_move_into_cookies_have_events_too(clock: Clock, heard: Heard) -> None:
    """A sign-in that takes one along."""
    server = MemoryStorage(clock=clock)
    browser = browser_of(Wsgi(server), heard, sets(a=1))
    moving = Wsgi(Migrating(server, CookieStorage(clock=clock))).browser(on_event=heard)
    moving.header = browser.header
    moving.ask(signs_in)
    assert heard.take() == [("signed_in", "")]


def test_without_a_listener_losses_are_logged(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Also by a storage that is used without a middleware."""
    storage = MemoryStorage(clock=clock)
    first = storage.read(None)
    first["a"] = 1
    id = storage.save(first)
    one, two = storage.read(id), storage.read(id)
    one.destroy()
    storage.save(one)
    two["a"] = 2
    storage.save(two)
    assert caplog.messages == [
        "the changes of a request to a session were dropped: another request ended it"
    ]


def test_a_listener_that_raises_harms_no_request(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""

    def listen(_: Event) -> None:
        raise ZeroDivisionError

    browser = front.browser(on_event=listen)
    browser.ask(sets(a=1))
    assert browser.ask(dict).json == {"a": 1}
    assert "on_event failed with an event of the kind 'started'" in caplog.messages


async def awaited(_: Event) -> None:
    """Listen, and be awaited."""


class Awaited:
    async def __call__(self, _: Event) -> None:
        """Listen, and be awaited."""


@pytest.mark.parametrize(
    ("listener", "says"),
    [(awaited, "plain function"), (Awaited(), "plain function"), (5, "got int")],
)
def test_a_listener_that_is_awaited_is_refused(listener: Any, says: str) -> None:
    """When the application starts."""
    with pytest.raises(ConfigurationError, match=says):
        session(COOKIE, MemoryStorage(), on_event=listener)


def test_a_coroutine_that_a_listener_returns_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """And told in the log."""
    reporter = Reporter(SECRET, partial(lambda call, event: call(event), awaited), Clock())
    reporter.tell(Happened("started"))
    assert "returned a coroutine" in caplog.text


def test_an_event_cannot_be_changed_and_shows_no_secret() -> None:
    """It is a value; two digests of one user under two secrets differ."""
    event = Event(kind="started", at=datetime.now(UTC))
    with pytest.raises(AttributeError):
        event.kind = "ended"  # type: ignore[misc]
    other = Cookie("__session", secrets=["another secret of more than thirty-two characters"])
    assert user_digest(COOKIE, "42") != user_digest(other, "42")
    with pytest.raises(ConfigurationError, match="no secrets"):
        user_digest(Cookie("plain"), "42")


def test_a_session_without_its_device_is_refused(heard: Heard, storage: KeyedStorage) -> None:
    """The event says why, and whose session it is."""
    cycle = Cycle(COOKIE, storage, on_event=heard)
    session = storage.read(None)
    session.sign_in("42")
    storage.save(session)
    cycle._tell_of_refusal(session, "no proof")
    cycle._tell_of_refusal(Session(), "no session")
    one, two = heard.all
    assert (one.reason, one.user) == ("device: no proof", user_digest(COOKIE, "42"))
    assert (two.reason, two.user) == ("device: no session", "")
    Cycle(COOKIE, storage)._tell_of_refusal(session, "no proof")
    assert len(heard.all) == 2


def test_an_error_of_the_handler_is_no_event_of_its_own(heard: Heard) -> None:
    """A value that no session holds is told by the exception."""
    reporter = Reporter(SECRET, heard, Clock())
    reporter.failed(SessionConflict(3))
    reporter.failed(ValueError("of the handler"))
    assert [it.kind for it in heard.all] == ["conflict"]
