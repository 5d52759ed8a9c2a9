"""
Litestar's own sessions, over a bare Litestar application.

A cookie is encrypted, by AES-GCM as ours is. Every session is saved with every response, an
untouched one of the server side included.
"""

import json
from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.memory import MemoryStore
from litestar.stores.redis import RedisStore

from benchmarks import work
from benchmarks.drivers import App, Asgi
from benchmarks.place import Place
from benchmarks.subjects import Bare, Subject

NAMES = {"cookie": "encrypted cookie", "memory": "memory", "redis": "Redis"}


@get("/", media_type=MediaType.TEXT)
async def untouched() -> str:
    return "ok"


@get("/", media_type=MediaType.TEXT)
async def read(request: Request[Any, Any, Any]) -> str:
    request.session.get("user_id")
    return "ok"


@get("/", media_type=MediaType.TEXT)
async def write(request: Request[Any, Any, Any]) -> str:
    session = request.session
    session.get("user_id")
    session["n"] = next(work.numbers)
    return "ok"


@get("/", media_type=MediaType.TEXT)
async def fill(request: Request[Any, Any, Any]) -> str:
    request.session.update(work.filling)
    return "ok"


@get("/", media_type=MediaType.TEXT)
async def show(request: Request[Any, Any, Any]) -> str:
    return json.dumps(request.session)


HANDLERS = {"untouched": untouched, "read": read, "write": write, "fill": fill, "show": show}


def application(handler: str, **options: Any) -> App:
    return Litestar([HANDLERS[handler]], openapi_config=None, logging_config=None, **options)


BARE = Bare("litestar", Asgi(), lambda: application("untouched"))


def subject(kind: str, place: Place) -> Subject:
    options = _options(kind, place)
    return Subject(
        f"litestar {kind}",
        f"Litestar, {NAMES[kind]}",
        lambda handler: application(handler, **options),
        BARE,
    )


def _options(kind: str, place: Place) -> dict[str, Any]:
    if kind == "cookie":
        secret = work.SECRET.encode()[:32]
        return {"middleware": [CookieBackendConfig(secret=secret, secure=True).middleware]}
    config = ServerSideSessionConfig(secure=True)
    return {"middleware": [config.middleware], "stores": {"sessions": _store(kind, place)}}


def _store(kind: str, place: Place) -> Any:
    if kind == "memory":
        return MemoryStore()
    from redis.asyncio import Redis

    return RedisStore(Redis(unix_socket_path=place.server("redis")))
