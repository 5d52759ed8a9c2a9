"""
The applications that real servers serve: bare, with Starlette's sessions, and with ours.

    /fill  fills the session      /  reads one key (W2)      /write  sets one, too (W3)
"""

import os
from collections.abc import Callable
from itertools import count
from typing import Any

from benchmarks import subjects, work
from benchmarks.subjects import ASGI

PATHS = {"/": "read", "/write": "write", "/fill": "fill", "/show": "show"}


clients = count(1)


async def routed(scope: Any, receive: Any, send: Any) -> None:
    """Serve each path with its handler; each that fills is another client."""
    if scope["type"] == "http":
        if scope["path"] == "/fill":
            work.filling.update(work.data_of(next(clients)))
        await ASGI[PATHS[scope["path"]]](scope, receive, send)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Serve every path alike, without a session."""
    if scope["type"] == "http":
        await subjects.untouched(scope, receive, send)


def _sessions(storage: Any, *, encrypt: bool = False) -> Any:
    from coatcheck import Cookie, session

    cookie = Cookie("session", secrets=[work.SECRET], max_age=work.LIFE, encrypt=encrypt)
    return session(cookie, storage)(routed)


def _starlette() -> Any:
    from starlette.middleware.sessions import SessionMiddleware

    return SessionMiddleware(routed, work.SECRET, max_age=work.LIFE, https_only=True)


def _cookie(*, encrypt: bool = False) -> Any:
    from coatcheck.storage import CookieStorage

    return _sessions(CookieStorage(), encrypt=encrypt)


def _memory() -> Any:
    from coatcheck.storage import MemoryStorage

    return _sessions(MemoryStorage())


def _redis() -> Any:
    from redis.asyncio import Redis

    from coatcheck.storage import RedisStorage

    return _sessions(RedisStorage(Redis(unix_socket_path=os.environ["BENCHMARK_REDIS"])))


MADE: dict[str, Callable[[], Any]] = {
    "bare": lambda: bare,
    "starlette": _starlette,
    "cookie": _cookie,
    "encrypted": lambda: _cookie(encrypt=True),
    "memory": _memory,
    "redis": _redis,
}

NAMES = {
    "bare": "no sessions",
    "starlette": "Starlette SessionMiddleware",
    "cookie": "coatcheck, signed cookie",
    "encrypted": "coatcheck, encrypted cookie",
    "memory": "coatcheck, memory",
    "redis": "coatcheck, Redis",
}


def app() -> Any:
    """Return the application that the environment names: for `--factory`."""
    return MADE[os.environ["BENCHMARK_APP"]]()
