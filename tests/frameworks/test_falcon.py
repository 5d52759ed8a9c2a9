"""Falcon, over ASGI and over WSGI, wrapped."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import falcon
import falcon.asgi
import falcon.testing
import httpx
import pytest
from starlette.testclient import TestClient

from coatcheck import Context, Session, session
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import SessionKit
from tests.applications import Awaited
from tests.frameworks.visits import ITEM, URL, add, visit
from tests.hosts import COOKIE

FRONTS = ["asgi", "wsgi"]


@dataclass
class Visit:
    """What a session holds, for the test of typed ones."""

    cart: list[str] = field(default_factory=list)


def current(req: Any) -> Session:
    """Return the session, whichever the application is."""
    return Context(req.scope if isinstance(req, falcon.asgi.Request) else req.env).get(Session)


class AddPage:
    def answer(self, req: Any, resp: Any, item: str) -> None:
        resp.media = add(current(req), item)


class CartPage:
    def answer(self, req: Any, resp: Any) -> None:
        resp.text = json.dumps(current(req).get("cart"))  # media may not be None


class EmptyPage:
    def answer(self, req: Any, resp: Any) -> None:
        current(req).pop("cart")
        current(req)["notice"] = "Emptied."
        resp.media = dict(current(req))


class TemplatePage:
    def answer(self, req: Any, resp: Any) -> None:
        resp.text = ITEM.render(session=current(req))


class OutPage:
    def answer(self, req: Any, _: Any) -> None:
        current(req).destroy()


class FailingPage:
    def answer(self, req: Any, _: Any) -> None:
        current(req)["lost"] = True
        raise LookupError


class SignInPage:
    def answer(self, req: Any, _: Any) -> None:
        current(req)["cart"] = ["coat"]
        raise falcon.HTTPSeeOther("/cart")


class StreamPage:
    def answer(self, req: Any, resp: Any) -> None:
        resp.stream = parts(req)


class AwaitedStreamPage:
    def answer(self, req: Any, resp: Any) -> None:
        resp.stream = awaited_parts(req)


class EventsPage:
    def answer(self, req: Any, resp: Any) -> None:
        resp.sse = events(req)


def parts(req: Any) -> Iterator[bytes]:
    yield b"one"
    current(req)["cart"] = ["late"]
    yield b"two"


async def awaited_parts(req: Any) -> AsyncIterator[bytes]:
    for part in parts(req):
        yield part


async def events(req: Any) -> AsyncIterator[falcon.asgi.SSEvent]:
    async for part in awaited_parts(req):
        yield falcon.asgi.SSEvent(data=part)


class ChatPage:
    async def on_websocket(self, req: Any, ws: Any) -> None:
        add(current(req), "coat")
        await ws.accept()
        await ws.send_media(add(current(req), await ws.receive_text()))
        await ws.close()


PAGES: dict[str, Any] = {
    "/add/{item}": AddPage,
    "/cart": CartPage,
    "/empty": EmptyPage,
    "/template": TemplatePage,
    "/out": OutPage,
    "/fail": FailingPage,
    "/in": SignInPage,
}


def awaited(page: type[Any]) -> Any:
    """Return a resource whose responder is a coroutine."""

    async def on_get(self: Any, req: Any, resp: Any, **params: str) -> None:
        self.answer(req, resp, **params)

    return type(page.__name__, (page,), {"on_get": on_get})()


def plain(page: type[Any]) -> Any:
    """Return a resource whose responder is a function."""
    return type(page.__name__, (page,), {"on_get": page.answer})()


@contextmanager
def client_of(front: str, storage: SessionStorage) -> Iterator[Any]:
    sessions = session(COOKIE, storage)
    if front == "wsgi":
        plain_app = falcon.App()
        for path, page in {**PAGES, "/stream": StreamPage}.items():
            plain_app.add_route(path, plain(page))
        transport = httpx.WSGITransport(sessions.wsgi(plain_app))
        with httpx.Client(transport=transport, base_url=URL, follow_redirects=True) as client:
            yield client
        return
    app: Any = falcon.asgi.App()
    for path, page in {**PAGES, "/stream": AwaitedStreamPage, "/events": EventsPage}.items():
        app.add_route(path, awaited(page))
    app.add_route("/chat", ChatPage())
    yield TestClient(sessions(app), base_url=URL)  # not opened: Falcon waits on after the shutdown


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_visit(front: str, make: Any) -> None:
    """The application wrapped, the session from the context."""
    with client_of(front, make()) as client:
        visit(client)


def test_a_visit_with_a_storage_that_is_awaited() -> None:
    """Over ASGI."""
    with client_of("asgi", AsyncKeyedStorage(Awaited())) as client:
        visit(client)


@pytest.mark.parametrize("front", FRONTS)
def test_a_redirect_that_is_raised_saves(front: str) -> None:
    """`raise falcon.HTTPSeeOther` is an answer."""
    with client_of(front, MemoryStorage()) as client:
        assert client.get("/in").json() == ["coat"]


@pytest.mark.parametrize(
    ("front", "path", "body"),
    [
        ("wsgi", "/stream", "onetwo"),
        ("asgi", "/stream", "onetwo"),
        ("asgi", "/events", "data: one\n\ndata: two\n\n"),
    ],
)
def test_a_stream_is_saved_at_its_end(front: str, path: str, body: str) -> None:
    """What it changes late, if the client has a session on the server; events likewise."""
    with client_of(front, MemoryStorage()) as client:
        client.get("/add/coat")
        assert client.get(path).text == body
        assert client.get("/cart").json() == ["late"]


def test_a_websocket() -> None:
    """The cookie comes with the accept, and what came later is saved at the close."""
    storage = MemoryStorage()
    with client_of("asgi", storage) as client:
        SessionKit(COOKIE, storage).put(client, cart=["scarf"])
        with client.websocket_connect("wss://testserver/chat") as socket:
            socket.send_text("hat")
            assert socket.receive_json() == ["scarf", "coat", "hat"]
        assert client.get("/cart").json() == ["scarf", "coat", "hat"]


@pytest.mark.parametrize("front", FRONTS)
def test_the_kit_signs_a_client_in(front: str) -> None:
    """Falcon's own client has no jar: its cookies are a dict."""
    storage = MemoryStorage()
    kit, jar = SessionKit(COOKIE, storage), dict[str, str]()
    kit.put(jar, cart=["coat"])
    app: Any
    if front == "asgi":
        app = falcon.asgi.App()
        app.add_route("/cart", awaited(CartPage))
        client = falcon.testing.TestClient(session(COOKIE, storage)(app))
    else:
        app = falcon.App()
        app.add_route("/cart", plain(CartPage))
        client = falcon.testing.TestClient(session(COOKIE, storage).wsgi(app))
    assert client.simulate_get("/cart", cookies=jar).text == '["coat"]'
    assert client.simulate_get("/cart").text == "null"


class TypedPage:
    def answer(self, req: Any, resp: Any) -> None:
        held: Session[Visit] = current(req)
        held.data.cart.append("coat")
        resp.media = held.data.cart


@pytest.mark.parametrize("front", FRONTS)
def test_a_typed_session(front: str) -> None:
    """`session(..., data=Visit)`."""
    sessions = session(COOKIE, MemoryStorage(), data=Visit)
    client: Any
    if front == "asgi":
        app: Any = falcon.asgi.App()
        app.add_route("/page", awaited(TypedPage))
        client = TestClient(sessions(app), base_url=URL)
    else:
        plain_app = falcon.App()
        plain_app.add_route("/page", plain(TypedPage))
        transport = httpx.WSGITransport(sessions.wsgi(plain_app))
        client = httpx.Client(transport=transport, base_url=URL)
    client.get("/page")
    assert client.get("/page").json() == ["coat", "coat"]
    client.close()
