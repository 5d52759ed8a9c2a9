"""A session of another package becomes one of ours, once, over every storage and front end."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coatcheck import Session, asgi, session
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.adopt.signed import reader, starlette
from tests.hosts import (
    COOKIE,
    Answer,
    Asgi,
    Browser,
    Front,
    Sent,
    asgi_app,
    ask_asgi,
    nothing_received,
    scope_of,
)
from tests.storage_kinds import SERVER_SIDE, front_of, storage_of

CLOCK = Clock()


@pytest.fixture(params=SERVER_SIDE)
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    """A way in over an empty storage."""
    way, kind = request.param
    encrypt = kind in ("redis", "sqlite")
    with storage_of(kind, request, CLOCK, encrypt=encrypt) as made, front_of(way, made) as found:
        yield found


def with_old(browser: Browser, old: str) -> Browser:
    """Let a browser hold the old package's cookie."""
    browser.header = old
    return browser


def test_adopted_signed_out_and_never_again(front: Front) -> None:
    """Also by a copy of the old cookie, until that would have ended."""
    old = starlette(CLOCK(), user=42)
    browser = with_old(front.browser(adopts=[reader()]), old)
    answer = browser.ask(dict)
    assert answer.json == {"user": 42}
    assert any(line.startswith("old=; Max-Age=0") for line in answer.all("set-cookie"))
    assert browser.ask(dict).json == {"user": 42}
    browser.ask(lambda session: session.destroy())
    assert with_old(browser, old).ask(dict).json == {}
    CLOCK.advance(7 * 24 * 3600)
    assert with_old(browser, old).ask(dict).json == {}


def test_three_first_requests_make_one_session(front: Front) -> None:
    """All three read the old cookie before one saves; each answer's cookie holds all changes."""
    old = starlette(CLOCK(), user=42)
    browser = front.browser(adopts=[reader()])
    answers = in_parallel(front, browser, old)
    headers = set()
    for answer in answers:
        browser.take(answer)
        headers.add(browser.header)
    assert len(headers) == 1
    assert browser.ask(dict).json == {"user": 42, "0": 0, "1": 1, "2": 2}


def test_a_save_during_the_request_adopts_too() -> None:
    """Its cookie, and the removal of the old one, leave with the response."""
    storage = MemoryStorage()

    async def app(scope: asgi.Scope, _: asgi.Receive, send: asgi.Send) -> None:
        assert scope["session"]["user"] == 42
        await asgi.save(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def asked() -> list[str]:
        sent = Sent()
        scope = scope_of(starlette(time.time(), user=42))
        await session(COOKIE, storage, adopts=[reader()])(app)(scope, nothing_received, sent)
        return sent.answer.all("set-cookie")

    lines = asyncio.run(asked())
    assert [line.partition("=")[0] for line in lines] == ["old", "__session"]


def in_parallel(front: Front, browser: Browser, old: str) -> list[Answer]:
    """Send three requests whose handlers wait for each other."""
    if isinstance(front, Asgi):
        return front.runner.run(in_one_loop(front, old))
    barrier = threading.Barrier(3)

    def handler(number: int) -> Any:
        def changes(session: Session) -> None:
            session[str(number)] = number
            barrier.wait(10)

        return changes

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda number: browser.send(handler(number), old, ()), range(3)))


async def in_one_loop(front: Asgi, old: str) -> list[Answer]:
    """The same, in one event loop."""
    app = session(COOKIE, front.storage, adopts=[reader()])(asgi_app)
    barrier = asyncio.Barrier(3)

    async def handled(found: Session, number: int) -> None:
        found[str(number)] = number
        await barrier.wait()

    return await asyncio.gather(
        *(
            ask_asgi(app, lambda found, number=number: handled(found, number), old)  # type: ignore[misc]
            for number in range(3)
        )
    )
