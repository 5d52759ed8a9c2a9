"""`cross_origin()` and `csrf()` against a hostile page, in Debian's Chromium."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from coatcheck import Cookie, session
from coatcheck.csrf import cross_origin
from coatcheck.storage import MemoryStorage
from tests import servers
from tests.chromium import launched
from tests.hosts import SECRET

ORDER = '<form method="post" action="/order"><button>Order</button></form>'

HOSTILE = """
<form method="post" action="{shop}/order"><button>Win</button></form>
<p id="socket"></p>
<script>
  const socket = new WebSocket("{shop}/socket".replace("http", "ws"));
  socket.onopen = () => document.querySelector("#socket").textContent = "open";
  socket.onerror = () => document.querySelector("#socket").textContent = "refused";
</script>
"""


class Shop:
    """A shop whose cookie travels with requests of other sites, and what was ordered there."""

    def __init__(self) -> None:
        self.orders = 0
        cookie = Cookie("__session", secrets=[SECRET], secure=False, samesite=None)
        routes = [
            Route("/", self.page),
            Route("/order", self.order, methods=["POST"]),
            WebSocketRoute("/socket", self.socket),
        ]
        app = session(cookie, MemoryStorage())(Starlette(routes=routes))
        self.app = cross_origin()(app)

    async def page(self, request: Request) -> Response:
        request.session["user"] = "ada"
        return HTMLResponse(ORDER)

    async def order(self, _: Request) -> Response:
        self.orders += 1
        return PlainTextResponse("ordered")

    async def socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serve an application; yield its port."""
    port = servers.free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error"))
    thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with launched() as browser:
        yield browser


def test_a_hostile_page_can_neither_order_nor_open_a_socket(chromium: Browser) -> None:
    """The shop's own page can; a visitor who comes back by a link is still known."""
    shop = Shop()
    with serving(shop.app) as port:
        own = f"http://localhost:{port}"

        async def hostile(_: Request) -> Response:
            return HTMLResponse(HOSTILE.format(shop=own))

        with serving(Starlette(routes=[Route("/", hostile)])) as other:
            page = chromium.new_page()
            page.goto(own)
            page.click("button")
            assert page.text_content("body") == "ordered"
            page.goto(f"http://127.0.0.1:{other}/")
            page.wait_for_function("document.querySelector('#socket').textContent")
            assert page.text_content("#socket") == "refused"
            page.click("button")
            page.wait_for_url(f"{own}/order")
            assert "another site" in (page.text_content("body") or "")
            page.close()
    assert shop.orders == 1
