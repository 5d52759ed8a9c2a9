"""An application in aiohttp, and a browser on it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from coatcheck import Cookie, Session
from coatcheck.frameworks.aiohttp import SESSION, get_session, setup
from coatcheck.storage import SessionStorage
from tests.frameworks.visits import ITEM, add
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server(TestServer):
    """aiohttp's server for tests, with the choice that its server for real has."""

    cancels = True

    async def _make_runner(self, **options: Any) -> Any:
        return await super()._make_runner(**{**options, "handler_cancellation": self.cancels})


class Browser:
    """aiohttp's client, read as httpx's is."""

    def __init__(self, app: web.Application, *, cancels: bool) -> None:
        self.runner = asyncio.Runner()
        self.client = self.runner.run(self._opened(Server(app), cancels))

    async def _opened(self, server: "Server", cancels: bool) -> Any:
        server.cancels = cancels
        client = TestClient(server)
        await client.start_server()
        return client

    def get(self, path: str, **options: Any) -> "Browser":
        return self.runner.run(self._get(path, **options))

    async def _get(self, path: str, **options: Any) -> "Browser":
        self.answer: ClientResponse = await self.client.get(path, **options)
        self.status_code, self.text = self.answer.status, await self.answer.text()
        self.read = await self.answer.json() if self.answer.content_type.endswith("json") else None
        return self

    def json(self) -> Any:
        return self.read

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.client.session.cookie_jar}


@contextmanager
def browser_of(app: web.Application, *, cancels: bool = True) -> Iterator[Browser]:
    browser = Browser(app, cancels=cancels)
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


async def new_page(request: web.Request) -> web.Response:
    get_session(request).regenerate_id()
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
    "/new": new_page,
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
