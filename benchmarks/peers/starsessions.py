"""
starsessions, over a bare ASGI application.

A handler loads the session where it needs it; whatever was loaded is saved with the response, read
or changed. In a cookie it is signed, by what Starlette uses; an id is not signed.
"""

from typing import Any

from starsessions import CookieStore, InMemoryStore, SessionMiddleware

from benchmarks import work
from benchmarks.drivers import App
from benchmarks.place import Place
from benchmarks.subjects import ASGI, Subject

NAMES = {"cookie": "signed cookie", "memory": "memory", "redis": "Redis"}


def subject(kind: str, place: Place) -> Subject:
    store = _store(kind, place)

    def make(handler: str) -> App:
        inner = ASGI[handler]

        async def loading(scope: Any, receive: Any, send: Any) -> None:
            await scope["session_handler"].load()
            await inner(scope, receive, send)

        app = inner if handler == "untouched" else loading
        return SessionMiddleware(app, store, lifetime=work.LIFE)

    return Subject(f"starsessions {kind}", f"starsessions, {NAMES[kind]}", make)


def _store(kind: str, place: Place) -> Any:
    if kind == "cookie":
        return CookieStore(work.SECRET)
    if kind == "memory":
        return InMemoryStore()
    from redis.asyncio import Redis
    from starsessions.stores.redis import RedisStore

    return RedisStore(connection=Redis(unix_socket_path=place.server("redis")))
