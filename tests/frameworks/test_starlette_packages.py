"""Packages on top of Starlette: Authlib's OAuth client, and sqladmin."""

from collections.abc import Iterator
from typing import Any

import pytest
from authlib.integrations.base_client import MismatchingStateError
from authlib.integrations.starlette_client import OAuth
from sqladmin import Admin, ModelView
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import CookieStorage, MemoryStorage
from tests.frameworks.oauth_provider import CLIENT_ID, CLIENT_SECRET, Provider, serving
from tests.hosts import COOKIE

URL = "https://testserver"  # the cookie is Secure


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving() as provider:
        yield provider


def signing_in_at(provider: Provider, storage: Any) -> Starlette:
    """Return an application whose users sign in at *provider*, as Authlib's documentation does."""
    oauth = OAuth()
    oauth.register(
        "local",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        server_metadata_url=provider.metadata_url,
        client_kwargs={"scope": "openid", "code_challenge_method": "S256"},
    )

    async def sign_in(request: Request) -> Any:
        return await oauth.local.authorize_redirect(request, request.url_for("back"))

    async def back(request: Request) -> Response:
        token = await oauth.local.authorize_access_token(request)
        request.session["user"] = token["userinfo"]["name"]
        request.session.regenerate_id()  # type: ignore[attr-defined]
        return RedirectResponse("/held", status_code=303)

    async def held(request: Request) -> Response:
        return JSONResponse(dict(request.session))

    routes = [Route("/sign-in", sign_in), Route("/back", back, name="back"), Route("/held", held)]
    app = Starlette(routes=routes)
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=storage)
    return app


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_authlib_signs_in_at_a_provider(provider: Provider, make: Any) -> None:
    """The state, the nonce and the PKCE verifier wait in the session, and are gone after."""
    app = signing_in_at(provider, make())
    with TestClient(app, base_url=URL, follow_redirects=False) as client:
        asked = client.get("/sign-in").headers["location"]
        assert [key for key in client.get("/held").json() if key.startswith("_state_local_")]
        answer = client.get(provider.approve(asked))
        assert answer.headers["location"] == "/held"
        assert client.get("/held").json() == {"user": "Ada Lovelace"}


def test_authlib_refuses_the_answer_to_another_visitor(provider: Provider) -> None:
    """A code that somebody else got does not sign a visitor in: the session has no such state."""
    app = signing_in_at(provider, MemoryStorage())
    with TestClient(app, base_url=URL, follow_redirects=False) as client:
        back = provider.approve(client.get("/sign-in").headers["location"])
    with (
        TestClient(app, base_url=URL, follow_redirects=False) as other,
        pytest.raises(MismatchingStateError),
    ):
        other.get(back)


class Base(DeclarativeBase):
    pass


class Coat(Base):
    __tablename__ = "coats"
    id: Mapped[int] = mapped_column(primary_key=True)
    colour: Mapped[str]


class CoatAdmin(ModelView, model=Coat):
    column_list = (Coat.id, Coat.colour)


class Door(AuthenticationBackend):
    """sqladmin's own example, but for its session middleware: the application has one already."""

    def __init__(self) -> None:
        self.middlewares = []

    async def login(self, request: Request) -> bool:
        form = await request.form()
        if form["password"] != "right":
            return False
        request.session["user_id"] = str(form["username"])
        request.session.regenerate_id()  # type: ignore[attr-defined]
        return True

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return "user_id" in request.session


def test_sqladmin_signs_in_by_its_page() -> None:
    """Strangers are sent there; a wrong password is refused; signing out takes the cookie."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    Base.metadata.create_all(engine)
    app = Starlette()
    Admin(app, engine, authentication_backend=Door()).add_view(CoatAdmin)
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=MemoryStorage())
    with TestClient(app, base_url=URL) as client:
        assert client.get("/admin/coat/list").url.path == "/admin/login"
        page = {"username": "ada", "password": "wrong"}
        assert client.post("/admin/login", data=page).status_code == 400
        assert client.post("/admin/login", data={**page, "password": "right"}).status_code == 200
        first = client.cookies[COOKIE.name]
        assert client.post("/admin/coat/create", data={"colour": "red"}).status_code == 200
        assert "red" in client.get("/admin/coat/list").text
        assert client.cookies[COOKIE.name] == first
        client.get("/admin/logout")
        assert not client.cookies
        assert client.get("/admin/coat/list").url.path == "/admin/login"
    engine.dispose()
