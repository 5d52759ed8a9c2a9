"""One visit of a shop, the same in every framework: what its pages do, and what a browser sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jinja2
from starlette.testclient import TestClient

URL = "https://testserver"  # the cookie is Secure

ITEM = jinja2.Template(
    "{% for key in session %}{{ key }}={{ session[key] }};{% endfor %}"
    "{% if session.notice %}!{{ session.get('notice') }}{% endif %}"
)


def add(session: Any, item: str) -> list[str]:
    """Put an item into the cart, as with a dict."""
    session.setdefault("cart", []).append(item)
    return list(session["cart"])


@contextmanager
def client_of(app: Any) -> Iterator[TestClient]:
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client


def visit(client: Any) -> None:
    """Fill a cart, look at it, sign out: the same visit in every framework."""
    assert client.get("/cart").json() is None
    assert dict(client.cookies) == {}
    assert client.get("/add/coat").json() == ["coat"]
    assert client.get("/add/hat").json() == ["coat", "hat"]
    assert client.get("/cart").json() == ["coat", "hat"]
    assert client.get("/template").text == "cart=['coat', 'hat'];"
    assert client.get("/fail").status_code == 500
    assert client.get("/empty").json() == {"notice": "Emptied."}
    assert client.get("/template").text == "notice=Emptied.;!Emptied."
    client.get("/out")
    assert dict(client.cookies) == {}
    assert client.get("/cart").json() is None
