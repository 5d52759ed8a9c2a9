"""`session()` around applications of FastAPI, Litestar and Flask, without their adapters."""

from collections.abc import Callable, Iterator
from typing import Any

import fastapi
import flask
import litestar
import litestar.testing
import pytest
from litestar.middleware import DefineMiddleware
from starlette.responses import PlainTextResponse
from werkzeug.test import Client as WerkzeugClient

from coatcheck import Context, Session, session
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from tests.frameworks.visits import ITEM, URL, add, client_of, visit
from tests.hosts import COOKIE


def fastapi_app(storage: SessionStorage) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=storage)

    def current(request: fastapi.Request) -> Session:
        return Context(request.scope).get(Session)

    depends = fastapi.Depends(current)

    @app.get("/add/{item}")
    def add_item(item: str, session: Session = depends) -> list[str]:
        return add(session, item)

    @app.get("/cart")
    async def cart(request: fastapi.Request) -> Any:
        return request.session.get("cart")

    @app.get("/empty")
    async def empty(request: fastapi.Request) -> Any:
        del request.session["cart"]
        request.session["notice"] = "Emptied."
        return dict(request.session)

    @app.get("/template", response_class=PlainTextResponse)
    def template(session: Session = depends) -> str:
        return str(ITEM.render(session=session))

    @app.get("/out")
    def out(session: Session = depends) -> None:
        session.destroy()

    @app.get("/fail")
    def fail(session: Session = depends) -> None:
        session["lost"] = True
        raise LookupError

    return app


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_fastapi(make: Callable[[], SessionStorage]) -> None:
    """`add_middleware`, `request.session`, and the session as a dependency, also in threads."""
    with client_of(fastapi_app(make())) as client:
        visit(client)


def test_fastapi_websocket_that_ends_by_disconnect() -> None:
    """The endless loop of FastAPI's own examples, which catches the disconnect."""
    app = fastapi_app(MemoryStorage())

    @app.websocket("/chat")
    async def chat(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_json(add(websocket.session, await websocket.receive_text()))
        except fastapi.WebSocketDisconnect:
            return

    with client_of(app) as client:
        client.get("/add/coat")
        with client.websocket_connect("wss://testserver/chat") as websocket:
            websocket.send_text("hat")
            assert websocket.receive_json() == ["coat", "hat"]
        assert client.get("/cart").json() == ["coat", "hat"]


@litestar.get("/add/{item:str}")
async def litestar_add(request: litestar.Request[Any, Any, Any]) -> list[str]:
    return add(request.session, request.path_params["item"])


@litestar.get("/cart")
async def litestar_cart(request: litestar.Request[Any, Any, Any]) -> Any:
    return litestar.Response(request.session.get("cart"), media_type="application/json")


@litestar.get("/empty")
async def litestar_empty(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
    request.session.pop("cart")
    request.session["notice"] = "Emptied."
    return dict(request.session)


@litestar.get("/template", media_type="text/plain")
async def litestar_template(request: litestar.Request[Any, Any, Any]) -> str:
    return str(ITEM.render(session=request.session))


@litestar.get("/out")
async def litestar_out(request: litestar.Request[Any, Any, Any]) -> None:
    request.session.clear()


@litestar.get("/fail")
async def litestar_fail(request: litestar.Request[Any, Any, Any]) -> None:
    request.session["lost"] = True
    raise LookupError


LITESTAR: Any = [
    litestar_add,
    litestar_cart,
    litestar_empty,
    litestar_template,
    litestar_out,
    litestar_fail,
]


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
@pytest.mark.parametrize("how", ["defined", "wrapped"])
def test_litestar(make: Callable[[], SessionStorage], how: str) -> None:
    """`DefineMiddleware` or `session(...)` around the application; `request.session` works."""
    storage = make()
    if how == "wrapped":
        app: Any = session(COOKIE, storage)(litestar.Litestar(LITESTAR))  # type: ignore[arg-type]
    else:
        made: Any = SessionMiddleware  # Litestar writes the type of a scope in another way
        ours = DefineMiddleware(made, cookie=COOKIE, storage=storage)
        app = litestar.Litestar(LITESTAR, middleware=[ours])
    with client_of(app) as client:
        visit(client)


def flask_app(storage: SessionStorage) -> flask.Flask:
    app = flask.Flask(__name__)
    app.wsgi_app = session(COOKIE, storage).wsgi(app.wsgi_app)  # type: ignore[method-assign]

    def current() -> Session:
        return Context(flask.request.environ).get(Session)

    @app.get("/add/<item>")
    def add_item(item: str) -> flask.Response:
        return flask.jsonify(add(current(), item))

    @app.get("/cart")
    def cart() -> flask.Response:
        return flask.jsonify(current().get("cart"))

    @app.get("/empty")
    def empty() -> flask.Response:
        current().pop("cart")
        current()["notice"] = "Emptied."
        return flask.jsonify(dict(current()))

    @app.get("/template")
    def template() -> str:
        return str(ITEM.render(session=current()))

    @app.get("/out")
    def out() -> str:
        current().destroy()
        return ""

    @app.get("/fail")
    def fail() -> str:
        current()["lost"] = True
        raise LookupError

    @app.get("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            yield "one"
            current()["late"] = True
            yield "two"

        return flask.Response(flask.stream_with_context(parts()))

    return app


class Requests:
    """Werkzeug's client, read as httpx's is."""

    def __init__(self, app: flask.Flask) -> None:
        self._client = WerkzeugClient(app)

    def get(self, path: str) -> "Requests":
        self._answer = self._client.get(path, base_url=URL, buffered=True)
        self.status_code, self.text = self._answer.status_code, self._answer.text
        return self

    def json(self) -> object:
        return self._answer.json

    @property
    def cookies(self) -> list[tuple[str, str]]:
        return [(c.key, c.value) for c in self._client._cookies.values()]  # type: ignore[union-attr]


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_flask(make: Callable[[], SessionStorage]) -> None:
    """`app.wsgi_app` wrapped, the session from the context."""
    visit(Requests(flask_app(make())))


def test_a_stream_in_flask() -> None:
    """What it changes late is saved when the server closes it."""
    client = Requests(flask_app(MemoryStorage()))
    client.get("/add/coat")
    assert client.get("/stream").text == "onetwo"
    assert "late=True" in client.get("/template").text
