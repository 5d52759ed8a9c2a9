"""Handlers, cookies and backends that the tests of attacks share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coatcheck
from coatcheck import Cookie, Session, session
from coatcheck.storage import Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.hosts import (
    COOKIE,
    Answer,
    Asgi,
    Browser,
    Front,
    Handler,
    asgi_app,
    ask_asgi,
    ask_wsgi,
    wsgi_app,
)
from tests.storage_kinds import EVERYWHERE, SERVER_SIDE

SOURCE = Path(coatcheck.__file__).parent


everywhere = pytest.mark.parametrize("front", EVERYWHERE, indirect=True)
server_side = pytest.mark.parametrize("front", SERVER_SIDE, indirect=True)
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


def in_hand(answer: Answer) -> str | None:
    """Return the session cookie that an answer sets, as a header; "": it removes it."""
    lines = [line for line in answer.all("set-cookie") if line.startswith("__session=")]
    assert len(lines) <= 1
    if not lines:
        return None
    return "" if "Max-Age=0;" in lines[0] else lines[0].partition(";")[0]


def holder(front: Front, header: str | None, **options: Any) -> Browser:
    """Return a browser that holds a copy of a cookie."""
    browser = front.browser(**options)
    browser.header = header
    return browser


def held_open(
    front: Front,
    header: str | None,
    handler: Handler,
    *steps: tuple[Browser, Handler],
    then: Callable[[], object] = lambda: None,
    **options: Any,
) -> Answer:
    """Let a request read its session, then others make whole requests, then it goes on."""
    sessions = session(COOKIE, front.storage, **options)
    if isinstance(front, Asgi):
        waiting = sessions(asgi_app)

        async def waits(session: Session) -> object:
            for browser, step in steps:
                browser.take(await ask_asgi(waiting, step, browser.header))
            then()
            return handler(session)

        return front.runner.run(ask_asgi(waiting, waits, header))
    app = sessions.wsgi(wsgi_app)

    def is_overtaken(session: Session) -> object:
        for browser, step in steps:
            browser.take(ask_wsgi(app, step, browser.header))
        then()
        return handler(session)

    return ask_wsgi(app, is_overtaken, header)


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
