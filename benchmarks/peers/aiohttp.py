"""
aiohttp-session, over a bare aiohttp application.

The application is called where the server would call it, and gives its response back unsent: what
the Set-Cookie header costs while it is written is not counted, neither here nor without sessions.
A cookie is encrypted, by Fernet; an id is not signed.
"""

import json
from time import perf_counter_ns
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp_session import get_session, session_middleware
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from aiohttp_session.redis_storage import RedisStorage

from benchmarks import work
from benchmarks.drivers import OTHER_HEADERS, Answer, App, after
from benchmarks.loop import wait
from benchmarks.place import Place
from benchmarks.subjects import Bare, Subject

NAMES = {"cookie": "encrypted cookie", "redis": "Redis"}


async def untouched(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def read(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.get("user_id")
    return web.Response(text="ok")


async def write(request: web.Request) -> web.Response:
    session = await get_session(request)
    session.get("user_id")
    session["n"] = next(work.numbers)
    return web.Response(text="ok")


async def fill(request: web.Request) -> web.Response:
    (await get_session(request)).update(work.filling)
    return web.Response(text="ok")


async def show(request: web.Request) -> web.Response:
    return web.Response(text=json.dumps(dict(await get_session(request))))


HANDLERS = {"untouched": untouched, "read": read, "write": write, "fill": fill, "show": show}


class Aiohttp:
    """Calls aiohttp applications where their server would."""

    def __init__(self) -> None:
        self._headers = {name.decode(): value.decode() for name, value in OTHER_HEADERS}
        self._first: web.Request | None = None

    def request(self, cookie: str | None) -> Any:
        headers = dict(self._headers)
        if cookie:
            headers["cookie"] = cookie.encode().decode()
        self._first = self._first or make_mocked_request("GET", "/", headers=self._headers)
        return self._first.clone(headers=headers)

    def ask(self, app: App, cookie: str | None) -> Answer:
        response = wait(app._handle(self.request(cookie)))
        return Answer(after(cookie, _cookies(response)), response.body)

    def timed(self, app: App, requests: list[Any]) -> int:
        return wait(self._timed(app, requests))

    def followed(self, app: App, requests: list[Any], cookie: str) -> tuple[int, str]:
        return wait(self._followed(app, requests, cookie))

    async def _timed(self, app: App, requests: list[Any]) -> int:
        total = 0
        handle = app._handle
        for request in requests:
            begun = perf_counter_ns()
            await handle(request)
            total += perf_counter_ns() - begun
        return total

    async def _followed(self, app: App, requests: list[Any], cookie: str) -> tuple[int, str]:
        total = 0
        handle = app._handle
        for _ in requests:
            request = self.request(cookie)
            begun = perf_counter_ns()
            response = await handle(request)
            total += perf_counter_ns() - begun
            cookie = after(cookie, _cookies(response)) or cookie
        return total, cookie


def _cookies(response: web.Response) -> list[str]:
    return [morsel.OutputString() for morsel in response.cookies.values()]


def application(handler: str, *middlewares: Any) -> App:
    app = web.Application(middlewares=middlewares)
    app.router.add_get("/", HANDLERS[handler])
    app.freeze()
    return app


BARE = Bare("aiohttp", Aiohttp(), lambda: application("untouched"))


def subject(kind: str, place: Place) -> Subject:
    storage = _storage(kind, place)
    return Subject(
        f"aiohttp {kind}",
        f"aiohttp-session, {NAMES[kind]}",
        lambda handler: application(handler, session_middleware(storage)),
        BARE,
    )


def _storage(kind: str, place: Place) -> Any:
    options: dict[str, Any] = {"cookie_name": "session", "max_age": work.LIFE, "secure": True}
    if kind == "cookie":
        return EncryptedCookieStorage(work.SECRET.encode()[:32], **options)
    from redis.asyncio import Redis

    return RedisStorage(Redis(unix_socket_path=place.server("redis")), **options)
