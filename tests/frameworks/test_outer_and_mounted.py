"""What stands outside the session middleware sees the session; what is mounted has its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import Response as LitestarResponse
from litestar import asgi as litestar_asgi
from litestar import get as litestar_get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as DictSessions
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from coatcheck import ConfigurationError, Cookie, session
from coatcheck.asgi import ASGIApp, Receive, Scope, Send, SessionMiddleware
from coatcheck.frameworks.fastapi import setup
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.storage import MemoryStorage
from tests.hosts import COOKIE

URL = "https://testserver.local"  # the cookies are Secure

THEIRS = Middleware(DictSessions, secret_key="a secret of theirs", session_cookie="theirs")
OTHER = Cookie("other", secrets=["another secret that is long enough for a test"])


def count(held: Any) -> int:
    held["n"] = held.get("n", 0) + 1
    return int(held["n"])


async def counting(request: Request) -> Response:
    return JSONResponse(count(request.session))


async def named(request: Request) -> Response:
    request.session["user"] = "ada"
    return JSONResponse(None)


async def boom(_: Request) -> Response:
    raise LookupError


async def sorry(request: Request, _: Exception) -> Response:
    return PlainTextResponse(f"Sorry, {request.session.get('user')}", 500)


class Log:
    """A middleware outside: what it sees of a request that was served."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                self.seen[scope["path"]] = scope


def starlette(log: bool = False) -> Any:
    """Starlette, whose page for status 500 is made outside all middleware."""
    routes = [
        Route("/in", named),
        Route("/boom", boom),
        Route("/count", counting),
        Mount("/gui", Starlette(routes=[Route("/", counting)], middleware=[THEIRS])),
    ]
    app = Starlette(routes=routes, exception_handlers={Exception: sorry})
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=MemoryStorage())
    return Log(app) if log else app


def fastapi(log: bool = False) -> Any:
    app = FastAPI(exception_handlers={Exception: sorry})
    app.add_api_route("/in", named, response_model=None)
    app.add_api_route("/boom", boom, response_model=None)
    app.add_api_route("/count", counting, response_model=None)
    app.mount("/gui", Starlette(routes=[Route("/", counting)], middleware=[THEIRS]))
    setup(app, COOKIE, MemoryStorage())
    return Log(app) if log else app


def litestar(log: bool = False) -> Any:
    gui = Starlette(routes=[Route("/", counting)], middleware=[THEIRS])

    @litestar_asgi("/gui", is_mount=True, copy_scope=False)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await gui({**scope, "path": "/", "root_path": "/gui"}, receive, send)

    @litestar_get("/in")
    async def sign_in(request: LitestarRequest[Any, Any, Any]) -> None:
        request.session["user"] = "ada"

    @litestar_get("/boom")
    async def fails() -> None:
        raise LookupError

    @litestar_get("/count")
    async def counts(request: LitestarRequest[Any, Any, Any]) -> int:
        return count(request.session)

    def page(request: LitestarRequest[Any, Any, Any], _: Exception) -> LitestarResponse[str]:
        return LitestarResponse(f"Sorry, {request.session.get('user')}", status_code=500)

    app = Litestar(
        [mounted, sign_in, fails, counts],
        plugins=[SessionPlugin(COOKIE, MemoryStorage())],
        exception_handlers={Exception: page},
    )
    return Log(app) if log else app  # type: ignore[arg-type] # Litestar has types of ASGI of its own


APPS = [starlette, fastapi, litestar]


def client_of(app: Any) -> TestClient:
    return TestClient(app, base_url=URL, raise_server_exceptions=False)


@pytest.mark.parametrize("make", APPS)
def test_the_page_for_a_failure_reads_the_session(make: Callable[[], Any]) -> None:
    """It greets whoever is signed in, though it is made outside the session's middleware."""
    client = client_of(make())
    client.get("/in")
    answer = client.get("/boom")
    assert (answer.status_code, answer.text) == (500, "Sorry, ada")


@pytest.mark.parametrize("make", APPS)
def test_a_middleware_outside_sees_what_was_served(make: Callable[..., Any]) -> None:
    """The session, and what the router found, are in the scope that the server made."""
    log = make(log=True)
    client = client_of(log)
    client.get("/in")
    scope = log.seen["/in"]
    assert scope["session"] is scope["coatcheck.session"]
    assert scope["session"]["user"] == "ada"
    assert "endpoint" in scope or "route_handler" in scope


@pytest.mark.parametrize("make", APPS)
def test_a_mounted_application_keeps_its_own_sessions(make: Callable[[], Any]) -> None:
    """Starlette's middleware with another cookie; neither loses a change of the other."""
    client = client_of(make())
    for visit in (1, 2, 3):
        assert client.get("/count").json() == visit
        assert client.get("/gui/").json() == visit
    assert set(client.cookies) == {COOKIE.name, "theirs"}


def gui_at_the_root() -> Any:
    """An application below another one, at "/", as NiceGUI is mounted."""
    app = FastAPI()
    app.add_api_route("/count", counting, response_model=None)
    app.mount("/", Starlette(routes=[Route("/gui", counting)], middleware=[THEIRS]))
    return app


def mounted_with_setup() -> Any:
    app = gui_at_the_root()
    setup(app, COOKIE, MemoryStorage())
    return app


def mounted_and_wrapped() -> Any:
    return session(COOKIE, MemoryStorage())(gui_at_the_root())


@pytest.mark.parametrize("make", [mounted_with_setup, mounted_and_wrapped])
def test_an_application_that_is_mounted_at_the_root_keeps_its_own_sessions(
    make: Callable[[], Any],
) -> None:
    """The path tells nothing there."""
    client = client_of(make())
    for visit in (1, 2, 3):
        assert client.get("/count").json() == visit
        assert client.get("/gui").json() == visit


def test_an_application_with_sessions_of_its_own_may_be_wrapped() -> None:
    """It finds its own in `scope["session"]`, and ours in `scope["coatcheck.session"]`."""

    async def both(request: Request) -> Response:
        return JSONResponse([count(request.session), count(request.scope["coatcheck.session"])])

    inner = Starlette(routes=[Route("/", both)], middleware=[THEIRS])
    client = client_of(session(COOKIE, MemoryStorage())(inner))
    assert [client.get("/").json() for _ in range(2)] == [[1, 1], [2, 2]]


@pytest.fixture(params=["mounted", "around"])
def nested(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """Two sessions of ours, with two cookies: one application in another one."""
    inner = Starlette(routes=[Route("/", counting)])
    inner.add_middleware(SessionMiddleware, cookie=OTHER, storage=MemoryStorage())
    ours = session(COOKIE, MemoryStorage())
    if request.param == "mounted":
        routes = [Route("/count", counting), Mount("/inner", inner)]
        yield client_of(ours(Starlette(routes=routes)))
    else:
        outer = Starlette(routes=[Route("/count", counting), Mount("/inner", inner)])
        outer.add_middleware(SessionMiddleware, cookie=COOKIE, storage=MemoryStorage())
        yield client_of(outer)


def test_two_sessions_of_ours_with_two_cookies_work_one_in_the_other(nested: TestClient) -> None:
    """The inner application finds its own, the outer one has its own again afterwards."""
    for visit in (1, 2, 3):
        assert nested.get("/count").json() == visit
        assert nested.get("/inner/").json() == visit
    assert set(nested.cookies) == {COOKIE.name, OTHER.name}


def test_the_outer_session_is_in_its_place_again_and_saved() -> None:
    """A middleware between the two sees the outer one before and after the inner application."""

    class Between(Log):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                before = scope["session"]
                count(before)
                await self.app(scope, receive, send)
                self.seen["same"] = before is scope["session"] is scope["coatcheck.session"]

    inner = session(OTHER, MemoryStorage())(Starlette(routes=[Route("/", counting)]))
    between = Between(inner)
    storage = MemoryStorage()
    client = client_of(session(COOKIE, storage)(between))
    assert [client.get("/").json() for _ in range(2)] == [1, 2]
    assert between.seen["same"]
    assert set(client.cookies) == {COOKIE.name, OTHER.name}


@pytest.mark.parametrize("make", [starlette, fastapi])
def test_two_sessions_with_one_cookie_are_refused(make: Callable[[], Any]) -> None:
    """They would overwrite each other's cookie: the message names it."""
    twice = session(COOKIE, MemoryStorage())(make())
    client = TestClient(twice, base_url=URL)
    with pytest.raises(ConfigurationError, match=COOKIE.name):
        client.get("/count")
