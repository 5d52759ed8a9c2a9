"""Starlette: mounts, streams, WebSockets, Server-Sent Events, and other middleware beside ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from coatcheck import BackendError, Context, ResponseStarted, Session, session
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, SessionStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from tests.applications import Stopped, move, stopped
from tests.frameworks.visits import ITEM, URL, add, client_of, visit
from tests.hosts import COOKIE, nothing_received, scope_of


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


async def begin(request: Request) -> Response:
    request.session["begun"] = True
    return JSONResponse(None)


async def held(request: Request) -> Response:
    return JSONResponse(dict(request.session))


async def events(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "data: one\n\n"
        request.session["last"] = "two"
        yield "data: two\n\n"

    return StreamingResponse(parts(), media_type="text/event-stream")


def test_what_a_stream_of_events_changes_is_saved() -> None:
    """The headers left before the first event; a storage on the server takes the change."""
    app = Starlette(routes=[Route("/begin", begin), Route("/held", held), Route("/events", events)])
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=MemoryStorage())
    with TestClient(app, base_url="https://testserver") as client:
        client.get("/begin")
        with client.stream("GET", "/events") as answer:
            assert list(answer.iter_lines()) == ["data: one", "", "data: two", ""]
        assert client.get("/held").json() == {"begun": True, "last": "two"}
