"""A server, pool or proxy that mixes up answers: nobody gets another visitor's record."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coatcheck import BackendError, Session
from coatcheck._session.ids import key_of
from coatcheck.storage import AsyncKeyedStorage, KeyedStorage, Stored
from tests.hosts import Asgi, Browser, Front, Handler
from tests.threats.attacks import (
    gets,
    holder,
    in_hand,
    server_side,
    sets,
    signed_in,
)


class Server:
    """The server behind a front end, to be asked as the storage asks it."""

    def __init__(self, front: Front) -> None:
        storage = front.storage
        assert isinstance(storage, KeyedStorage | AsyncKeyedStorage)
        self.storage = storage
        if isinstance(front, Asgi) and isinstance(storage, KeyedStorage) and storage.aio:
            self.storage = storage.aio
        self.runner = front.runner if isinstance(front, Asgi) else None

    def key(self, browser: Browser) -> str:
        return key_of(browser.value or "", self.storage.prefix)

    def get(self, key: str) -> Stored:
        stored: Stored = self._answer(self.storage.backend.get(key))
        return stored

    def put(self, key: str, record: bytes) -> None:
        version = self.get(key).version
        assert self._answer(self.storage.backend.swap(key, version, record, 600)) is None

    def mix_up(self, browser: Browser, other: Browser) -> bytes:
        """Let the server answer one visitor with the record of another; return what was there."""
        was = self.get(self.key(browser)).record
        self.put(self.key(browser), self.get(self.key(other)).record)
        return was

    def save(self, session: Session) -> object:
        return self._answer(self.storage.save(session))

    def _answer(self, called: Any) -> Any:
        if not asyncio.iscoroutine(called):
            return called
        assert self.runner
        return self.runner.run(awaited(called))


async def awaited(called: Awaitable[Any]) -> Any:
    return await called


def leaves_marker(browser: Browser) -> None:
    """Let what is stored under the browser's id be a marker."""
    kept = browser.header
    browser.ask(Session.regenerate_id)
    browser.header = kept


def leaves_tombstone(browser: Browser) -> None:
    """Let what is stored under the browser's id be a tombstone."""
    kept = browser.header
    browser.ask(Session.destroy)
    browser.header = kept


Leaves = Callable[[Browser], None]

KINDS: dict[str, Leaves] = {
    "a session": lambda _: None,
    "a marker": leaves_marker,
    "a tombstone": leaves_tombstone,
}

kinds = pytest.mark.parametrize("leaves", KINDS.values(), ids=KINDS)


@server_side
@kinds
@pytest.mark.parametrize("handler", [gets("user"), sets(n=1), Session.destroy])
def test_the_record_of_another_key_is_an_error(
    front: Front, leaves: Leaves, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    """No session, no sign-out, no cookie: an error of the backend, and a line in the log."""
    ada, eve = signed_in(front), front.browser()
    eve.ask(sets(user="Eve"))
    leaves(eve)
    server = Server(front)
    was, kept = server.mix_up(ada, eve), ada.header
    with pytest.raises(BackendError, match="the record of another key"):
        ada.ask(handler)
    assert ada.header == kept
    assert "another key" in caplog.text
    assert kept and kept not in caplog.text
    server.put(server.key(ada), was)
    assert ada.ask(gets("user")).json == "Ada"


@server_side
def test_whoever_is_served_anonymously_meanwhile_keeps_the_cookie(front: Front) -> None:
    """With on_outage="anonymous" there is an empty session, and nothing of it is kept."""
    ada, eve = signed_in(front), front.browser()
    eve.ask(sets(user="Eve"))
    server = Server(front)
    was = server.mix_up(ada, eve)
    anonymous = holder(front, ada.header, on_outage="anonymous")
    assert anonymous.ask(dict).json == {}
    assert in_hand(anonymous.ask(sets(n=1))) is None
    server.put(server.key(ada), was)
    assert anonymous.ask(dict).json == {"user": "Ada"}
    assert eve.ask(dict).json == {"user": "Eve"}


@server_side
@kinds
@pytest.mark.parametrize(
    "change", [sets(n=1), Session.regenerate_id, Session.destroy, lambda s: s.sign_in("ada")]
)
def test_a_refusal_with_the_record_of_another_key_is_an_error(
    front: Front, leaves: Leaves, change: Handler
) -> None:
    """The answer to a write that lost a race is checked as well: nothing is put onto it."""
    ada, eve = signed_in(front), front.browser()
    eve.ask(sets(user="Eve"))
    leaves(eve)
    server = Server(front)
    slow = front.read(ada.value)
    change(slow)
    was = server.mix_up(ada, eve)
    mixed = server.get(server.key(ada)).record
    with pytest.raises(BackendError, match="the record of another key"):
        server.save(slow)
    assert server.get(server.key(ada)).record == mixed
    server.put(server.key(ada), was)
    assert ada.ask(dict).json == {"user": "Ada"}
