"""aiohttp: the session in requests, their answers and the middlewares around them."""

from collections.abc import Callable

import pytest
from aiohttp import web

from coatcheck.frameworks.aiohttp import SESSION, get_session, setup
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, MemoryStorage, SessionStorage
from tests.applications import Awaited
from tests.frameworks.aiohttp.pages import (
    COOKIE,
    Handler,
    application,
    browser_of,
    cart_page,
    failing_page,
)
from tests.frameworks.visits import add, visit


@pytest.mark.parametrize(
    "make", [MemoryStorage, CookieStorage, lambda: AsyncKeyedStorage(Awaited())]
)
def test_a_visit(make: Callable[[], SessionStorage]) -> None:
    """`setup`, and `get_session(request)` works like a dict."""
    with browser_of(application(make())) as browser:
        visit(browser)


def test_a_response_that_depends_on_the_session_says_so() -> None:
    """One that does not carries none of our headers."""

    async def plain(_: web.Request) -> web.Response:
        response = web.Response()
        response.set_cookie("other", "1")
        return response

    async def own(request: web.Request) -> web.Response:
        get_session(request)["user"] = "ada"
        response = web.Response(headers={"Vary": "Accept", "Cache-Control": "max-age=60"})
        response.set_cookie("other", "1")
        return response

    with browser_of(application(MemoryStorage(), {"/plain": plain, "/own": own})) as browser:
        headers = browser.get("/plain").answer.headers
        assert "Vary" not in headers
        assert [line.split("=")[0] for line in headers.getall("Set-Cookie")] == ["other"]
        headers = browser.get("/own").answer.headers
        assert headers.getall("Vary") == ["Accept, Cookie"]
        assert headers.getall("Cache-Control") == ["max-age=60, private"]
        lines = headers.getall("Set-Cookie")
        assert sorted(line.split("=")[0] for line in lines) == ["other", "session"]


def test_a_redirect_that_is_raised_saves() -> None:
    """`raise web.HTTPFound` is an answer; one of 500 and above is a failure."""

    async def sign_in(request: web.Request) -> web.Response:
        get_session(request)["cart"] = ["coat"]
        raise web.HTTPFound("/cart")

    async def breaks(request: web.Request) -> web.Response:
        get_session(request)["cart"] = ["lost"]
        raise web.HTTPServiceUnavailable

    pages = {"/in": sign_in, "/breaks": breaks}
    with browser_of(application(MemoryStorage(), pages)) as browser:
        assert browser.get("/breaks").status_code == 503
        assert browser.cookies == {}
        assert browser.get("/in").json() == ["coat"]
        assert browser.get("/breaks").status_code == 503
        assert browser.get("/cart").json() == ["coat"]


def test_a_page_that_a_middleware_puts_in_place_carries_the_cookie() -> None:
    """An error page around the session, as the documentation of aiohttp has it."""

    @web.middleware
    async def pages(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.json_response(get_session(request).get("cart"))

    async def missing(request: web.Request) -> web.Response:
        add(get_session(request), "coat")
        raise web.HTTPNotFound

    app = web.Application(middlewares=[pages])
    setup(app, COOKIE, MemoryStorage())
    app.router.add_get("/missing", missing)
    with browser_of(app) as browser:
        assert browser.get("/missing").json() == ["coat"]
        assert list(browser.cookies) == ["session"]
        assert browser.get("/nowhere").json() == ["coat"]


def test_a_middleware_that_answers_by_itself_has_no_session() -> None:
    """What was added before `setup` may never get to the session, and sends what it wants."""

    @web.middleware
    async def closed(request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG001
        assert SESSION not in request
        return web.json_response("closed")

    app = web.Application(middlewares=[closed])
    setup(app, COOKIE, MemoryStorage())
    app.router.add_get("/cart", cart_page)
    with browser_of(app) as browser:
        assert browser.get("/cart").json() == "closed"
        assert "Vary" not in browser.answer.headers


def test_a_failure_stays_one_whatever_a_middleware_makes_of_it() -> None:
    """A handler that raises saves nothing, also if the client gets a page with status 200."""

    @web.middleware
    async def hiding(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except LookupError:
            return web.json_response("sorry")

    app = web.Application(middlewares=[hiding])
    setup(app, COOKIE, MemoryStorage())
    app.router.add_get("/fail", failing_page)
    with browser_of(app) as browser:
        assert browser.get("/fail").json() == "sorry"
        assert browser.cookies == {}
