"""Frameworks, used as their users use them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastapi
import flask
import jinja2
import litestar
import litestar.testing
import pytest
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from werkzeug.test import Client as WerkzeugClient

from coatcheck import BackendError, Context, ResponseStarted, Session, session
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, SessionStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from tests.applications import Stopped, move, stopped
from tests.hosts import COOKIE, nothing_received, scope_of

URL = "https://testserver"  # the cookie is Secure

ITEM = jinja2.Template(
    "{% for key in session %}{{ key }}={{ session[key] }};{% endfor %}"
    "{% if session.notice %}!{{ session.get('notice') }}{% endif %}"
)


def add(session: Any, item: str) -> list[str]:
    """Put an item into the cart, as with a dict."""
    session.setdefault("cart", []).append(item)
    return list(session["cart"])


# Starlette


async def add_page(request: Request) -> Response:
    return JSONResponse(add(request.session, request.path_params["item"]))


async def cart_page(request: Request) -> Response:
    return JSONResponse(request.session.get("cart"))


async def empty_page(request: Request) -> Response:
    request.session.pop("cart", None)
    request.session["notice"] = "Emptied."
    return JSONResponse(dict(request.session))


async def template_page(request: Request) -> Response:
    return PlainTextResponse(ITEM.render(session=request.session))


async def out_page(request: Request) -> Response:
    request.session.clear()
    return PlainTextResponse("")


async def failing_page(request: Request) -> Response:
    request.session["lost"] = True
    raise LookupError


ROUTES = [
    Route("/add/{item}", add_page),
    Route("/cart", cart_page),
    Route("/empty", empty_page),
    Route("/template", template_page),
    Route("/out", out_page),
    Route("/fail", failing_page),
]


def starlette(storage: SessionStorage, *routes: Route | Mount | WebSocketRoute) -> Starlette:
    app = Starlette(routes=[*ROUTES, *routes])
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=storage)
    return app


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


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_starlette(make: Callable[[], SessionStorage]) -> None:
    """`add_middleware`, and `request.session` works like the dict it was."""
    with client_of(starlette(make())) as client:
        visit(client)


def test_starlette_wrapped() -> None:
    """The same application inside `session(...)`."""
    with client_of(session(COOKIE, MemoryStorage())(Starlette(routes=ROUTES))) as client:
        visit(client)


def test_starlette_mounted_applications_share_the_session() -> None:
    """What is mounted gets the same session, and the context with it."""

    async def inner(request: Request) -> Response:
        assert Context(request.scope).get(Session) is request.session
        return JSONResponse(request.session.get("cart"))

    mounted = Mount("/inner", app=Starlette(routes=[Route("/", inner)]))
    with client_of(starlette(MemoryStorage(), mounted)) as client:
        client.get("/add/coat")
        assert client.get("/inner/").json() == ["coat"]


async def stream_page(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        request.session["late"] = True
        yield "two"

    return StreamingResponse(parts())


async def late_page(request: Request) -> Response:
    return JSONResponse(request.session.get("late"))


STREAM = [Route("/stream", stream_page), Route("/late", late_page)]


def test_a_stream_that_changes_the_session_late_is_saved() -> None:
    """A server-side session that the client holds an id of takes late changes."""
    with client_of(starlette(MemoryStorage(), *STREAM)) as client:
        client.get("/add/coat")
        assert client.get("/stream").text == "onetwo"
        assert client.get("/late").json() is True


@pytest.mark.parametrize(("make", "before"), [(MemoryStorage, None), (CookieStorage, "/add/coat")])
def test_a_stream_that_changes_the_session_too_late_fails_at_that_line(
    make: Callable[[], SessionStorage], before: str | None
) -> None:
    """A new session or one in the cookie: the generator raises, and the stream breaks."""
    with TestClient(starlette(make(), *STREAM), base_url=URL) as client:
        if before:
            client.get(before)
        with pytest.raises(ResponseStarted, match=r"set\(\)") as raised:
            client.get("/stream")
    assert any(entry.name == "parts" for entry in raised.traceback)


def test_a_background_task_may_change_the_session() -> None:
    """It runs after the response; what it changed is saved when it is done."""

    async def page(request: Request) -> Response:
        task = BackgroundTask(request.session.update, late=True)
        return PlainTextResponse("", background=task)

    routes = [Route("/task", page), Route("/late", late_page)]
    with client_of(starlette(MemoryStorage(), *routes)) as client:
        client.get("/add/coat")
        client.get("/task")
        assert client.get("/late").json() is True


def test_an_error_page_of_the_framework_carries_no_session() -> None:
    """A server that is down: the error handler answers 503, after one attempt to save."""
    attempts: list[int] = []

    class Down(MemoryBackend):
        def swap(self, *_: object) -> None:
            attempts.append(1)
            raise BackendError("the server", "write")

    async def unavailable(_: Request, error: Exception) -> Response:
        assert isinstance(error, BackendError)
        return PlainTextResponse("later", status_code=503)

    app = starlette(KeyedStorage(Down(max_records=1, clock=system_clock)))
    app.add_exception_handler(Exception, unavailable)
    with client_of(app) as client:
        answer = client.get("/add/coat")
    assert (answer.status_code, answer.text, len(attempts)) == (503, "later", 1)
    assert not {"set-cookie", "vary"} & set(answer.headers)


def test_a_websocket_in_starlette() -> None:
    """`websocket.session` reads, gets a cookie on accept, and is saved at the close."""

    async def chat(websocket: WebSocket) -> None:
        add(websocket.session, "coat")
        await websocket.accept()
        add(websocket.session, "hat")
        await websocket.send_json(websocket.session["cart"])
        await websocket.close()

    with client_of(starlette(MemoryStorage(), WebSocketRoute("/chat", chat))) as client:
        with client.websocket_connect("wss://testserver/chat") as websocket:
            headers: dict[bytes, bytes] = dict(websocket.extra_headers or [])
            client.cookies.set(*headers[b"set-cookie"].decode().partition(";")[0].split("=", 1))
            assert websocket.receive_json() == ["coat", "hat"]
        assert client.get("/cart").json() == ["coat", "hat"]


class Passing(BaseHTTPMiddleware):
    """A middleware as users write them, in a task group of its own."""

    async def dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        request.session["seen"] = True
        return await call_next(request)


@pytest.mark.parametrize("outer", [True, False])
def test_sessions_work_beside_other_middleware(*, outer: bool) -> None:
    """Inside ours it may use the session; around ours it need not know of it."""
    ours = Middleware(SessionMiddleware, cookie=COOKIE, storage=MemoryStorage())
    if outer:
        around = Middleware(BaseHTTPMiddleware, dispatch=lambda request, call: call(request))
        app = Starlette(routes=ROUTES, middleware=[around, ours])
    else:
        app = Starlette(routes=ROUTES, middleware=[ours, Middleware(Passing)])
    with client_of(app) as client:
        client.get("/add/coat")
        seen = "" if outer else "seen=True;"
        assert client.get("/template").text in (f"{seen}cart=['coat'];", f"cart=['coat'];{seen}")


def test_a_task_group_that_is_cancelled_does_not_cut_a_save_in_half() -> None:
    """BaseHTTPMiddleware runs what it wraps in a task group, and cancels that with the request."""

    async def scene() -> None:
        request: Stopped = stopped()

        async def page(request: Request) -> Response:
            move(request.scope["session"])
            return PlainTextResponse("")

        request.middleware.app = Starlette(routes=[Route("/", page)])
        around = BaseHTTPMiddleware(request.middleware, dispatch=lambda r, call: call(r))
        task = asyncio.create_task(
            around(scope_of(request.header, EXTENDED), nothing_received, ignored)
        )
        await request.backend.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not request.moved
        await request.saved()
        assert request.moved

    asyncio.run(scene())


EXTENDED = {"query_string": b"", "root_path": "", "scheme": "https", "server": ("testserver", 443)}


async def ignored(_: object) -> None:
    return None


# FastAPI


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


# Litestar


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


# Flask


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
