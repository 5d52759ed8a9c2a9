"""aiohttp: `setup` and its options, servers that fail, and the end of the application."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from coatcheck import BackendError, ConfigurationError, Cookie, Session
from coatcheck.frameworks.aiohttp import SESSION, get_session, setup
from coatcheck.storage import KeyedStorage, MemoryStorage, SqliteStorage
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
from tests.hosts import SECRET


@dataclass
class Visit:
    """What a session holds, for the test of typed ones."""

    cart: list[str] = field(default_factory=list)


class Down(MemoryBackend):
    """A server that takes no writes."""

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=system_clock)
        self.attempts = 0

    def swap(self, *_: object) -> None:
        self.attempts += 1
        raise BackendError("the server", "write")


def test_a_store_that_is_down_is_for_the_application_to_answer() -> None:
    """A middleware around the session answers 503, after one attempt to save."""
    backend = Down()

    @web.middleware
    async def unavailable(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except BackendError:
            return web.Response(status=503)

    app = web.Application(middlewares=[unavailable])
    setup(app, COOKIE, KeyedStorage(backend))
    app.router.add_get("/add/{item}", add_page)
    with browser_of(app) as browser:
        assert browser.get("/add/coat").status_code == 503
        assert "Vary" not in browser.answer.headers
        assert browser.cookies == {}
    assert backend.attempts == 1


def test_an_outage_may_be_served_as_if_nobody_were_signed_in() -> None:
    """The options are those of `session()`."""
    storage = MemoryStorage()
    kit = SessionKit(COOKIE, storage)
    with browser_of(application(storage, on_outage="anonymous")) as browser:
        kit.put(browser.client, cart=["coat"])
        with kit.failing():
            assert browser.get("/cart").json() is None
        assert browser.get("/cart").json() == ["coat"]


def test_a_cookie_that_a_browser_will_lose_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server knows how the request came: plain http to another host than this one."""
    app = web.Application()
    setup(app, Cookie("session", secrets=[SECRET]), MemoryStorage())
    app.router.add_get("/add/{item}", add_page)

    async def scene(client: Any) -> None:
        await client.get("/add/coat", headers={"Host": "shop.example"})

    with browser_of(app) as browser:
        browser.runner.run(scene(browser.client))
    assert "it is Secure, and the request came over plain http to 'shop.example'" in caplog.text


def test_several_cookie_fields_are_one(clock: Clock) -> None:
    """As HTTP/2 and proxies may send them."""
    storage = MemoryStorage(clock=clock)
    jar: dict[str, str] = {}
    SessionKit(COOKIE, storage).put(jar, cart=["coat"])

    async def scene(client: Any) -> Any:
        fields = CIMultiDict([("Cookie", "other=1"), ("Cookie", f"session={jar['session']}")])
        return await (await client.get("/cart", headers=fields)).json()

    with browser_of(application(storage)) as browser:
        assert browser.runner.run(scene(browser.client)) == ["coat"]


def test_two_setups_on_one_request_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A part with sessions of its own inside an application that has them."""
    app = application(MemoryStorage())
    app.add_subapp("/part/", application(MemoryStorage()))
    with browser_of(app) as browser:
        assert browser.get("/part/cart").status_code == 500
    assert "session() runs twice" in caplog.text


def test_a_part_shares_the_session() -> None:
    """An application inside another finds the session of that one."""
    part = web.Application()
    part.router.add_get("/cart", cart_page)
    app = application(MemoryStorage())
    app.add_subapp("/part/", part)
    with browser_of(app) as browser:
        browser.get("/add/coat")
        assert browser.get("/part/cart").json() == ["coat"]


def test_what_stands_in_the_session_s_place_is_refused() -> None:
    """Its changes would be lost."""

    async def page(request: web.Request) -> web.Response:
        request[SESSION] = Session({"user": "ada"})
        return web.Response()

    with browser_of(application(MemoryStorage(), {"/page": page})) as browser:
        assert browser.get("/page").status_code == 500


def test_get_session_without_setup_says_what_is_missing() -> None:
    """A ConfigurationError."""
    app = web.Application()
    errors: list[Exception] = []

    async def page(request: web.Request) -> web.Response:
        with pytest.raises(ConfigurationError, match="no Session") as error:
            get_session(request)
        errors.append(error.value)
        return web.Response()

    app.router.add_get("/", page)
    with browser_of(app) as browser:
        browser.get("/")
    assert errors


def test_what_the_storage_opened_is_closed_with_the_application(tmp_path: Any) -> None:
    """In the same event loop, at cleanup."""
    storage = SqliteStorage(tmp_path / "db")
    closed: list[str] = []
    close = storage.close

    def note() -> None:
        closed.append("plain")
        close()

    storage.close = note  # type: ignore[method-assign]
    with browser_of(application(storage)) as browser:
        browser.get("/add/coat")
        assert closed == []
    assert closed == ["plain"]


def test_the_kit_signs_a_client_in() -> None:
    """`SessionKit` knows the cookies of aiohttp's test client."""
    storage = MemoryStorage()
    kit = SessionKit(COOKIE, storage)
    with browser_of(application(storage)) as browser:
        kit.put(browser.client, cart=["coat"])
        assert browser.get("/add/hat").json() == ["coat", "hat"]
        assert kit.read(browser.client)["cart"] == ["coat", "hat"]
        kit.clear(browser.client)
        assert browser.get("/cart").json() is None


def test_a_typed_session() -> None:
    """`setup(..., data=Visit)`."""

    async def page(request: web.Request) -> web.Response:
        held: Session[Visit] = get_session(request)
        held.data.cart.append("coat")
        return web.json_response(held.data.cart)

    with browser_of(application(MemoryStorage(), {"/page": page}, data=Visit)) as browser:
        assert [browser.get("/page").json() for _ in range(2)] == [["coat"], ["coat", "coat"]]
