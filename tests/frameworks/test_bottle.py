"""Bottle: a WSGI application, wrapped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bottle
import httpx
import pytest

from coatcheck import Context, Session, session
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import SessionKit
from tests.frameworks.visits import ITEM, URL, add, visit
from tests.hosts import COOKIE


@dataclass
class Visit:
    """What a session holds, for the test of typed ones."""

    cart: list[str] = field(default_factory=list)


def current() -> Session:
    return Context(bottle.request.environ).get(Session)


def cart_page() -> Any:
    bottle.response.content_type = "application/json"
    return bottle.json_dumps(current().get("cart"))


def add_page(item: str) -> Any:
    bottle.response.content_type = "application/json"
    return bottle.json_dumps(add(current(), item))


def empty_page() -> Any:
    current().pop("cart")
    current()["notice"] = "Emptied."
    return dict(current())


def template_page() -> str:
    return str(ITEM.render(session=current()))


def out_page() -> None:
    current().destroy()


def failing_page() -> None:
    current()["lost"] = True
    raise LookupError


def stream_page() -> Iterator[str]:
    yield "one"
    current()["cart"] = ["late"]
    yield "two"


def sign_in_page() -> None:
    current()["cart"] = ["coat"]
    bottle.redirect("/cart")


PAGES = {
    "/add/<item>": add_page,
    "/cart": cart_page,
    "/empty": empty_page,
    "/template": template_page,
    "/out": out_page,
    "/fail": failing_page,
    "/stream": stream_page,
    "/in": sign_in_page,
}


@contextmanager
def client_of(storage: SessionStorage) -> Iterator[httpx.Client]:
    inner = bottle.Bottle()
    for path, page in PAGES.items():
        inner.route(path, callback=page)
    app = session(COOKIE, storage).wsgi(inner)
    transport = httpx.WSGITransport(app, raise_app_exceptions=False)
    with httpx.Client(transport=transport, base_url=URL) as client:
        yield client


@pytest.fixture(params=[MemoryStorage, CookieStorage])
def storage(request: pytest.FixtureRequest) -> SessionStorage:
    made: SessionStorage = request.param()
    return made


def test_a_visit(storage: SessionStorage) -> None:
    """The application wrapped, the session from the context."""
    with client_of(storage) as client:
        visit(client)


def test_a_redirect_that_is_raised_saves() -> None:
    """`bottle.redirect` raises a response."""
    with client_of(MemoryStorage()) as client:
        assert client.get("/in", follow_redirects=True).json() == ["coat"]


def test_a_stream_is_saved_at_its_end() -> None:
    """What a generator changes late, if the client has a session on the server."""
    with client_of(MemoryStorage()) as client:
        client.get("/add/coat")
        assert client.get("/stream").text == "onetwo"
        assert client.get("/cart").json() == ["late"]


def test_the_kit_signs_a_client_in(storage: SessionStorage) -> None:
    """As everywhere."""
    kit = SessionKit(COOKIE, storage)
    with client_of(storage) as client:
        kit.put(client, cart=["coat"])
        assert client.get("/add/hat").json() == ["coat", "hat"]
        assert kit.read(client) == {"cart": ["coat", "hat"]}


def test_a_typed_session() -> None:
    """`session(..., data=Visit)`."""

    def page() -> dict[str, list[str]]:
        held: Session[Visit] = current()
        held.data.cart.append("coat")
        return {"cart": held.data.cart}

    inner = bottle.Bottle()
    inner.route("/page", callback=page)
    app = session(COOKIE, MemoryStorage(), data=Visit).wsgi(inner)
    with httpx.Client(transport=httpx.WSGITransport(app), base_url=URL) as client:
        client.get("/page")
        assert client.get("/page").json() == {"cart": ["coat", "coat"]}
