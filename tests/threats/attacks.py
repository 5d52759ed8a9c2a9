"""Handlers, cookies and backends that the tests of attacks share."""

from pathlib import Path
from typing import Any

import pytest

import coatcheck
from coatcheck import Cookie, Session
from coatcheck.storage import Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.hosts import COOKIE, Browser, Front, Handler
from tests.storage_kinds import EVERYWHERE, SERVER_SIDE, names

SOURCE = Path(coatcheck.__file__).parent


everywhere = pytest.mark.parametrize("front", EVERYWHERE, ids=names(EVERYWHERE), indirect=True)
server_side = pytest.mark.parametrize("front", SERVER_SIDE, ids=names(SERVER_SIDE), indirect=True)
both = pytest.mark.parametrize("name", ["asgi", "wsgi"])


def sets(**values: Any) -> Handler:
    return lambda session: session.update(values)


def gets(key: str) -> Handler:
    return lambda session: session.get(key)


def flashes(**values: str) -> Handler:
    def leaves(session: Session) -> None:
        for key, value in values.items():
            session.flash(key, value)

    return leaves


def does(*steps: Handler) -> Handler:
    return lambda session: [step(session) for step in steps][-1]


def is_new(session: Session) -> bool:
    return session.is_new


def holding(value: str, cookie: Cookie = COOKIE) -> str:
    """Return a Cookie header with *value*, sealed as ours."""
    return cookie.serialize(value).partition(";")[0]


def signed_in(front: Front, cookie: Cookie = COOKIE, **terms: float) -> Browser:
    browser = front.browser(cookie, **terms)
    browser.ask(sets(user="Ada"))
    return browser


class Spy(MemoryBackend):
    """A backend that notes what it is called with."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(max_records=100, clock=clock)
        self.calls: list[tuple[object, ...]] = []

    def get(self, key: str) -> Stored | None:
        self.calls.append(("get", key))
        return super().get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self.calls.append(("swap", key, version, record, ttl))
        return super().swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self.calls.append(("delete", key))
        super().delete(key)
