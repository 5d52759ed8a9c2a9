"""aiohttp: what the session says in the headers, which leave later than it is saved."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from coatcheck import Cookie, Session
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.visit import Answer, Changes
from coatcheck.frameworks.aiohttp import get_session, setup
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import Clock, SessionKit
from tests.frameworks.aiohttp.pages import (
    COOKIE,
    Handler,
    add_page,
    application,
    browser_of,
    cart_page,
)
from tests.frameworks.visits import add
from tests.hosts import SECRET


class Slow:
    """An application whose answers wait in a middleware, after the session is saved."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        self.id = ""
        self.app = web.Application(middlewares=[self._waiting()])
        setup(self.app, COOKIE, self.storage)
        self.app.router.add_get("/add/{item}", add_page)
        self.app.router.add_get("/new", self._new)
        self.app.router.add_get("/cart", cart_page)

    def _waiting(self) -> Any:
        @web.middleware
        async def waiting(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            if request.path == "/new":
                self.reached.set()
                await self.released.wait()
            return response

        return waiting

    async def _new(self, request: web.Request) -> web.Response:
        session = get_session(request)
        session.regenerate_id()
        self.id = session.id
        return web.Response()


def moves(session: Session) -> None:
    session.regenerate_id()


def nothing(_: Session) -> None: ...


@pytest.mark.parametrize(
    ("meanwhile", "sent"),
    [(nothing, 1), (moves, 0), (Session.destroy, 0)],
    ids=["stays", "moves", "ends"],
)
def test_a_slow_answer_puts_no_older_cookie_over_a_newer_one(
    meanwhile: Callable[[Session], None], sent: int
) -> None:
    """Its cookie is sent if it still leads to a living session when the headers leave."""
    slow = Slow()

    async def scene(client: Any) -> None:
        asking = asyncio.ensure_future(client.get("/new"))
        await slow.reached.wait()
        session = slow.storage.read(slow.id)
        meanwhile(session)
        slow.storage.save(session)
        slow.released.set()
        headers = (await asking).headers
        assert len(headers.getall("Set-Cookie", ())) == sent
        assert headers["Vary"] == "Cookie"
        assert headers["Cache-Control"] == "private"

    with browser_of(slow.app) as browser:
        browser.get("/add/coat")
        browser.runner.run(scene(browser.client))


def test_a_slow_answer_keeps_its_cookie_while_the_server_is_down() -> None:
    """Nothing tells then that the session ended, and without the cookie it would be lost."""
    slow = Slow()
    kit = SessionKit(COOKIE, slow.storage)

    async def scene(client: Any) -> None:
        asking = asyncio.ensure_future(client.get("/new"))
        await slow.reached.wait()
        with kit.failing():
            slow.released.set()
            assert "Set-Cookie" in (await asking).headers

    with browser_of(slow.app) as browser:
        browser.get("/add/coat")
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat"]


class Counting(MemoryBackend):
    """A server that counts what it is asked."""

    reads = 0

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=system_clock)

    def get(self, key: str) -> Any:
        self.reads += 1
        return super().get(key)


def test_an_answer_that_does_not_wait_asks_no_server_again() -> None:
    """The check is for what passed meanwhile: no time, no check."""
    backend = Counting()
    with browser_of(application(KeyedStorage(backend, waits=False))) as browser:
        browser.get("/add/coat")
        backend.reads = 0
        browser.get("/new")
        assert "Set-Cookie" in browser.answer.headers
        assert backend.reads == 1


def test_a_page_of_a_middleware_that_reads_says_so() -> None:
    """It reads after the handler has returned, and before the headers leave."""

    @web.middleware
    async def greeting(request: web.Request, handler: Handler) -> web.StreamResponse:
        await handler(request)
        return web.json_response(get_session(request).get("cart"))

    async def plain(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[greeting])
    setup(app, COOKIE, MemoryStorage())
    app.router.add_get("/", plain)
    with browser_of(app) as browser:
        assert browser.get("/").answer.headers["Vary"] == "Cookie"


def test_a_part_may_have_sessions_of_another_cookie() -> None:
    """Each response carries the cookies of both, once."""
    part = web.Application()
    setup(part, Cookie("part", secrets=[SECRET], secure=False), MemoryStorage())
    part.router.add_get("/add/{item}", add_page)
    app = application(MemoryStorage())

    @web.middleware
    async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
        add(get_session(request), "tie")
        return await handler(request)

    app.middlewares.append(counting)
    app.add_subapp("/part/", part)
    with browser_of(app) as browser:
        assert browser.get("/part/add/coat").json() == ["coat"]
        lines = browser.answer.headers.getall("Set-Cookie")
        assert sorted(line.partition("=")[0] for line in lines) == ["part", "session"]


@pytest.mark.parametrize("by", ["header", "set_cookie"])
def test_a_session_that_nothing_touched_overwrites_no_cookie(by: str, clock: Clock) -> None:
    """A response that sets our cookie already comes from an inner application, which knows more."""

    async def inner(_: web.Request) -> web.Response:
        if by == "header":
            return web.Response(headers={"Set-Cookie": "session=; Max-Age=0"})
        response = web.Response()
        response.del_cookie("session")
        return response

    storage = MemoryStorage(clock=clock)
    with browser_of(application(storage, {"/inner": inner}, idle=1000)) as browser:
        browser.get("/add/coat")
        clock.advance(200)  # a refresh is due
        (line,) = browser.get("/inner").answer.headers.getall("Set-Cookie")
        assert "Max-Age=0" in line


def test_every_change_of_the_headers_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cookies, and headers of any name."""

    async def leave(*_: object, **__: object) -> Changes:
        return Changes(True, True, ("a=1", "b=2"), (("X-More", "1"),))

    monkeypatch.setattr(AsyncShell, "leave", leave)
    with browser_of(application(MemoryStorage())) as browser:
        headers = browser.get("/cart").answer.headers
        assert headers.getall("Set-Cookie") == ["a=1", "b=2"]
        found = [headers[name] for name in ("Vary", "Cache-Control", "X-More")]
        assert found == ["Cookie", "private", "1"]


def test_an_answer_is_sent_in_place_of_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler does not run."""

    async def answer(*_: object) -> Answer:
        return Answer(503, (("Retry-After", "5"), ("Content-Type", "text/plain")), b"later")

    monkeypatch.setattr(AsyncShell, "read", answer)
    with browser_of(application(MemoryStorage())) as browser:
        assert browser.get("/add/coat").status_code == 503
        assert browser.text == "later"
        assert browser.answer.headers["Retry-After"] == "5"
        assert browser.cookies == {}


def test_repr_changes_nothing() -> None:
    """A log line or a debugger does not make the response depend on the cookie."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=repr(get_session(request)))

    with browser_of(application(MemoryStorage(), {"/": page})) as browser:
        for _ in range(2):
            assert "coat" not in browser.get("/").text
            assert "Vary" not in browser.answer.headers
            assert "Set-Cookie" not in browser.answer.headers
            browser.get("/add/coat")
