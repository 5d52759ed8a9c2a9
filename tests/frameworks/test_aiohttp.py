"""aiohttp: its own test client, over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientResponse, WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict

from coatcheck import BackendError, ConfigurationError, Cookie, ResponseStarted, Session
from coatcheck.frameworks.aiohttp import SESSION, get_session, setup
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    SessionStorage,
    SqliteStorage,
)
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import Clock, SessionKit
from tests.applications import Awaited
from tests.frameworks.visits import ITEM, add, visit
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Visit:
    """What a session holds, for the test of typed ones."""

    cart: list[str] = field(default_factory=list)


class Browser:
    """aiohttp's client, read as httpx's is."""

    def __init__(self, app: web.Application) -> None:
        self.runner = asyncio.Runner()
        self.client = self.runner.run(self._opened(app))

    async def _opened(self, app: web.Application) -> Any:
        client = TestClient(TestServer(app))
        await client.start_server()
        return client

    def get(self, path: str) -> "Browser":
        return self.runner.run(self._get(path))

    async def _get(self, path: str) -> "Browser":
        self.answer: ClientResponse = await self.client.get(path)
        self.status_code, self.text = self.answer.status, await self.answer.text()
        self.read = await self.answer.json() if self.answer.content_type.endswith("json") else None
        return self

    def json(self) -> Any:
        return self.read

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.client.session.cookie_jar}


@contextmanager
def browser_of(app: web.Application) -> Iterator[Browser]:
    browser = Browser(app)
    try:
        yield browser
    finally:
        browser.runner.run(browser.client.close())
        browser.runner.close()


async def add_page(request: web.Request) -> web.Response:
    return web.json_response(add(get_session(request), request.match_info["item"]))


async def cart_page(request: web.Request) -> web.Response:
    return web.json_response(get_session(request).get("cart"))


async def empty_page(request: web.Request) -> web.Response:
    held: Session = request[SESSION]
    held.pop("cart")
    held["notice"] = "Emptied."
    return web.json_response(dict(held))


async def template_page(request: web.Request) -> web.Response:
    return web.Response(text=ITEM.render(session=get_session(request)))


async def out_page(request: web.Request) -> web.Response:
    get_session(request).destroy()
    return web.Response()


async def failing_page(request: web.Request) -> web.Response:
    get_session(request)["lost"] = True
    raise LookupError


PAGES = {
    "/add/{item}": add_page,
    "/cart": cart_page,
    "/empty": empty_page,
    "/template": template_page,
    "/out": out_page,
    "/fail": failing_page,
}


def application(
    storage: SessionStorage, pages: dict[str, Any] | None = None, **options: Any
) -> web.Application:
    app = web.Application()
    setup(app, COOKIE, storage, **options)
    for path, handler in {**PAGES, **(pages or {})}.items():
        app.router.add_get(path, handler)
    return app


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


def stream_of(*steps: Callable[[web.Request], object]) -> Handler:
    """Return a handler that prepares a stream between its first step and the others."""

    async def page(request: web.Request) -> web.StreamResponse:
        steps[0](request)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        for step in steps[1:]:
            step(request)
        await response.write(b"two")
        await response.write_eof()
        return response

    return page


def sets(**values: Any) -> Callable[[web.Request], object]:
    return lambda request: get_session(request).update(values)


def test_a_stream_is_saved_when_it_is_prepared_and_at_its_end() -> None:
    """A server-side session that the client holds an id of takes late changes."""
    pages = {"/stream": stream_of(sets(cart=["coat"]), sets(notice="late"))}
    with browser_of(application(MemoryStorage(), pages)) as browser:
        assert browser.get("/stream").text == "onetwo"
        assert list(browser.cookies) == ["session"]
        assert browser.get("/template").text == "cart=['coat'];notice=late;!late"


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_change_that_comes_too_late_fails_at_its_line(
    make: Callable[[], SessionStorage],
) -> None:
    """The headers of a new session, or of one in the cookie, have left."""
    raised: list[Exception] = []

    def late(request: web.Request) -> None:
        with pytest.raises(ResponseStarted) as error:
            get_session(request)["late"] = True
        raised.append(error.value)

    with browser_of(application(make(), {"/stream": stream_of(lambda _: 0, late)})) as browser:
        assert browser.get("/stream").text == "onetwo"
    assert len(raised) == 1


def test_a_body_that_runs_after_its_handler_cannot_change_the_session() -> None:
    """An iterator as body: a change would be lost, so it raises at its line."""
    raised: list[Exception] = []

    async def page(request: web.Request) -> web.Response:
        add(get_session(request), "coat")

        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            with pytest.raises(ResponseStarted) as error:
                get_session(request)["late"] = True
            raised.append(error.value)

        return web.Response(body=parts())

    with browser_of(application(MemoryStorage(), {"/page": page})) as browser:
        assert browser.get("/page").text == "one"
        assert browser.get("/cart").json() == ["coat"]
    assert len(raised) == 1


def test_a_stream_that_breaks_keeps_what_left_with_its_headers() -> None:
    """And nothing that came after."""

    def breaks(request: web.Request) -> None:
        get_session(request)["cart"] = ["lost"]
        raise LookupError

    with browser_of(
        application(MemoryStorage(), {"/stream": stream_of(sets(cart=["coat"]), breaks)})
    ) as browser:
        with pytest.raises(Exception, match=r"payload|disconnected|not completed"):
            browser.get("/stream")
        assert browser.get("/cart").json() == ["coat"]


async def chat(request: web.Request) -> web.WebSocketResponse:
    add(get_session(request), "coat")
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_json(add(get_session(request), message.data))
    return socket


def test_a_websocket() -> None:
    """The cookie comes with the handshake, and what came later is saved at the close."""

    async def scene(client: Any) -> None:
        async with client.ws_connect("/chat") as socket:
            await socket.send_str("hat")
            assert await socket.receive_json() == ["coat", "hat"]

    with browser_of(application(MemoryStorage(), {"/chat": chat})) as browser:
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat", "hat"]


def test_a_websocket_whose_client_left_is_no_failure() -> None:
    """A handler that still writes gets an error; what it changed before is saved."""
    done = asyncio.Event()

    async def page(request: web.Request) -> web.WebSocketResponse:
        add(get_session(request), "coat")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        add(get_session(request), "hat")
        try:
            await socket.send_str("too late")
        finally:
            done.set()
        return socket

    async def scene(client: Any) -> None:
        async with client.ws_connect("/chat"):
            pass
        await done.wait()

    with browser_of(application(MemoryStorage(), {"/chat": page})) as browser:
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat", "hat"]


def test_a_websocket_that_fails_drops_what_came_late() -> None:
    """An error while the client is there is a failure."""

    async def page(request: web.Request) -> web.WebSocketResponse:
        add(get_session(request), "coat")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        add(get_session(request), "hat")
        raise LookupError

    async def scene(client: Any) -> None:
        async with client.ws_connect("/chat") as socket:
            await socket.receive()

    with browser_of(application(MemoryStorage(), {"/chat": page})) as browser:
        browser.runner.run(scene(browser.client))
        assert browser.get("/cart").json() == ["coat"]


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
