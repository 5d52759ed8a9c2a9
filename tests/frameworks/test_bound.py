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
from fastapi import Depends, FastAPI, Request, WebSocket
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from pyramid.config import Configurator
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from coatcheck import Bound, ConfigurationError, Cookie, Session, session
from coatcheck._request.visit import Answer
from coatcheck._session.binding import UNDER_WAY
from coatcheck.frameworks import aiohttp, fastapi
from coatcheck.frameworks import flask as flask_sessions
from coatcheck.frameworks import quart as quart_sessions
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin, requires_bound
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.bound_browsers import ITSELF, BoundBrowser
from tests.frameworks.visits import URL
from tests.hosts import SECRET

LONG = "__Host-shop"

COOKIE = Cookie(LONG, secrets=[SECRET])

BOUND = Bound(required=True)

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

    ask.client = client  # type: ignore[attr-defined]
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

    @app.get("/guarded")
    @flask_sessions.require_bound()
    async def guarded() -> str:
        return "passes"

    return of_wsgi(app)


def of_quart(storage: KeyedStorage) -> Any:
    app = quart.Quart(__name__)
    app.session_interface = QuartInterface(COOKIE, storage, bound=BOUND)  # type: ignore[assignment]

    @app.get("/<word>")
    async def show(word: str) -> Any:
        return page(quart.session, word)  # type: ignore[arg-type]

    @app.get("/guarded")
    @quart_sessions.require_bound()
    async def guarded() -> str:
        return "passes"

    app.websocket("/guarded")(quart_sessions.require_bound()(accept))
    return of_asgi(app)


async def accept() -> None:
    """Serve a WebSocket of Quart."""
    await quart.websocket.send("passes")


def of_fastapi(storage: KeyedStorage) -> Any:
    app = FastAPI()
    fastapi.setup(app, COOKIE, storage, bound=BOUND)

    @app.get("/guarded", dependencies=[Depends(fastapi.RequireBound())])
    def guarded() -> str:
        return "passes"

    @app.websocket("/guarded", dependencies=[Depends(fastapi.RequireBound())])
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("passes")

    @app.get("/{word}")
    def show(word: str, request: Request) -> Any:
        return page(request.session, word)  # type: ignore[arg-type]

    return of_asgi(app)


def of_litestar(storage: KeyedStorage) -> Any:
    @litestar_get("/{word:str}", sync_to_thread=False)
    def show(request: LitestarRequest[Any, Any, Any]) -> dict[str, Any]:
        found = request.scope["coatcheck.session"]  # type: ignore[typeddict-item]
        return page(found, request.path_params["word"])

    @litestar_get("/guarded", guards=[requires_bound], sync_to_thread=False)
    def guarded() -> str:
        return "passes"

    return of_asgi(Litestar([show, guarded], plugins=[SessionPlugin(COOKIE, storage, bound=BOUND)]))


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

    @aiohttp.require_bound()
    async def guarded(_: web.Request) -> web.Response:
        return web.Response(text="passes")

    class Guarded(web.View):
        @aiohttp.require_bound()
        async def get(self) -> web.Response:
            return web.Response(text="passes")

    app = web.Application()
    aiohttp.setup(app, COOKIE, storage, bound=BOUND)
    app.router.add_get("/guarded", guarded)
    app.router.add_view("/view/guarded", Guarded)
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


GUARDED = [
    (of_flask, "/guarded"),
    (of_quart, "/guarded"),
    (of_fastapi, "/guarded"),
    (of_litestar, "/guarded"),
    (of_aiohttp, "/guarded"),
    (of_aiohttp, "/view/guarded"),
]


@pytest.mark.parametrize(("way", "path"), GUARDED)
def test_only_a_bound_session_passes(
    way: Callable[[KeyedStorage], Any], path: str, clock: Clock
) -> None:
    """Others get 403; a page that is opened right after the sign-in loads itself again."""
    with way(MemoryStorage(clock=clock)) as ask:
        browser = HttpBrowser(ask)

        def got() -> httpx.Response:
            response: httpx.Response = ask("GET", path, {"cookie": browser.header or ""})
            return response

        assert (got().status_code, got().headers.get("refresh")) == (403, None)
        browser.get("/sign-in")
        assert (got().status_code, got().headers["refresh"]) == (403, "1")
        assert "device" in got().text
        browser.registers()
        assert "passes" in got().text
        browser.cookies.pop(f"{LONG}-bound")
        assert got().status_code == 403


@pytest.mark.filterwarnings("ignore:The ASGI Server does not support")  # that of the tests
@pytest.mark.parametrize("way", [of_quart, of_fastapi])
def test_a_websocket_needs_a_bound_session(
    way: Callable[[KeyedStorage], Any], clock: Clock
) -> None:
    """It is refused before it is accepted."""
    with way(MemoryStorage(clock=clock)) as ask:
        client: TestClient = ask.client
        browser = HttpBrowser(ask)
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("wss://testserver/guarded"),
        ):
            pass
        browser.get("/sign-in")
        browser.registers()
        headers = {"cookie": browser.header or ""}
        with client.websocket_connect("wss://testserver/guarded", headers=headers) as socket:
            assert socket.receive_text() == "passes"


def test_what_is_not_bound_is_not_guarded() -> None:
    """Without `required` everybody passes; without `bound` the set-up is wrong."""
    app = FastAPI()
    fastapi.setup(app, COOKIE, MemoryStorage())
    app.get("/", dependencies=[Depends(fastapi.RequireBound())])(lambda: None)
    with of_asgi(app) as ask, pytest.raises(ConfigurationError, match="inside of sessions with"):
        ask("GET", "/", {})
