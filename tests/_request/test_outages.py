"""What becomes of requests while the server behind a storage fails."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck import BackendError, ConfigurationError, ResponseStarted, Session
from coatcheck._request.cycle import Cycle
from coatcheck._request.outages import QUIET, Outages
from coatcheck.storage import KeyedStorage, MemoryStorage, Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests._request.visits import DictVisit
from tests.hosts import COOKIE, Asgi, Browser, Front, Wsgi

DAY = 24 * 3600.0


class Breakable:
    """A backend in memory whose server can fail to read, or to write."""

    waits = False

    def __init__(self, clock: Clock) -> None:
        self.memory = MemoryBackend(max_records=9, clock=clock)
        self.reads = self.writes = True

    def get(self, key: str) -> Stored | None:
        if not self.reads:
            raise BackendError("the server", "read")
        return self.memory.get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if not self.writes:
            raise BackendError("the server", "write")
        return self.memory.swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        if not self.writes:
            raise BackendError("the server", "delete")
        self.memory.delete(key)


@pytest.fixture
def backend(clock: Clock) -> Breakable:
    return Breakable(clock)


@pytest.fixture(params=["asgi", "asgi, awaited", "wsgi"])
def front(request: pytest.FixtureRequest, backend: Breakable, clock: Clock) -> Iterator[Front]:
    backend.waits = request.param == "asgi, awaited"
    storage = KeyedStorage(backend, clock=clock)
    if request.param == "wsgi":
        yield Wsgi(storage)
        return
    front = Asgi(storage)
    with front.runner:
        yield front


def set_user(session: Session) -> None:
    session["user"] = 1


def get_user(session: Session) -> object:
    return session.get("user")


def signed_in(front: Front, **options: Any) -> Browser:
    """Return a browser whose session holds a user."""
    browser = front.browser(**options)
    browser.ask(set_user)
    return browser


def test_an_outage_fails_the_request(front: Front, backend: Breakable) -> None:
    """Unless it is said otherwise: the application answers 503."""
    browser = signed_in(front)
    backend.reads = False
    with pytest.raises(BackendError):
        browser.ask(get_user)
    backend.reads = True
    backend.writes = False
    with pytest.raises(BackendError):
        browser.ask(lambda session: session.set("user", 2))


def test_a_request_can_go_on_as_anonymous(front: Front, backend: Breakable) -> None:
    """Its session is empty; the client's cookie stays as it is, and works again afterwards."""
    browser = signed_in(front, on_outage="anonymous")
    backend.reads = backend.writes = False
    answer = browser.ask(get_user)
    assert answer.json is None
    assert answer.all("set-cookie") == []
    backend.reads = backend.writes = True
    assert browser.ask(get_user).json == 1


def everything(session: Session) -> object:
    """Do all that a session can, but destroy it."""
    session["user"] = 2
    session.setdefault("cart", []).append(1)
    session.flash("notice", "Hello")
    session.apply("count", lambda count: count + 1, 0)
    session.regenerate_id()
    session.clear()
    session["user"] = 3
    return session.get("user")


def test_an_anonymous_session_is_never_written(front: Front, backend: Breakable) -> None:
    """Also not if the server is back before the request ends."""
    browser = signed_in(front, on_outage="anonymous")
    backend.reads = False
    answer = browser.ask(everything)
    assert answer.json == 3
    assert answer.all("set-cookie") == []
    backend.reads = True
    assert browser.ask(dict).json == {"user": 1}
    assert len(backend.memory) == 1


def test_nobody_is_told_to_be_signed_out_who_is_not(front: Front, backend: Breakable) -> None:
    """A session that cannot be read cannot be ended: destroy() is loud."""
    browser = signed_in(front, on_outage="anonymous")
    backend.reads = False
    with pytest.raises(BackendError):
        browser.ask(lambda session: session.destroy())


def test_a_change_that_cannot_be_kept_is_loud(front: Front, backend: Breakable) -> None:
    """The handler believes that it is."""
    browser = signed_in(front, on_outage="anonymous")
    backend.writes = False
    for change in (lambda session: session.set("user", 2), lambda session: session.destroy()):
        with pytest.raises(BackendError):
            browser.ask(change)
    with pytest.raises(BackendError):
        front.browser(on_outage="anonymous").ask(set_user)


def test_a_refresh_can_wait(front: Front, backend: Breakable, clock: Clock) -> None:
    """A request that changed nothing is answered; the next one refreshes."""
    browser = signed_in(front, on_outage="anonymous")
    clock.advance(2 * DAY)
    backend.writes = False
    answer = browser.ask(get_user)
    assert answer.json == 1
    assert answer.all("set-cookie") == []
    backend.writes = True
    assert len(browser.ask(get_user).all("set-cookie")) == 1


def test_who_has_no_cookie_is_served_in_an_outage(front: Front, backend: Breakable) -> None:
    """Nobody is asked, under either policy."""
    backend.reads = backend.writes = False
    assert front.browser().ask(get_user).json is None


def test_an_anonymous_session_may_change_after_the_headers(backend: Breakable) -> None:
    """Nothing of it would be kept before, either."""
    cycle = Cycle(COOKIE, KeyedStorage(backend), on_outage="anonymous")
    visit = DictVisit()
    cycle.admit(visit, cycle.outages.unread(BackendError("the server", "read")))
    visit.session["early"] = True
    assert cycle.leaving(visit, (), failed=False) == ""
    visit.session["late"] = True
    assert not cycle.is_late(visit.session)
    cycle.end(visit.session)
    with pytest.raises(ResponseStarted):
        visit.session["later"] = True


def test_an_outage_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not one a request; servers are told apart, and a later outage is another."""
    clock = Clock()
    outages = Outages("anonymous", clock=clock)

    def fail(server: str) -> None:
        outages.unread(BackendError(server, "read"))

    for _ in range(10):
        fail("one")
        fail("two")
        clock.advance(QUIET - 1)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    clock.advance(QUIET)
    fail("one")
    assert len(caplog.records) == 3


def test_another_policy_is_refused() -> None:
    """When the application starts, by a message that names both."""
    with pytest.raises(ConfigurationError, match='"raise", "unavailable" or "anonymous"'):
        Cycle(COOKIE, MemoryStorage(), on_outage="ignore")  # type: ignore[arg-type]
