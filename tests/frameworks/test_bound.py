"""Sessions that are bound to a device, in every adapter that has requests of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bottle
import falcon.asgi
import flask
import httpx
import pytest
import quart
from aiohttp import web
from fastapi import FastAPI, Request
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from pyramid.config import Configurator
from starlette.testclient import TestClient

from coatcheck import Bound, Cookie, Session, session
from coatcheck._request.visit import Answer
from coatcheck._session.binding import UNDER_WAY
from coatcheck.frameworks import aiohttp, fastapi
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.bound_browsers import ITSELF, BoundBrowser
from tests.frameworks.visits import URL
from tests.hosts import SECRET

LONG = "__Host-shop"

COOKIE = Cookie(LONG, secrets=[SECRET])

BOUND = Bound()

Ask = Callable[[str, str, dict[str, str]], httpx.Response]


def page(session: Session, word: str) -> dict[str, Any]:
    """Sign in, sign out, or say who is there."""
    if word == "sign-in":
        session.sign_in("ada")
    elif word == "sign-out":
        session.sign_out()
    return {
        "user": session.signed_in.user if session.signed_in else None,
        "bound": session.is_bound,
    }


@dataclass
class HttpBrowser(BoundBrowser):
    """A browser that speaks HTTP."""

    def get(self, path: str) -> Any:
        """Open a page, and return what it says."""
        ask: Ask = self.shell  # type: ignore[assignment]
        got = ask("GET", path, {"cookie": self.header or ""})
        self.take([(name.lower(), value) for name, value in got.headers.multi_items()])
        return got.json()

    def send(self, path: str, **headers: str) -> Answer:
        sent = {**ITSELF, **{key.replace("_", "-"): value for key, value in headers.items()}}
        del sent["method"]
        ask: Ask = self.shell  # type: ignore[assignment]
        got = ask("POST", path, {**sent, "cookie": self.header or ""})
        pairs = tuple((name.lower(), value) for name, value in got.headers.multi_items())
        self.take(pairs)
        return Answer(got.status_code, pairs, got.content)


def asks(client: Any) -> Ask:
    """Return what sends a request by a client that keeps no cookies of its own."""

    def ask(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        client.cookies.clear()
        got: httpx.Response = client.request(method, path, headers=headers)
        return got

    return ask


@contextmanager
def of_wsgi(app: Any) -> Iterator[Ask]:
    with httpx.Client(transport=httpx.WSGITransport(app), base_url=URL) as client:
        yield asks(client)


@contextmanager
def of_asgi(app: Any) -> Iterator[Ask]:
    yield asks(TestClient(app, base_url=URL))


def of_flask(storage: KeyedStorage) -> Any:
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, storage, bound=BOUND)
    app.before_request(lambda: flask.abort(418) if flask.request.method == "POST" else None)
    app.get("/<word>")(lambda word: page(flask.session, word))  # type: ignore[arg-type]
    return of_wsgi(app)


def of_quart(storage: KeyedStorage) -> Any:
    app = quart.Quart(__name__)
    app.session_interface = QuartInterface(COOKIE, storage, bound=BOUND)  # type: ignore[assignment]

    @app.get("/<word>")
    async def show(word: str) -> Any:
        return page(quart.session, word)  # type: ignore[arg-type]

    return of_asgi(app)


def of_fastapi(storage: KeyedStorage) -> Any:
    app = FastAPI()
    fastapi.setup(app, COOKIE, storage, bound=BOUND)

    @app.get("/{word}")
    def show(word: str, request: Request) -> Any:
        return page(request.session, word)  # type: ignore[arg-type]

    return of_asgi(app)


def of_litestar(storage: KeyedStorage) -> Any:
    @litestar_get("/{word:str}", sync_to_thread=False)
    def show(request: LitestarRequest[Any, Any, Any]) -> dict[str, Any]:
        found = request.scope["coatcheck.session"]  # type: ignore[typeddict-item]
        return page(found, request.path_params["word"])

    return of_asgi(Litestar([show], plugins=[SessionPlugin(COOKIE, storage, bound=BOUND)]))


def of_pyramid(storage: KeyedStorage) -> Any:
    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        config.add_route("page", "/{word}")
        config.add_view(
            lambda request: page(request.environ["coatcheck.session"], request.matchdict["word"]),
            route_name="page",
            renderer="json",
        )
    return of_wsgi(session(COOKIE, storage, bound=BOUND).wsgi(config.make_wsgi_app()))


def of_bottle(storage: KeyedStorage) -> Any:
    app = bottle.Bottle()
    app.get("/<word>")(lambda word: page(bottle.request.environ["coatcheck.session"], word))
    return of_wsgi(session(COOKIE, storage, bound=BOUND).wsgi(app))


def of_falcon(storage: KeyedStorage) -> Any:
    class Page:
        async def on_get(self, req: Any, resp: Any, word: str) -> None:
            resp.media = page(req.scope["coatcheck.session"], word)

    app = falcon.asgi.App()
    app.add_route("/{word}", Page())
    sessions: Any = session(COOKIE, storage, bound=BOUND)
    return of_asgi(sessions(app))


@contextmanager
def of_aiohttp(storage: KeyedStorage) -> Iterator[Ask]:
    async def show(request: web.Request) -> web.Response:
        return web.json_response(page(request[aiohttp.SESSION], request.match_info["word"]))

    app = web.Application()
    aiohttp.setup(app, COOKIE, storage, bound=BOUND)
    app.router.add_get("/{word}", show)
    started, stopping = threading.Event(), asyncio.Event()
    ports: list[int] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        started.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}") as client:
            yield asks(client)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()


WAYS = [
    of_flask,
    of_quart,
    of_fastapi,
    of_litestar,
    of_pyramid,
    of_bottle,
    of_falcon,
    of_aiohttp,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__[3:])
def test_a_session_is_bound(way: Callable[[KeyedStorage], Any], clock: Clock) -> None:
    """Offered, registered, read, refreshed; its cookie alone is nobody's; signing out ends it."""
    with way(MemoryStorage(clock=clock)) as ask:
        browser = HttpBrowser(ask)
        assert browser.get("/sign-in") == {"user": "ada", "bound": False}
        assert browser.registers().status == 200
        assert browser.get("/page") == {"user": "ada", "bound": True}
        clock.advance(UNDER_WAY)
        copy = HttpBrowser(ask, cookies={LONG: browser.cookies[LONG]})
        assert copy.get("/page") == {"user": None, "bound": False}
        assert browser.refreshes("a.b.c").status == 400
        clock.advance(BOUND.seconds)
        assert browser.refreshes().status == 200
        assert browser.get("/page") == {"user": "ada", "bound": True}
        browser.get("/sign-out")
        assert browser.cookies == {}
