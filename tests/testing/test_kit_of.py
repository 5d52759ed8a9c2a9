"""A kit of an application takes the cookie, the storage and every option by itself."""

from collections.abc import Callable
from typing import Any

import flask
import pytest
import quart
from aiohttp import web
from fastapi import FastAPI
from litestar import Litestar
from starlette.applications import Starlette
from starlette.middleware import Middleware

from coatcheck import ConfigurationError, session
from coatcheck.asgi import SessionMiddleware
from coatcheck.frameworks.aiohttp import setup as aiohttp_setup
from coatcheck.frameworks.fastapi import setup
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.router import Router
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock, SessionKit
from coatcheck.wsgi import SessionMiddleware as WsgiMiddleware
from tests.hosts import COOKIE

IDLE = 60


def starlette(storage: KeyedStorage) -> object:
    middleware = Middleware(SessionMiddleware, cookie=COOKIE, storage=storage, idle=IDLE)
    return Starlette(middleware=[middleware])


def added(storage: KeyedStorage) -> object:
    app = FastAPI()
    app.add_middleware(session(COOKIE, storage, idle=IDLE))
    return app


def fastapi(storage: KeyedStorage) -> object:
    app = FastAPI()
    setup(app, COOKIE, storage, idle=IDLE)
    app.add_middleware(lambda app: app)
    return app


def in_flask(storage: KeyedStorage) -> object:
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, storage, idle=IDLE)
    return app


def in_quart(storage: KeyedStorage) -> object:
    app: Any = quart.Quart(__name__)
    app.session_interface = QuartInterface(COOKIE, storage, idle=IDLE)
    return app


def in_aiohttp(storage: KeyedStorage) -> object:
    app = web.Application()
    aiohttp_setup(app, COOKIE, storage, idle=IDLE)
    return app


def in_litestar(storage: KeyedStorage) -> object:
    return Litestar(plugins=[SessionPlugin(COOKIE, storage, idle=IDLE)])


def in_litestars_list(storage: KeyedStorage) -> object:
    sessions: Any = session(COOKIE, storage, idle=IDLE)
    return Litestar(middleware=[sessions])


def in_the_router(storage: KeyedStorage) -> object:
    return Router(middleware=[session(COOKIE, storage, idle=IDLE)])


def around_flask(storage: KeyedStorage) -> object:
    app: Any = flask.Flask(__name__)
    app.wsgi_app = session(COOKIE, storage, idle=IDLE).wsgi(app.wsgi_app)
    return app


def around_quart(storage: KeyedStorage) -> object:
    app: Any = quart.Quart(__name__)
    app.asgi_app = session(COOKIE, storage, idle=IDLE)(app.asgi_app)
    return app


@pytest.mark.parametrize(
    "make",
    [
        lambda storage: session(COOKIE, storage, idle=IDLE),
        lambda storage: session(COOKIE, storage, idle=IDLE)(Starlette()),
        lambda storage: session(COOKIE, storage, idle=IDLE).wsgi(flask.Flask("a").wsgi_app),
        lambda storage: WsgiMiddleware(flask.Flask("a").wsgi_app, COOKIE, storage, idle=IDLE),
        lambda storage: SessionInterface(COOKIE, storage, idle=IDLE),
        starlette,
        added,
        fastapi,
        in_flask,
        in_quart,
        in_aiohttp,
        in_litestar,
        in_litestars_list,
        in_the_router,
        around_flask,
        around_quart,
        lambda storage: SessionPlugin(COOKIE, storage, idle=IDLE),
    ],
)
def test_a_kit_has_the_options_of_the_application(
    make: Callable[[KeyedStorage], object], clock: Clock
) -> None:
    """So a session of the kit lives as long as one of the application."""
    kit = SessionKit.of(make(MemoryStorage(clock=clock)), url="https://test.local")
    jar: dict[str, str] = {}
    kit.put(jar, user="ada")
    assert kit.read(jar) == {"user": "ada"}
    clock.advance(IDLE)
    assert kit.read(jar).is_new


@pytest.mark.parametrize(
    "app",
    [
        object(),
        flask.Flask("a"),
        web.Application(),
        Litestar(),
        FastAPI(),
        Starlette(middleware=[Middleware(lambda app: app)]),
    ],
)
def test_an_application_without_sessions_is_refused(app: object) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError, match=r"write SessionKit\(cookie, storage\)"):
        SessionKit.of(app)
