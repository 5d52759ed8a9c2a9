"""
Ours, Starlette's and the floor: over one bare ASGI application, which is called directly.

A subject makes its application for each handler of `work`. Peers are in `peers`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import work
from benchmarks.drivers import App, Asgi, Driver

Make = Callable[[str], App]
"""Makes the application whose handler does this: one of `work.HANDLERS`."""


@dataclass(frozen=True)
class Bare:
    """An application without sessions, of one framework; what is added to it is what counts."""

    key: str
    driver: Driver
    make: Callable[[], App]


START = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"2")]
BODY = {"type": "http.response.body", "body": b"ok"}


async def answer(send: Any) -> None:
    """Send the response of every handler that is timed."""
    await send({"type": "http.response.start", "status": 200, "headers": list(START)})
    await send(BODY)


async def untouched(_scope: Any, _receive: Any, send: Any) -> None:
    await answer(send)


async def read(scope: Any, _receive: Any, send: Any) -> None:
    scope["session"].get("user_id")
    await answer(send)


async def write(scope: Any, _receive: Any, send: Any) -> None:
    session = scope["session"]
    session.get("user_id")
    session["n"] = next(work.numbers)
    await answer(send)


async def fill(scope: Any, _receive: Any, send: Any) -> None:
    session = scope["session"]
    for key, value in work.filling.items():
        session[key] = value
    await answer(send)


async def show(scope: Any, _receive: Any, send: Any) -> None:
    shown = json.dumps(dict(scope["session"])).encode()
    headers = [(b"content-length", b"%d" % len(shown))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": shown})


ASGI = {"untouched": untouched, "read": read, "write": write, "fill": fill, "show": show}
"""Each handler, as an ASGI application that expects `scope["session"]`."""


BARE = Bare("asgi", Asgi(), lambda: untouched)


@dataclass(frozen=True)
class Subject:
    """
    Something that gives applications sessions.

    Args:
        key: What `--only` calls it.
        name: What the table calls it.
        make: Makes its applications.
        bare: What it stands on.
        ours: Whether it is coatcheck.
        works: What it is measured with.
        many: Whether it is measured with many requests in flight, too.
    """

    key: str
    name: str
    make: Make
    bare: Bare = BARE
    ours: bool = False
    works: tuple[str, ...] = tuple(work.WORKS)
    many: bool = False

    @property
    def driver(self) -> Driver:
        return self.bare.driver


def starlette() -> Subject:
    """Return what all ratios are to: Starlette's own sessions, as they come."""
    from starlette.middleware.sessions import SessionMiddleware

    return Subject(
        "starlette",
        "Starlette SessionMiddleware",
        lambda handler: SessionMiddleware(
            ASGI[handler], work.SECRET, max_age=work.LIFE, https_only=True
        ),
    )


def ours(key: str, name: str, storage: Any, *, encrypt: bool = False) -> tuple[Subject, Any]:
    """Return coatcheck with a storage, as it comes; and its cookie."""
    from coatcheck import Cookie, session

    cookie = Cookie("session", secrets=[work.SECRET], max_age=work.LIFE, encrypt=encrypt)
    sessions = session(cookie, storage)
    subject = Subject(
        key,
        f"coatcheck, {name}",
        lambda handler: sessions(ASGI[handler]),
        ours=True,
        many=key == "redis",
    )
    return subject, cookie
