"""Pages for signed-in users, and for those whose password was asked a short time ago."""

import asyncio
from typing import Annotated, Any

import flask
import pytest
import quart
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from fastapi import Depends, FastAPI, WebSocket
from litestar import Litestar, get
from litestar.testing import TestClient as LitestarClient
from quart.testing.connections import WebsocketResponseError
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from coatcheck import ConfigurationError, Cookie, SignIn
from coatcheck.frameworks import fastapi
from coatcheck.frameworks import flask as flask_sessions
from coatcheck.frameworks import quart as quart_sessions
from coatcheck.frameworks.django_decorators import require_auth, require_fresh
from coatcheck.frameworks.fastapi import CurrentUser, RequireFresh
from coatcheck.frameworks.litestar import (
    SessionDep,
    SessionPlugin,
    requires_fresh,
    requires_sign_in,
)
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock, SessionKit
from tests.frameworks.django_site import engine
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False)
STALE = 'Session error="insufficient_user_authentication", max_age="300"'

Fresh = Annotated[SignIn, Depends(RequireFresh(300))]
Asked = Annotated[SignIn, Depends(RequireFresh(300, confirm="/confirm", sign_in="/sign-in"))]


def test_fastapi(clock: Clock) -> None:
    """`CurrentUser` and `RequireFresh`, for HTTP and WebSockets."""
    app, storage = FastAPI(), MemoryStorage(clock=clock)
    fastapi.setup(app, COOKIE, storage)

    @app.get("/me")
    def me(user: CurrentUser) -> str:
        return user.user

    @app.get("/safe")
    async def safe(user: Fresh) -> str:
        return user.user

    @app.get("/asked")
    async def asked(user: Asked) -> str:
        return user.user

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, user: Fresh) -> None:
        await websocket.accept()
        await websocket.send_text(user.user)

    kit = SessionKit(COOKIE, storage)
    client = TestClient(app, follow_redirects=False)
    for path, challenge in (("/me", "Session"), ("/safe", "Session")):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)
    assert client.get("/asked?a=1").headers["location"] == "/sign-in?next=/asked%3Fa%3D1"
    kit.sign_in(client, "ada")
    assert client.get("/me").json() == client.get("/safe").json() == "ada"
    with client.websocket_connect("/socket") as open_socket:
        assert open_socket.receive_text() == "ada"
    clock.advance(301)
    answer = client.get("/safe")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, STALE)
    assert client.get("/asked").headers["location"] == "/confirm?next=/asked"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket"):
        pass
    assert client.get("/me").json() == "ada"
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/me"]["get"]["security"] == [{"session": []}]


def test_litestar(clock: Clock) -> None:
    """Guards: `requires_sign_in` and `requires_fresh`."""

    @get("/me", guards=[requires_sign_in], sync_to_thread=False)
    def me(session: SessionDep) -> str:
        return session.signed_in.user if session.signed_in else ""

    @get("/safe", guards=[requires_fresh(300)], sync_to_thread=False)
    def safe(session: SessionDep) -> str:
        return session.signed_in.user if session.signed_in else ""

    storage = MemoryStorage(clock=clock)
    kit = SessionKit(COOKIE, storage)
    with LitestarClient(Litestar([me, safe], plugins=[SessionPlugin(COOKIE, storage)])) as client:
        assert client.get("/me").status_code == client.get("/safe").status_code == 401
        kit.sign_in(client, 42)
        assert client.get("/me").text == client.get("/safe").text == "42"
        clock.advance(301)
        answer = client.get("/safe")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, STALE)
        assert client.get("/me").status_code == 200


def test_flask(clock: Clock) -> None:
    """Decorators, of plain and of `async def` views."""
    app, storage = flask.Flask(__name__), MemoryStorage(clock=clock)
    app.session_interface = flask_sessions.SessionInterface(COOKIE, storage)

    @app.get("/me")
    @flask_sessions.require_auth()
    def me() -> str:
        return flask_sessions.session.signed_in.user  # type: ignore[union-attr]

    @app.get("/safe")
    @flask_sessions.require_fresh(300)
    def safe() -> str:
        return "safe"

    @app.get("/asked")
    @flask_sessions.require_fresh(300, on_stale=lambda: flask.redirect("/confirm"))
    async def asked() -> str:
        return "asked"

    client, kit = app.test_client(), SessionKit(COOKIE, storage)
    answer = client.get("/me")
    assert (answer.status_code, answer.headers["www-authenticate"].strip()) == (401, "Session")
    kit.sign_in(client, "ada", label="a test")
    assert client.get("/me").text == "ada"
    assert client.get("/safe").text == "safe"
    assert client.get("/asked").text == "asked"
    clock.advance(301)
    answer = client.get("/safe")
    assert answer.status_code == 401
    assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
    assert client.get("/asked").location == "/confirm"


def quart_site(storage: KeyedStorage) -> quart.Quart:
    """A site of Quart whose views ask for a user, or for a fresh one."""
    app = quart.Quart(__name__)
    app.session_interface = quart_sessions.SessionInterface(COOKIE, storage)  # type: ignore[assignment]

    @app.get("/me")
    @quart_sessions.require_auth()
    async def me() -> str:
        return quart_sessions.session.signed_in.user  # type: ignore[union-attr]

    @app.get("/safe")
    @quart_sessions.require_fresh(300)
    def safe() -> str:
        return "safe"

    async def asks() -> Any:
        return quart.redirect("/confirm")

    @app.get("/asked")
    @quart_sessions.require_fresh(300, on_stale=asks)
    async def asked() -> str:
        return "asked"

    @app.get("/in")
    @quart_sessions.require_auth(lambda: quart.redirect("/sign-in"))
    async def inside() -> str:
        return "in"

    @app.websocket("/socket")
    @quart_sessions.require_auth()
    async def socket() -> None:
        await quart.websocket.send("hello")

    return app


def test_quart(clock: Clock) -> None:
    """Decorators, of `async def` and of plain views, and of WebSockets."""
    storage = MemoryStorage(clock=clock)
    kit = SessionKit(COOKIE, storage)

    async def scene() -> None:
        client = quart_site(storage).test_client()

        async def told(path: str) -> tuple[int, str]:
            answer = await client.get(path)
            header = answer.headers.get("www-authenticate") or answer.headers.get("location")
            return answer.status_code, (header or await answer.get_data(as_text=True)).strip()

        assert await told("/me") == (401, "Session")
        assert await told("/in") == (302, "/sign-in")
        with pytest.raises(WebsocketResponseError) as refused:
            async with client.websocket("/socket") as socket:
                await socket.receive()
        assert refused.value.response.status_code == 401
        kit.sign_in(client, "ada")
        assert [await told(path) for path in ("/me", "/safe", "/asked", "/in")] == [
            (200, "ada"),
            (200, "safe"),
            (200, "asked"),
            (200, "in"),
        ]
        async with client.websocket("/socket") as socket:
            assert await socket.receive() == "hello"
        clock.advance(301)
        status, challenge = await told("/safe")
        assert status == 401 and "insufficient_user_authentication" in challenge
        assert await told("/asked") == (302, "/confirm")

    asyncio.run(scene())


def test_quart_with_another_interface() -> None:
    """The message names the interface."""

    async def view() -> str:
        return ""

    async def scene() -> None:
        app = quart.Quart(__name__)
        async with app.test_request_context("/"):
            with pytest.raises(ConfigurationError, match="SessionInterface"):
                await quart_sessions.require_auth()(view)()

    asyncio.run(scene())


@require_auth(lambda _: HttpResponse("sign in"))
def django_me(request: Any) -> HttpResponse:
    return HttpResponse(request.session.signed_in.user)


@require_fresh(300)
def django_safe(_: Any) -> HttpResponse:
    return HttpResponse("safe")


@require_fresh(300)
async def django_awaited(_: Any) -> HttpResponse:
    return HttpResponse("safe")


async def _confirm(_: Any) -> HttpResponse:
    return HttpResponse("confirm")


@require_fresh(300, on_stale=_confirm)
async def django_asked(_: Any) -> HttpResponse:
    return HttpResponse("asked")


@pytest.fixture
def django_request(clock: Clock) -> Any:
    """A request to a Django site with `user_key`, and a session in which ada signed in."""
    request = RequestFactory().get("/")
    settings = {
        "COATCHECK_STORAGE": MemoryStorage(clock=clock),
        "COATCHECK_OPTIONS": {"user_key": "_auth_user_id"},
    }
    with override_settings(**settings):
        request.session = engine().SessionStore()
        request.session["_auth_user_id"] = "ada"
        yield request


def test_django(django_request: Any, clock: Clock) -> None:
    """Decorators; a login alone is not fresh, because a cookie may have made it."""
    request = django_request
    assert django_me(request).content == b"ada"
    answer = django_safe(request)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, STALE)
    request.session.confirm()
    assert django_safe(request).content == b"safe"
    request.session.save()
    clock.advance(301)
    assert django_safe(request).status_code == 401
    request.session.flush()
    assert django_me(request).content == b"sign in"


def test_django_with_async_views(django_request: Any) -> None:
    """The same decorators."""

    async def scene() -> None:
        request = django_request
        assert (await django_awaited(request)).status_code == 401
        assert (await django_asked(request)).content == b"confirm"
        await request.session.aconfirm()
        assert (await django_awaited(request)).content == b"safe"
        assert (await django_asked(request)).content == b"asked"

    asyncio.run(scene())


def test_django_with_another_engine() -> None:
    """The message names the setting."""
    request = RequestFactory().get("/")
    request.session = {}
    with pytest.raises(ConfigurationError, match="set SESSION_ENGINE"):
        django_me(request)
