"""`user_key` under what applications of each framework use: the user stays where they keep it."""

import asyncio
from typing import Any

import flask
import flask_login
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from litestar import Litestar, Request, get
from litestar.testing import TestClient as LitestarClient
from pyramid.config import Configurator
from pyramid.request import Request as PyramidRequest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient as StarletteClient

from coatcheck import Cookie, Session, session
from coatcheck.asgi import SessionMiddleware
from coatcheck.frameworks import aiohttp
from coatcheck.frameworks.flask import SessionInterface
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from tests.hosts import SECRET, environ_of, served

COOKIE = Cookie("session", secrets=[SECRET], secure=False)


def told(session: Session) -> list[Any]:
    """Return what a page tells: the user, the handle, and what the session holds."""
    found = session.signed_in
    return [found.user if found else None, found.handle if found else None, sorted(session)]


# Flask-Login: the user is under "_user_id"


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


@pytest.fixture(params=[MemoryStorage, CookieStorage])
def flask_app(request: pytest.FixtureRequest) -> flask.Flask:
    """An application that signs in and out by Flask-Login alone."""
    storage: SessionStorage = request.param()
    app = flask.Flask(__name__)
    app.secret_key = "a key of the application"
    app.session_interface = SessionInterface(COOKIE, storage, user_key="_user_id")
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        flask_login.login_user(User(user), remember="remember" in flask.request.args)
        return ""

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        flask.flash("Signed out.")
        return ""

    @app.get("/confirm")
    def confirm() -> str:
        flask_login.confirm_login()
        flask.session.confirm()  # type: ignore[attr-defined]
        return ""

    @app.get("/me")
    def me() -> list[Any]:
        user = flask_login.current_user
        found = flask.session.signed_in  # type: ignore[attr-defined]
        fresh = found is not None and found.is_fresh(60)
        return [user.get_id(), *told(flask.session), fresh]  # type: ignore[arg-type]

    @app.get("/cart")
    def cart() -> str:
        flask.session["cart"] = ["coat"]
        return ""

    return app


def me(client: Any) -> list[Any]:
    """Return the users of Flask-Login and of the session, its handle and keys, if it is fresh."""
    told: list[Any] = client.get("/me").json
    return told


def cookie_of(client: Any) -> str:
    held = client.get_cookie("session")
    return held.value if held else ""


def test_flask_login(flask_app: flask.Flask) -> None:
    """A login is a sign-in with a new id, a logout takes the user away and keeps the flash."""
    client = flask_app.test_client()
    client.get("/cart")
    before = cookie_of(client)
    client.get("/login/ada")
    assert cookie_of(client)[:40] != before[:40]
    id, user, handle, keys, fresh = me(client)
    assert (id, user, fresh) == ("ada", "ada", False) and handle
    assert "cart" in keys
    client.get("/confirm")
    assert me(client)[-1] is True
    before = cookie_of(client)
    client.get("/logout")
    assert cookie_of(client)[:40] != before[:40]
    assert me(client) == [None, None, None, ["_flashes", "_fresh", "cart"], False]


def test_flask_login_of_another_user(flask_app: flask.Flask) -> None:
    """Without a logout before: what the former user left is gone, and the new one stays in."""
    client = flask_app.test_client()
    client.get("/login/ada")
    client.get("/cart")
    client.get("/login/bob")
    id, user, _, keys, _ = me(client)
    assert (id, user) == ("bob", "bob")
    assert keys == ["_fresh", "_id", "_user_id"]


def test_flask_logins_remember_cookie_signs_in(flask_app: flask.Flask) -> None:
    """Without the session it makes a sign-in of its own, which is not fresh."""
    client = flask_app.test_client()
    client.get("/login/ada?remember=1")
    handle = me(client)[2]
    client.delete_cookie("session")
    client.get("/me")
    id, user, newer, _, fresh = me(client)
    assert (id, user, fresh) == ("ada", "ada", False) and newer != handle


# The others: a key of the application's own


def check(first: list[Any], second: list[Any], third: list[Any], ids: list[str]) -> None:
    """Check what a page told: after a sign-in, after another one, after a sign-out."""
    assert first[0] == "1" and first[1] and first[2] == ["cart", "user_id"]
    assert second[0] == "2" and second[1] != first[1] and second[2] == ["user_id"]
    assert third == [None, None, ["notice"]]
    assert len(set(ids)) == len(ids) == 4


def changed(session: Any, what: str) -> None:
    """Do what applications do to a dict."""
    if what == "cart":
        session["cart"] = ["coat"]
    elif what == "out":
        session.pop("user_id")
        session["notice"] = "Signed out."
    elif what != "me":
        session["user_id"] = int(what)


STEPS = ("cart", "1", "me", "2", "me", "out", "me")


def test_starlette() -> None:
    """`request.session` is a dict for these applications."""

    def page(request: StarletteRequest) -> Response:
        changed(request.session, request.path_params["what"])
        return JSONResponse(told(request.scope["session"]))

    app = Starlette(routes=[Route("/{what}", page)])
    app.add_middleware(
        SessionMiddleware, cookie=COOKIE, storage=MemoryStorage(), user_key="user_id"
    )
    client, ids, pages = StarletteClient(app), [], []
    for step in STEPS:
        answer = client.get(f"/{step}")
        pages += [answer.json()] if step == "me" else []
        ids += [] if step == "me" else [client.cookies["session"]]
    check(pages[0], pages[1], pages[2], ids)


def test_litestar() -> None:
    """`request.session`, and the session by dependency."""

    @get(["/", *(f"/{step}" for step in set(STEPS))], sync_to_thread=False)
    def page(request: Request[Any, Any, Any]) -> list[Any]:
        changed(request.session, request.url.path[1:])
        return told(request.scope["session"])  # type: ignore[arg-type]

    app = Litestar([page], plugins=[SessionPlugin(COOKIE, MemoryStorage(), user_key="user_id")])
    ids, pages = [], []
    with LitestarClient(app) as client:
        for step in STEPS:
            answer = client.get(f"/{step}")
            pages += [answer.json()] if step == "me" else []
            ids += [] if step == "me" else [client.cookies["session"]]
    check(pages[0], pages[1], pages[2], ids)


def test_aiohttp() -> None:
    """`get_session(request)`."""

    async def page(request: web.Request) -> web.Response:
        changed(aiohttp.get_session(request), request.match_info["what"])
        return web.json_response(told(aiohttp.get_session(request)))

    async def scene() -> None:
        app = web.Application()
        aiohttp.setup(app, COOKIE, MemoryStorage(), user_key="user_id")
        app.router.add_get("/{what}", page)
        ids, pages = [], []
        async with AiohttpClient(TestServer(app)) as client:
            for step in STEPS:
                answer = await client.get(f"/{step}")
                pages += [await answer.json()] if step == "me" else []
                cookies = client.session.cookie_jar.filter_cookies(client.make_url("/"))
                ids += [] if step == "me" else [cookies["session"].value]
        check(pages[0], pages[1], pages[2], ids)

    asyncio.run(scene())


def test_pyramid() -> None:
    """`request.session`, as Pyramid's `ISession`."""

    def page(request: PyramidRequest) -> list[Any]:
        changed(request.session, request.matchdict["what"])
        return told(request.session.own)

    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        config.add_route("page", "/{what}")
        config.add_view(page, route_name="page", renderer="json")
        wrapped = session(COOKIE, MemoryStorage(), user_key="user_id").wsgi(config.make_wsgi_app())
    header, ids, pages = None, [], []
    for step in STEPS:
        answer = served(wrapped, environ_of(header, {"PATH_INFO": f"/{step}"}))
        for line in answer.all("set-cookie"):
            header = line.partition(";")[0]
        pages += [answer.json] if step == "me" else []
        ids += [] if step == "me" else [header or ""]
    check(pages[0], pages[1], pages[2], ids)
