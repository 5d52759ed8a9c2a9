"""
An application for servers in processes of their own: `uvicorn --factory tests.served:make`.

    STORAGE=file,/tmp/sessions   what it keeps sessions in, and where
    GATE=8123                    a port at which /wait waits until it may go on
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from coatcheck import Cookie
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import (
    CookieStorage,
    FileStorage,
    MemcachedStorage,
    MemoryStorage,
    RedisStorage,
    SessionStorage,
    SqliteStorage,
)
from coatcheck.storage.backends.memcached import AsyncMemcachedBackend
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False)


Close = Callable[[], Awaitable[None]]


def make() -> Starlette:
    """Return the application that the environment asks for."""
    return application(*os.environ["STORAGE"].split(","))


def application(kind: str, *addresses: str) -> Starlette:
    """Return an application over a storage, which it closes when it ends."""
    storage, close = storage_at(kind, *addresses)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if close:
            await close()

    routes = [
        Route("/sign-in", sign_in),
        Route("/set/{key}", set_key),
        Route("/count", count),
        Route("/held", held),
        Route("/sign-out", sign_out),
        Route("/stream", stream),
        Route("/wait", wait),
        WebSocketRoute("/chat", chat),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=storage)
    return app


def storage_at(kind: str, *addresses: str) -> tuple[SessionStorage, Close | None]:
    """Return a storage, and what closes its connections."""
    match kind:
        case "cookie":
            return CookieStorage(), None
        case "memory":
            return MemoryStorage(), None
        case "file":
            return FileStorage(addresses[0]), None
        case "sqlite":
            return SqliteStorage(addresses[0]), None
        case "redis":
            client = redis.asyncio.Redis(unix_socket_path=addresses[0])
            return RedisStorage(client), client.aclose
        case _:
            storage = MemcachedStorage(*addresses, timeout=10)
            assert storage.aio
            assert isinstance(storage.aio.backend, AsyncMemcachedBackend)
            return storage, storage.aio.backend.close


async def sign_in(request: Request) -> Response:
    request.session["user"] = "Ada"
    request.session.regenerate_id()  # type: ignore[attr-defined]
    request.session.flash("notice", "Welcome.")  # type: ignore[attr-defined]
    return Response(status_code=303, headers={"location": "/held"})


async def set_key(request: Request) -> Response:
    request.session[request.path_params["key"]] = True
    return JSONResponse(None)


async def count(request: Request) -> Response:
    apply = request.session.apply  # type: ignore[attr-defined]
    return JSONResponse(apply("n", lambda n: n + 1, 0))


async def held(request: Request) -> Response:
    notice = request.session.get("notice")
    return JSONResponse({"notice": notice, **request.session})


async def sign_out(request: Request) -> Response:
    request.session.destroy()  # type: ignore[attr-defined]
    return Response(status_code=303, headers={"location": "/held"})


async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        request.session["late"] = True
        yield "two"

    return StreamingResponse(parts())


async def wait(request: Request) -> Response:
    """Tell whoever listens at the gate that a request is here, and wait for a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["GATE"]))
    writer.write(b"here")
    await reader.readexactly(2)
    writer.close()
    await writer.wait_closed()
    request.session["waited"] = True
    return JSONResponse("done")


async def chat(websocket: WebSocket) -> None:
    websocket.session["chats"] = True
    await websocket.accept()
    websocket.session["heard"] = await websocket.receive_text()
    await websocket.send_json(dict(websocket.session))
    await websocket.close()
