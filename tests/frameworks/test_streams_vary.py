"""A page whose body is a stream may read the session after its headers left: caches are told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import blacksheep
import bottle
import falcon
import falcon.asgi
import flask
import pytest
import quart
from aiohttp import web
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from litestar import Litestar, Request, get
from litestar.response import Stream
from litestar.testing import TestClient as LitestarClient
from pyramid.config import Configurator
from pyramid.response import Response as PyramidResponse
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from coatcheck import Cookie, session
from coatcheck.frameworks import aiohttp
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import MemoryStorage
from tests.hosts import SECRET, environ_of, served

COOKIE = Cookie("session", secrets=[SECRET], secure=False)

Told = tuple[str, str]
"""The header Vary, and the body."""


def body(read: Callable[[], Any]) -> Iterator[bytes]:
    """Yield a body that looks at the session when its second part is asked for."""
    yield b"cart: "
    yield str(read().get("cart")).encode()


async def awaited_body(read: Callable[[], Any]) -> AsyncIterator[bytes]:
    for part in body(read):
        yield part


def over_asgi(app: Any) -> Told:
    with TestClient(app) as client:
        answer = client.get("/")
    return answer.headers.get("vary", ""), answer.text


def over_wsgi(app: Any) -> Told:
    answer = served(session(COOKIE, MemoryStorage()).wsgi(app), environ_of(None))
    return ", ".join(answer.all("vary")), answer.body.decode()


def of_starlette() -> Told:
    def page(request: StarletteRequest) -> Response:
        return StreamingResponse(awaited_body(lambda: request.session))

    return over_asgi(session(COOKIE, MemoryStorage())(Starlette(routes=[Route("/", page)])))


def of_fastapi() -> Told:
    app = FastAPI()

    @app.get("/")
    def page(request: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(body(lambda: request.session))

    return over_asgi(session(COOKIE, MemoryStorage())(app))


def of_litestar() -> Told:
    @get("/", sync_to_thread=False)
    def page(request: Request[Any, Any, Any]) -> Stream:
        return Stream(awaited_body(lambda: request.session))

    app = Litestar([page], plugins=[SessionPlugin(COOKIE, MemoryStorage())])
    with LitestarClient(app) as client:
        answer = client.get("/")
    return answer.headers.get("vary", ""), answer.text


def of_quart() -> Told:
    app: Any = quart.Quart(__name__)
    app.session_interface = QuartInterface(COOKIE, MemoryStorage())

    async def page() -> Any:
        @quart.stream_with_context
        async def parts() -> AsyncIterator[bytes]:
            async for part in awaited_body(lambda: quart.session):
                yield part

        return parts()

    app.add_url_rule("/", view_func=page)

    async def visit() -> Told:
        answer = await app.test_client().get("/")
        return answer.headers.get("vary", ""), await answer.get_data(as_text=True)

    return asyncio.run(visit())


def of_aiohttp() -> Told:
    async def page(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in body(lambda: aiohttp.get_session(request)):
            await response.write(part)
        return response

    async def visit() -> Told:
        app = web.Application()
        aiohttp.setup(app, COOKIE, MemoryStorage())
        app.router.add_get("/", page)
        async with AiohttpClient(TestServer(app)) as client:
            answer = await client.get("/")
            return answer.headers.get("vary", ""), await answer.text()

    return asyncio.run(visit())


def of_blacksheep() -> Told:
    app = blacksheep.Application(router=blacksheep.Router())

    async def page(request: blacksheep.Request) -> blacksheep.Response:
        scope: Any = request.scope

        async def parts() -> AsyncIterator[bytes]:
            async for part in awaited_body(lambda: scope["session"]):
                yield part

        return blacksheep.Response(200, content=blacksheep.StreamedContent(b"text/plain", parts))

    app.router.add_get("/", page)
    return over_asgi(session(COOKIE, MemoryStorage())(app))


def of_falcon() -> Told:
    class Page:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.stream = body(lambda: request.env["coatcheck.session"])

    app = falcon.App()
    app.add_route("/", Page())
    return over_wsgi(app)


def of_falcon_over_asgi() -> Told:
    class Page:
        async def on_get(
            self, request: falcon.asgi.Request, response: falcon.asgi.Response
        ) -> None:
            response.stream = awaited_body(lambda: request.scope["session"])

    app: Any = falcon.asgi.App()
    app.add_route("/", Page())
    answer = TestClient(session(COOKIE, MemoryStorage())(app)).get("/")
    return answer.headers.get("vary", ""), answer.text


def of_flask() -> Told:
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, MemoryStorage())

    @app.get("/")
    def page() -> Any:
        return flask.stream_with_context(body(lambda: flask.session))

    answer = app.test_client().get("/")
    return answer.headers.get("vary", ""), answer.text


def of_bottle() -> Told:
    app = bottle.Bottle()

    @app.get("/")  # type: ignore[untyped-decorator]
    def page() -> Iterator[bytes]:
        environ = bottle.request.environ
        return body(lambda: environ["coatcheck.session"])

    return over_wsgi(app)


def of_pyramid() -> Told:
    def page(request: Any) -> PyramidResponse:
        return PyramidResponse(app_iter=body(lambda: request.session))

    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        config.add_route("page", "/")
        config.add_view(page, route_name="page")
        return over_wsgi(config.make_wsgi_app())


@pytest.mark.parametrize(
    "visit",
    [
        of_starlette,
        of_fastapi,
        of_litestar,
        of_quart,
        of_aiohttp,
        of_blacksheep,
        of_falcon,
        of_falcon_over_asgi,
        of_flask,
        of_bottle,
        of_pyramid,
    ],
)
def test_a_streamed_page_varies_by_the_cookie(visit: Callable[[], Told]) -> None:
    """Its handler did not look at the session, but its body does; Django's is in its own tests."""
    assert visit() == ("Cookie", "cart: None")
