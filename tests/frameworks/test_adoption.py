"""`adopts=` in every adapter: an old cookie is adopted, and its messages are where they belong."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import flask
import pytest
import quart
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient as FastapiClient
from litestar import Litestar, get
from litestar.connection import Request as LitestarRequest
from litestar.testing import TestClient as LitestarClient

from coatcheck import Cookie, adopt
from coatcheck.frameworks import aiohttp, fastapi
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.quart import SessionInterface as QuartInterface
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.adopt.formats import VECTORS
from tests.adopt.signed import reader, starlette
from tests.hosts import SECRET

COOKIE = Cookie("__session", secrets=[SECRET], secure=False)

Answer = tuple[object, list[str]]
"""The user that the page told, and the Set-Cookie lines."""


def _flask(old: str) -> Answer:
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, MemoryStorage(), adopts=[reader()])
    app.add_url_rule("/", view_func=lambda: {"user": flask.session["user"]})
    answer = app.test_client(use_cookies=False).get("/", headers={"Cookie": old})
    return answer.get_json()["user"], answer.headers.getlist("Set-Cookie")


def _quart(old: str) -> Answer:
    app = quart.Quart(__name__)
    interface: Any = QuartInterface(COOKIE, MemoryStorage(), adopts=[reader()])
    app.session_interface = interface

    async def home() -> dict[str, Any]:
        return {"user": quart.session["user"]}

    app.add_url_rule("/", view_func=home)

    async def asked() -> Answer:
        answer = await app.test_client(use_cookies=False).get("/", headers={"Cookie": old})
        return (await answer.json)["user"], answer.headers.getlist("Set-Cookie")

    return asyncio.run(asked())


def _fastapi(old: str) -> Answer:
    app = FastAPI()
    fastapi.setup(app, COOKIE, MemoryStorage(), adopts=[reader()])

    def home(request: Request) -> dict[str, Any]:
        return {"user": request.session["user"]}

    app.get("/")(home)
    answer = FastapiClient(app).get("/", headers={"Cookie": old})
    return answer.json()["user"], answer.headers.get_list("set-cookie")


def _litestar(old: str) -> Answer:
    @get("/", sync_to_thread=False)
    def home(request: LitestarRequest[Any, Any, Any]) -> dict[str, Any]:
        return {"user": request.session["user"]}

    plugin = SessionPlugin(COOKIE, MemoryStorage(), adopts=[reader()])
    with LitestarClient(Litestar([home], plugins=[plugin])) as client:
        answer = client.get("/", headers={"Cookie": old})
    return answer.json()["user"], answer.headers.get_list("set-cookie")


def _aiohttp(old: str) -> Answer:
    app = web.Application()
    aiohttp.setup(app, COOKIE, MemoryStorage(), adopts=[reader()])

    async def home(request: web.Request) -> web.Response:
        return web.json_response({"user": aiohttp.get_session(request)["user"]})

    app.router.add_get("/", home)

    async def asked() -> Answer:
        async with TestClient(TestServer(app)) as client:
            answer = await client.get("/", headers={"Cookie": old})
            return (await answer.json())["user"], answer.headers.getall("Set-Cookie")

    return asyncio.run(asked())


ADAPTERS: list[Callable[[str], Answer]] = [_flask, _quart, _fastapi, _litestar, _aiohttp]


@pytest.mark.parametrize("ask", ADAPTERS, ids=lambda ask: ask.__name__)
def test_every_adapter_adopts(ask: Callable[[str], Answer]) -> None:
    """The page shows the user; the answer sets our cookie and removes the old one."""
    user, lines = ask(starlette(time.time(), user=42))
    assert user == 42
    assert sorted(line.partition("=")[0] for line in lines) == ["__session", "old"]
    assert any(line.startswith("old=; Max-Age=0") for line in lines)


def test_flask_shows_the_messages_that_wait() -> None:
    """They stay where `get_flashed_messages()` looks, and are shown once."""
    vector = VECTORS["flask/flashes_permanent"]
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(
        COOKIE,
        MemoryStorage(clock=Clock(vector["now"])),
        adopts=[adopt.Flask(secrets=vector["secrets"])],
    )
    app.add_url_rule("/", view_func=lambda: flask.jsonify(flask.get_flashed_messages()))
    client = app.test_client()
    client.set_cookie("session", vector["cookies"]["session"])
    assert [client.get("/").json, client.get("/").json] == [["hi"], []]
