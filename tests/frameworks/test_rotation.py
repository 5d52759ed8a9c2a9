"""`rotate=` in every adapter: ids are renewed, and one that comes too often is refused."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import flask
import pytest
import quart
from aiohttp import web
from fastapi import FastAPI

from coatcheck import ConfigurationError, Users, asgi, session
from coatcheck import wsgi as wsgi_of_coatcheck
from coatcheck.frameworks import aiohttp, fastapi
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import Clock
from tests.frameworks.flask.pages import COOKIE as FLASK_COOKIE
from tests.hosts import COOKIE

Ways = dict[str, Callable[[SessionStorage, float], object]]


async def _app(*_: Any) -> None:
    """Answer nothing."""


def _wsgi_app(*_: Any) -> list[bytes]:
    return []


def _fastapi(storage: SessionStorage, rotate: float) -> None:
    app = FastAPI()
    fastapi.setup(app, COOKIE, storage, rotate=rotate)
    app.build_middleware_stack()


WAYS: Ways = {
    "session": lambda storage, rotate: session(COOKIE, storage, rotate=rotate),
    "asgi": lambda storage, rotate: asgi.SessionMiddleware(_app, COOKIE, storage, rotate=rotate),
    "wsgi": lambda storage, rotate: wsgi_of_coatcheck.SessionMiddleware(
        _wsgi_app, COOKIE, storage, rotate=rotate
    ),
    "flask": lambda storage, rotate: SessionInterface(COOKIE, storage, rotate=rotate),
    "quart": lambda storage, rotate: QuartInterface(COOKIE, storage, rotate=rotate),
    "litestar": lambda storage, rotate: SessionPlugin(COOKIE, storage, rotate=rotate),
    "aiohttp": lambda storage, rotate: aiohttp.setup(
        web.Application(), COOKIE, storage, rotate=rotate
    ),
    "fastapi": _fastapi,
}


OPTIONS: dict[str, Callable[..., object]] = {
    "session": session,
    "asgi": partial(asgi.SessionMiddleware, _app),
    "wsgi": partial(wsgi_of_coatcheck.SessionMiddleware, _wsgi_app),
    "flask": SessionInterface,
    "quart": QuartInterface,
    "litestar": SessionPlugin,
    "aiohttp": lambda *given, **options: aiohttp.setup(web.Application(), *given, **options),
    "fastapi": lambda *given, **options: fastapi.setup(FastAPI(), *given, **options),
}


@pytest.mark.parametrize("way", OPTIONS)
def test_every_adapter_takes_the_options_of_sign_ins(way: str) -> None:
    """`users`, `user_key`, `on_event` and `rotate`; and it finds a mistake in them."""
    storage = MemoryStorage()
    cookie = FLASK_COOKIE if way in ("flask", "quart") else COOKIE
    good: dict[str, Any] = {"user_key": "user_id", "on_event": print, "rotate": 300}
    good["users"] = Users(cookie, storage)
    OPTIONS[way](cookie, storage, **good)
    with pytest.raises(ConfigurationError, match="user_key must be"):
        OPTIONS[way](cookie, storage, **{**good, "user_key": ""})
    with pytest.raises(ConfigurationError, match="users must be made with the storage"):
        OPTIONS[way](cookie, MemoryStorage(), **good)


@pytest.mark.parametrize("way", WAYS)
def test_a_rotation_is_an_option_of_every_adapter(way: str) -> None:
    """It is refused where three could not outlast a request, and where no id is looked up."""
    WAYS[way](MemoryStorage(), 300)
    with pytest.raises(ConfigurationError, match="rotate must be at least 300"):
        WAYS[way](MemoryStorage(), 299)
    with pytest.raises(ConfigurationError, match="rotate=300"):
        WAYS[way](CookieStorage(), 300)


def test_flask_renews_ids() -> None:
    """The session goes on, under another cookie; one with the old cookie goes on, too."""
    clock = Clock()
    app = flask.Flask(__name__)
    storage = MemoryStorage(clock=clock)
    app.session_interface = SessionInterface(FLASK_COOKIE, storage, idle=10_000, rotate=3600)

    @app.get("/<word>")
    def add(word: str) -> list[str]:
        flask.session.setdefault("words", []).append(word)
        return list(flask.session["words"])

    client, late = app.test_client(), app.test_client()
    client.get("/one")
    first: Any = client.get_cookie("session")
    late.set_cookie("session", first.value)
    clock.advance(3600)
    assert client.get("/two").json == ["one", "two"]
    second: Any = client.get_cookie("session")
    assert second.value != first.value
    assert late.get("/three").json == ["one", "two", "three"]
    third: Any = late.get_cookie("session")
    assert third.value == second.value


def test_quart_renews_ids() -> None:
    """As Flask does."""
    clock = Clock()
    app = quart.Quart(__name__)
    storage = MemoryStorage(clock=clock)
    interface = QuartInterface(FLASK_COOKIE, storage, idle=10_000, rotate=3600)
    app.session_interface = interface  # type: ignore[assignment] # see quart.md

    @app.get("/<word>")
    async def add(word: str) -> list[str]:
        quart.session.setdefault("words", []).append(word)
        return list(quart.session["words"])

    async def scene() -> None:
        client = app.test_client()
        first = (await client.get("/one")).headers["Set-Cookie"]
        clock.advance(3600)
        answer = await client.get("/two")
        assert await answer.json == ["one", "two"]
        assert answer.headers["Set-Cookie"] != first

    asyncio.run(scene())
