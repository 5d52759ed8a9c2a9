"""What users' tests do with sessions, through every client they ask with."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp.test_utils
import aiohttp.web
import django.test
import flask
import httpx
import litestar
import litestar.testing
import pytest
import quart
import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from coatcheck import BackendError, ConfigurationError, Context, Cookie, Session, session
from coatcheck.frameworks.flask import SessionInterface as FlaskInterface
from coatcheck.frameworks.flask import session as flask_session
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    FileStorage,
    KeyedStorage,
    MemoryStorage,
    RedisStorage,
    SessionStorage,
    SqliteStorage,
)
from coatcheck.testing import Clock, SessionKit
from coatcheck.wsgi import Environ, StartResponse
from tests.applications import Awaited
from tests.hosts import COOKIE

URL = "https://test.local"  # the cookie is Secure
HOUR = 3600


@dataclass
class Visit:
    user: str | None = None
    visits: int = 0


Get = Callable[[str], Any]


def test_the_kit_signs_in(clock: Clock) -> None:
    """With what a sign-in takes; in an application with a `user_key`, under that key, too."""
    storage = MemoryStorage(clock=clock)
    kit, client = SessionKit(COOKIE, storage, user_key="user_id"), dict[str, str]()
    kit.sign_in(client, 42, remember=60, pin="hash", label="a test")
    found = kit.read(client)
    assert found.signed_in and found.signed_in.holds("hash") and found.signed_in.is_fresh(0)
    assert (found.signed_in.user, found.signed_in.label, found["user_id"]) == ("42", "a test", 42)
    kit.sign_in(client, UUID(int=7))
    assert kit.read(client)["user_id"] == str(UUID(int=7))
    SessionKit(COOKIE, storage).sign_in(client, "ada")
    assert "user_id" not in kit.read(client)


def seen(held: Session, path: str) -> dict[str, Any]:
    """Count a visit to /count, sign out at /out, and return what the session held."""
    before = dict(held)
    if path == "/count":
        held.apply("visits", lambda n: n + 1, 0)
    elif path == "/out":
        held.destroy()
    return before


async def page(request: Request) -> Response:
    return JSONResponse(seen(Context(request.scope).get(Session), request.url.path))


def asgi_app(storage: SessionStorage) -> Any:
    return session(COOKIE, storage)(Starlette(routes=[Route("/{path:path}", page)]))


def wsgi_page(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = json.dumps(seen(Context(environ).get(Session), environ["PATH_INFO"])).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


def wsgi_app(storage: SessionStorage) -> Any:
    return session(COOKIE, storage).wsgi(wsgi_page)


@contextmanager
def of_starlette(storage: SessionStorage) -> Iterator[tuple[object, Get]]:
    with TestClient(asgi_app(storage), base_url=URL) as client:
        yield client, lambda path: client.get(path).json()


@contextmanager
def of_httpx(storage: SessionStorage) -> Iterator[tuple[object, Get]]:
    with httpx.Client(transport=httpx.WSGITransport(wsgi_app(storage)), base_url=URL) as client:
        yield client, lambda path: client.get(path).json()


@contextmanager
def of_litestar(storage: SessionStorage) -> Iterator[tuple[object, Get]]:
    @litestar.get("/{path:str}")
    async def handler(request: litestar.Request[Any, Any, Any]) -> dict[str, Any]:
        return seen(Context(request.scope).get(Session), request.url.path)  # type: ignore[arg-type]

    ours: Any = session(COOKIE, storage)
    app = litestar.Litestar([handler], middleware=[ours])
    with litestar.testing.TestClient(app, base_url=URL) as client:
        yield client, lambda path: client.get(path).json()


@contextmanager
def of_flask(storage: SessionStorage) -> Iterator[tuple[object, Get]]:
    app = flask.Flask(__name__)
    app.wsgi_app = session(COOKIE, storage).wsgi(app.wsgi_app)  # type: ignore[method-assign]

    @app.get("/<path>")
    def handler(path: str) -> dict[str, Any]:
        return seen(Context(flask.request.environ).get(Session), f"/{path}")

    with app.test_client() as client:
        yield client, lambda path: client.get(path).json


@contextmanager
def of_flask_s_own(storage: SessionStorage) -> Iterator[tuple[object, Get]]:
    """`flask.session` is the session."""
    app = flask.Flask(__name__)
    app.session_interface = FlaskInterface(COOKIE, storage)

    @app.get("/<path>")
    def handler(path: str) -> dict[str, Any]:
        return seen(flask_session, f"/{path}")

    with app.test_client() as client:
        yield client, lambda path: client.get(path).json


@contextmanager
def of_a_dict(storage: SessionStorage) -> Iterator[tuple[object, Get]]:
    """Whatever client: its cookies are a dict, sent with each request."""
    jar: dict[str, str] = {}
    transport = httpx.WSGITransport(wsgi_app(storage))

    def get(path: str) -> Any:
        with httpx.Client(transport=transport, base_url=URL) as client:
            answer = client.get(path, headers={"cookie": "; ".join(map("=".join, jar.items()))})
            if "set-cookie" in answer.headers:
                jar.clear()
                jar.update(client.cookies)
            return answer.json()

    yield jar, get


CLIENTS = [of_starlette, of_httpx, of_litestar, of_flask, of_flask_s_own, of_a_dict]
each_client = pytest.mark.parametrize("client_of", CLIENTS, ids=lambda c: c.__name__)
each_storage = pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])


@each_client
@each_storage
def test_a_client_is_signed_in_and_out(client_of: Any, make: Callable[[], SessionStorage]) -> None:
    """put makes a session or changes it, read tells what it holds, clear ends it."""
    storage = make()
    kit = SessionKit(COOKIE, storage)
    with client_of(storage) as (client, get):
        kit.put(client, user="ada")
        assert get("/held") == {"user": "ada"}
        get("/count")
        assert kit.read(client) == {"user": "ada", "visits": 1}
        kit.put(client, user="bob")
        assert get("/held") == {"user": "bob", "visits": 1}
        kit.clear(client)
        assert kit.read(client).is_new
        assert get("/held") == {}


@each_client
def test_the_application_and_the_kit_share_one_cookie(client_of: Any) -> None:
    """What the application sets is read and changed, what it removes is gone."""
    storage = MemoryStorage()
    kit = SessionKit(COOKIE, storage)
    with client_of(storage) as (client, get):
        assert kit.read(client).is_new
        get("/count")
        assert kit.read(client) == {"visits": 1}
        with kit.session(client) as held:
            held.regenerate_id()
            held["more"] = True
        assert get("/out") == {"visits": 1, "more": True}
        assert kit.read(client).is_new
        kit.clear(client)
        assert get("/held") == {}


def fail(held: Session) -> None:
    held["user"] = "bob"
    raise LookupError


def test_what_a_block_that_raises_did_is_not_kept() -> None:
    """As with a handler."""
    kit, jar = SessionKit(COOKIE, MemoryStorage()), dict[str, str]()
    with pytest.raises(LookupError), kit.session(jar) as held:
        fail(held)
    assert jar == {}


def test_reading_consumes_no_flash() -> None:
    """A test that looks changes nothing; the application shows the flash afterwards."""
    kit, jar = SessionKit(COOKIE, MemoryStorage()), dict[str, str]()
    with kit.session(jar) as held:
        held.flash("notice", "Saved.")
    assert [kit.read(jar).get("notice") for _ in range(2)] == ["Saved.", "Saved."]


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_session_dies_later(make: Callable[[], SessionStorage]) -> None:
    """Inside `later` time has passed, by the system's clock and by the terms of the application."""
    storage = make()
    kit, jar = SessionKit(COOKIE, storage, idle=HOUR), dict[str, str]()
    kit.put(jar, user="ada")
    with kit.later(HOUR - 1):
        assert not kit.read(jar).is_new
        with kit.later(1):
            assert kit.read(jar).is_new
        assert not kit.read(jar).is_new
    assert not kit.read(jar).is_new


def test_later_goes_for_the_application_too(tmp_path: Any, clock: Clock) -> None:
    """Both forms of a storage are later, and with a clock that the test owns, too."""
    for storage in (SqliteStorage(tmp_path / "db"), FileStorage(tmp_path / "s", clock=clock)):
        kit = SessionKit(COOKIE, storage)
        with of_starlette(storage) as (client, get):
            kit.put(client, user="ada")
            with kit.later(15 * 24 * HOUR):
                assert get("/held") == {}
            assert get("/held") == {"user": "ada"}
        storage.close()


def test_a_storage_without_a_clock_cannot_be_moved() -> None:
    """A storage of two methods keeps its own time."""
    kit = SessionKit(COOKIE, Two())
    with pytest.raises(ConfigurationError, match="got Two without one"), kit.later(1):
        raise AssertionError


class Two:
    """A storage of somebody's own."""

    def __init__(self) -> None:
        self.inner = MemoryStorage()

    def read(self, value: str | None) -> Session:
        return self.inner.read(value)

    def save(self, held: Session) -> str | None:
        return self.inner.save(held)


@each_client
@pytest.mark.parametrize("make", [MemoryStorage, Two])
def test_a_store_that_fails(client_of: Any, make: Callable[[], SessionStorage]) -> None:
    """Inside `failing` requests that need the server fail, and afterwards all is as it was."""
    storage = make()
    kit = SessionKit(COOKIE, storage)
    with client_of(storage) as (client, get):
        kit.put(client, user="ada")
        with kit.failing():
            with pytest.raises(BackendError, match="failed to read"):
                kit.read(client)
            with pytest.raises(BackendError), kit.failing():
                kit.put(client, user="bob")
        assert get("/held") == {"user": "ada"}
        with kit.failing(reads=False):
            assert get("/held") == {"user": "ada"}
            with pytest.raises(BackendError, match="failed to write"):
                kit.put(client, user="bob")
        with kit.failing(writes=False), pytest.raises(BackendError, match="failed to read"):
            kit.read(client)
        assert get("/held") == {"user": "ada"}


def test_an_application_sees_its_store_fail(tmp_path: Any) -> None:
    """Over ASGI and WSGI, with a storage that has two forms."""
    storage = SqliteStorage(tmp_path / "db")
    kit = SessionKit(COOKIE, storage)
    for client_of in (of_starlette, of_httpx):
        with client_of(storage) as (client, get):
            kit.put(client, user="ada")
            with kit.failing(), pytest.raises(BackendError):
                get("/held")
            assert get("/held") == {"user": "ada"}
    storage.close()


def test_sessions_in_the_cookie_need_no_server() -> None:
    """So they do not fail."""
    kit, jar = SessionKit(COOKIE, CookieStorage()), dict[str, str]()
    with kit.failing():
        kit.put(jar, user="ada")
    assert kit.read(jar) == {"user": "ada"}


def test_a_typed_session() -> None:
    """With the application's model, the kit reads and writes through it."""
    kit, jar = SessionKit(COOKIE, MemoryStorage(), data=Visit), dict[str, str]()
    with kit.session(jar) as held:
        held.data = Visit(user="ada", visits=3)
    found: Session[Visit] = kit.read(jar)
    assert found.data == Visit(user="ada", visits=3)
    assert found == {"user": "ada", "visits": 3}


# Clients and storages that are awaited


def test_a_client_of_httpx_that_is_awaited() -> None:
    """put and read work in an asynchronous test, too, if the storage is a plain one."""

    async def scene() -> None:
        storage = MemoryStorage()
        kit = SessionKit(COOKIE, storage)
        transport = httpx.ASGITransport(asgi_app(storage))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            kit.put(client, user="ada")
            assert (await client.get("/count")).json() == {"user": "ada"}
            assert kit.read(client)["visits"] == 1
            async with kit.session(client) as held:
                held["visits"] += 1
            assert (await client.get("/held")).json() == {"user": "ada", "visits": 2}
            kit.clear(client)
            assert (await client.get("/held")).json() == {}

    asyncio.run(scene())


def test_a_client_of_quart() -> None:
    """Its jar is a CookieJar of the standard library, which sends everything."""

    async def scene() -> None:
        storage = MemoryStorage()
        kit = SessionKit(COOKIE, storage)
        app = quart.Quart(__name__)
        app.asgi_app = session(COOKIE, storage)(app.asgi_app)  # type: ignore[assignment, arg-type]

        @app.get("/<path>")
        async def handler(path: str) -> dict[str, Any]:
            return seen(Context(quart.request.scope).get(Session), f"/{path}")  # type: ignore[arg-type]

        client = app.test_client()
        kit.put(client, user="ada")
        await client.get("/count")
        assert kit.read(client) == {"user": "ada", "visits": 1}
        assert await (await client.get("/held")).json == {"user": "ada", "visits": 1}
        kit.clear(client)
        assert await (await client.get("/held")).json == {}

    asyncio.run(scene())


def test_a_client_of_aiohttp() -> None:
    """It sends what its jar has for the server's address, Secure cookies to https alone."""

    async def scene() -> None:
        cookie = Cookie("session", secrets=COOKIE.secrets, secure=False)
        kit = SessionKit(cookie, MemoryStorage())

        async def handler(request: aiohttp.web.Request) -> aiohttp.web.Response:
            return aiohttp.web.Response(text=str(cookie.parse(request.headers.get("cookie"))))

        app = aiohttp.web.Application()
        app.router.add_get("/", handler)
        server = aiohttp.test_utils.TestServer(app)
        async with aiohttp.test_utils.TestClient(server) as client:
            kit.put(client, user="ada")
            assert await (await client.get("/")).text() == kit.read(client).id
            with pytest.raises(ConfigurationError, match="Secure"):
                SessionKit(COOKIE, MemoryStorage()).put(client, user="ada")
            kit.clear(client)
            assert await (await client.get("/")).text() == "None"
            assert not list(client.session.cookie_jar)

    asyncio.run(scene())


def test_a_client_of_django() -> None:
    """Its cookies are morsels in a dict. Of a session of Django's own it has `client.session`."""
    kit, client = SessionKit(COOKIE, MemoryStorage()), django.test.Client()
    kit.put(client, user="ada")
    sent = client._base_environ()["HTTP_COOKIE"]
    assert COOKIE.parse(sent) == kit.read(client).id
    kit.clear(client)
    assert not client.cookies


def test_a_storage_that_is_awaited_in_a_plain_test() -> None:
    """The client's own event loop reads and saves, if it has one."""
    storage = AsyncKeyedStorage(Awaited())
    kit = SessionKit(COOKIE, storage)
    for client_of in (of_starlette, of_litestar):
        with client_of(storage) as (client, get):
            kit.put(client, user="ada")
            assert get("/held") == {"user": "ada"}
            assert kit.read(client) == {"user": "ada"}
    with pytest.raises(ConfigurationError, match=r"async with kit\.session"):
        kit.put({}, user="ada")


def test_a_real_client_that_is_awaited(redis_socket: str) -> None:
    """Redis over asyncio: the kit's connections and the application's are of one loop."""
    client = redis.asyncio.Redis(unix_socket_path=redis_socket)
    storage = RedisStorage(client)
    kit = SessionKit(COOKIE, storage)
    with TestClient(asgi_app(storage), base_url=URL) as browser:
        kit.put(browser, user="ada")
        assert browser.get("/count").json() == {"user": "ada"}
        with kit.failing(), pytest.raises(BackendError):
            browser.get("/held")
        assert kit.read(browser)["visits"] == 1
        assert browser.portal
        browser.portal.call(client.aclose)


def test_a_storage_that_is_awaited_in_an_asynchronous_test() -> None:
    """`async with kit.session(client)`."""

    async def scene() -> None:
        storage = AsyncKeyedStorage(Awaited())
        kit = SessionKit(COOKIE, storage)
        transport = httpx.ASGITransport(asgi_app(storage))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            async with kit.session(client) as held:
                held["user"] = "ada"
            assert (await client.get("/held")).json() == {"user": "ada"}
            with pytest.raises(LookupError):
                async with kit.session(client) as held:
                    fail(held)
            async with kit.session(client) as held:
                assert held == {"user": "ada"}

    asyncio.run(scene())


# What a test may have got wrong


def test_a_secure_cookie_needs_https() -> None:
    """A client that speaks http would keep the cookie and never send it."""
    kit = SessionKit(COOKIE, MemoryStorage())
    client = TestClient(asgi_app(MemoryStorage()))
    with pytest.raises(ConfigurationError, match="https base_url, or the cookie secure=False"):
        kit.put(client, user="ada")


def test_a_client_needs_an_address() -> None:
    """Its own base URL, or one that the kit is told."""
    storage: KeyedStorage = MemoryStorage()
    with httpx.Client(transport=httpx.WSGITransport(wsgi_app(storage))) as client:
        with pytest.raises(ConfigurationError, match="base_url"):
            SessionKit(COOKIE, storage).put(client, user="ada")
        SessionKit(COOKIE, storage, url=URL).put(client, user="ada")
        assert client.get(f"{URL}/held").json() == {"user": "ada"}


def test_what_is_no_client_is_refused() -> None:
    """With what to do instead."""
    with pytest.raises(ConfigurationError, match="got int"):
        SessionKit(COOKIE, MemoryStorage()).read(1)


def test_an_address_of_flask() -> None:
    """Tests that ask another host tell the kit so."""
    storage = MemoryStorage()
    with of_flask(storage) as (client, _):
        SessionKit(COOKIE, storage, url="https://shop.test").put(client, user="ada")
        found: Any = client
        assert found.get("/held", base_url="https://shop.test").json == {"user": "ada"}
        assert found.get("/held").json == {}
