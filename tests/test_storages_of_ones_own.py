"""What the two shells make of storages that are written in other ways than ours."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import pytest

from coatcheck import BackendError, Cookie, Session
from coatcheck.storage import Powers
from tests.hosts import Asgi, Browser, Wsgi

OLDER, NEWER = "o" * 40, "n" * 40


class Shelf:
    """The plainest storage: a row for each value, written whole."""

    powers = Powers(waits=False)

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.saves = 0

    def read(self, value: str | None) -> Session:
        return Session(self.rows[value], id=value) if value in self.rows else Session()

    def save(self, session: Session) -> str | None:
        self.saves += 1
        self.rows[session.id] = dict(session)
        return session.id


class Promised:
    """Its methods are plain functions that return what is to be awaited."""

    def __init__(self) -> None:
        self.shelf = Shelf()

    def read(self, value: str | None) -> Awaitable[Session]:
        async def later() -> Session:
            return self.shelf.read(value)

        return later()

    def save(self, session: Session) -> Awaitable[str | None]:
        async def later() -> str | None:
            return self.shelf.save(session)

        return later()


class NeverWaiting(Promised):
    powers = Powers(waits=False)


class AwaitedShelf:
    """Its methods are `async def`."""

    def __init__(self) -> None:
        self.shelf = Shelf()

    async def read(self, value: str | None) -> Session:
        return self.shelf.read(value)

    async def save(self, session: Session) -> str | None:
        return self.shelf.save(session)


def test_methods_may_return_what_is_awaited() -> None:
    """Also where the storage says that it never waits."""
    front = Asgi(NeverWaiting())
    with front.runner:
        browser = front.browser()
        browser.ask(lambda session: session.set("user", 1))
        assert browser.ask(lambda session: session["user"]).json == 1


class InPlace(Shelf):
    powers = Powers(waits=False, in_place=True, starts_empty=True)

    fails = False

    def read(self, value: str | None) -> Session:
        if self.fails:
            raise BackendError("the shelf", "read", "it fell")
        return super().read(value)


def test_an_event_loop_calls_a_storage_in_place_that_says_so() -> None:
    """Its reads, its saves, and its outages, as a thread would."""
    storage = InPlace()
    front = Asgi(storage)
    with front.runner:
        browser = front.browser(on_outage="unavailable")
        browser.ask(lambda session: session.set("user", 1))
        assert browser.ask(lambda session: session["user"]).json == 1
        storage.fails = True
        assert browser.ask(lambda session: session["user"]).status == 503


def test_a_storage_is_asked_as_it_is_at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test kits and tools put other methods in the place of its own, also after the set-up."""
    storage = AwaitedShelf()
    front = Asgi(storage)
    with front.runner:
        browser = front.browser()
        browser.ask(lambda session: session.set("user", 1))

        async def fails(_: str | None) -> Session:
            raise BackendError("the server", "read")

        monkeypatch.setattr(storage, "read", fails)
        with pytest.raises(BackendError):
            browser.ask(dict)


@pytest.mark.parametrize("make", [Asgi, Wsgi])
def test_a_newer_secret_seals_anew_what_is_only_read(make: Callable[[Shelf], Any]) -> None:
    """Nothing is saved: a row that another request removes meanwhile must not come back."""
    storage = Shelf()
    front = make(storage)
    with getattr(front, "runner", nullcontext()):
        before: Browser = front.browser(Cookie("__session", secrets=[OLDER]))
        before.ask(lambda session: session.set("user", 1))
        after: Browser = front.browser(Cookie("__session", secrets=[NEWER, OLDER]))
        after.header = before.header

        def read_while_another_signs_out(session: Session) -> object:
            user = session["user"]
            storage.rows.clear()
            return user

        answer = after.ask(read_while_another_signs_out)
    assert answer.json == 1
    assert len(answer.all("set-cookie")) == 1
    assert (storage.rows, storage.saves) == ({}, 1)


@pytest.mark.parametrize("make", [Asgi, Wsgi])
def test_a_sign_in_that_a_storage_does_not_keep_is_a_warning(
    make: Callable[[Shelf], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It shows the values alone to such a storage; a new id by itself is kept."""
    front = make(Shelf())
    with getattr(front, "runner", nullcontext()):
        browser: Browser = front.browser()
        browser.ask(lambda session: session.set("cart", 1))
        browser.ask(Session.regenerate_id)
        assert not caplog.records
        browser.ask(lambda session: session.sign_in("ada"))
        assert browser.ask(lambda session: session.signed_in).json is None
    said = "sign_in() was not kept: Shelf keeps no sign-ins"
    assert [said in record.message for record in caplog.records] == [True]
    assert "ada" not in caplog.text
