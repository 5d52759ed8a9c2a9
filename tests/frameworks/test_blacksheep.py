"""BlackSheep: an ASGI application, wrapped."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import blacksheep
import pytest
from blacksheep.contents import StreamedContent
from starlette.testclient import TestClient

from coatcheck import Context, Session, session
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import SessionKit
from tests.applications import Awaited
from tests.frameworks.visits import ITEM, URL, add, visit
from tests.hosts import COOKIE


@dataclass
class Visit:
    """What a session holds, for the test of typed ones."""

    cart: list[str] = field(default_factory=list)


def current(request: Any) -> Session:
    return Context(request.scope).get(Session)


async def add_page(request: blacksheep.Request, item: str) -> blacksheep.Response:
    return blacksheep.json(add(current(request), item))


async def cart_page(request: blacksheep.Request) -> blacksheep.Response:
    return blacksheep.json(current(request).get("cart"))


async def empty_page(request: blacksheep.Request) -> blacksheep.Response:
    current(request).pop("cart")
    current(request)["notice"] = "Emptied."
    return blacksheep.json(dict(current(request)))


async def template_page(request: blacksheep.Request) -> blacksheep.Response:
    return blacksheep.text(ITEM.render(session=current(request)))


async def out_page(request: blacksheep.Request) -> blacksheep.Response:
    current(request).destroy()
    return blacksheep.no_content()


async def failing_page(request: blacksheep.Request) -> blacksheep.Response:
    current(request)["lost"] = True
    raise LookupError


async def sign_in_page(request: blacksheep.Request) -> blacksheep.Response:
    current(request)["cart"] = ["coat"]
    return blacksheep.redirect("/cart")


async def stream_page(request: blacksheep.Request) -> blacksheep.Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        current(request)["cart"] = ["late"]
        yield b"two"

    return blacksheep.Response(200, content=StreamedContent(b"text/plain", parts))


async def chat(websocket: blacksheep.WebSocket) -> None:
    add(current(websocket), "coat")
    await websocket.accept()
    cart: Any = add(current(websocket), await websocket.receive_text())
    await websocket.send_json(cart)
    await websocket.close()


PAGES: dict[str, Any] = {
    "/add/{item}": add_page,
    "/cart": cart_page,
    "/empty": empty_page,
    "/template": template_page,
    "/out": out_page,
    "/fail": failing_page,
    "/in": sign_in_page,
    "/stream": stream_page,
}


@contextmanager
def client_of(storage: SessionStorage) -> Iterator[TestClient]:
    inner = blacksheep.Application(router=blacksheep.Router())
    for path, page in PAGES.items():
        inner.router.add_get(path, page)
    inner.router.add_ws("/chat", chat)
    app: Any = session(COOKIE, storage)(inner)
    with TestClient(app, base_url=URL) as client:
        yield client


@pytest.mark.parametrize(
    "make", [MemoryStorage, CookieStorage, lambda: AsyncKeyedStorage(Awaited())]
)
def test_a_visit(make: Callable[[], SessionStorage]) -> None:
    """The application wrapped, the session from the context."""
    with client_of(make()) as client:
        visit(client)


def test_a_redirect_saves() -> None:
    """As any answer."""
    with client_of(MemoryStorage()) as client:
        assert client.get("/in").json() == ["coat"]


def test_a_stream_is_saved_at_its_end() -> None:
    """What it changes late, if the client has a session on the server."""
    with client_of(MemoryStorage()) as client:
        client.get("/add/coat")
        assert client.get("/stream").text == "onetwo"
        assert client.get("/cart").json() == ["late"]


def test_a_websocket() -> None:
    """What is changed before the accept and after it is saved."""
    storage = MemoryStorage()
    with client_of(storage) as client:
        SessionKit(COOKIE, storage).put(client, cart=["scarf"])
        with client.websocket_connect("wss://testserver/chat") as socket:
            socket.send_text("hat")
            assert socket.receive_json() == ["scarf", "coat", "hat"]
        assert client.get("/cart").json() == ["scarf", "coat", "hat"]


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_the_kit_signs_a_client_in(make: Callable[[], SessionStorage]) -> None:
    """Through any ASGI client."""
    storage = make()
    kit = SessionKit(COOKIE, storage)
    with client_of(storage) as client:
        kit.put(client, cart=["coat"])
        assert client.get("/add/hat").json() == ["coat", "hat"]
        assert kit.read(client) == {"cart": ["coat", "hat"]}


def test_a_typed_session() -> None:
    """`session(..., data=Visit)`."""

    async def page(request: blacksheep.Request) -> blacksheep.Response:
        held: Session[Visit] = current(request)
        held.data.cart.append("coat")
        return blacksheep.json(held.data.cart)

    inner = blacksheep.Application(router=blacksheep.Router())
    inner.router.add_get("/page", page)
    app: Any = session(COOKIE, MemoryStorage(), data=Visit)(inner)
    with TestClient(app, base_url=URL) as client:
        client.get("/page")
        assert client.get("/page").json() == ["coat", "coat"]
