"""The examples: each runs as it is, in process and over a real server."""

import importlib.util
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import httpx
import pytest
import uvicorn

from tests.asgi_requests import URL, ask

FOLDER = Path(__file__).parent.parent / "examples"

Ask = Callable[..., httpx.Response]
"""Sends a request with the cookies of one visitor: method, path, and what httpx takes."""

RIGHT = {"name": "ada", "password": "analytical engine"}
WRONG = {"name": "ada", "password": "difference engine"}

ID = 42
"""Characters of a cookie's value that come from the id alone, in every storage."""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModuleType]:
    """Import an example anew, with what it wants from its environment."""

    def load(name: str, **environment: str) -> ModuleType:
        monkeypatch.setenv("SESSION_SECRET", "a secret that is long enough for any test")
        monkeypatch.setenv("SESSION_FOLDER", str(tmp_path / "sessions"))
        monkeypatch.delenv("APP_ENV", raising=False)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def app_of(example: ModuleType) -> Any:
    return example.router if hasattr(example, "router") else example.app


@contextmanager
def asgi_in_process(app: Any) -> Iterator[Ask]:
    jar = httpx.Cookies()
    yield lambda method, path, **options: ask(app, method, path, cookies=jar, **options)


@contextmanager
def wsgi_in_process(app: Any) -> Iterator[Ask]:
    """Ask through the standard library's validator, which knows every rule of WSGI."""
    with httpx.Client(transport=httpx.WSGITransport(validator(app)), base_url=URL) as client:
        yield client.request


@contextmanager
def uvicorn_server(app: Any) -> Iterator[Ask]:
    """Serve with uvicorn, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        host, port = listener.getsockname()
        with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
            yield client.request
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class Quiet(WSGIRequestHandler):
    """A server that does not write down what it is asked."""

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def wsgiref_server(app: Any) -> Iterator[Ask]:
    """Serve with the standard library, on a free port."""
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with httpx.Client(base_url=url, trust_env=False) as client:
                yield client.request
        finally:
            server.shutdown()
            thread.join()


WAYS: list[tuple[str, Callable[[Any], AbstractContextManager[Ask]]]] = [
    ("router_app", asgi_in_process),
    ("router_app", uvicorn_server),
    ("starlette_app", asgi_in_process),
    ("starlette_app", uvicorn_server),
    ("wsgi_app", wsgi_in_process),
    ("wsgi_app", wsgiref_server),
]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1].__name__}")
def visitor(request: pytest.FixtureRequest, load: Callable[..., ModuleType]) -> Iterator[Ask]:
    """Somebody in front of an example."""
    name, served = request.param
    with ExitStack() as stack:
        yield stack.enter_context(served(app_of(load(name))))


def test_a_whole_visit(visitor: Ask) -> None:
    """Look, sign in, read the notice once, sign out: the example of the reference, complete."""
    assert "Hello.</p>" in visitor("GET", "/").text
    signed_in = visitor("POST", "/sign-in", data=RIGHT)
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
    assert "HttpOnly; SameSite=Lax" in signed_in.headers["set-cookie"]
    home = visitor("GET", "/").text
    assert "Hello, ada." in home
    assert "Welcome back." in home
    assert "Welcome back." not in visitor("GET", "/").text
    signed_out = visitor("POST", "/sign-out")
    assert (signed_out.status_code, signed_out.headers["location"]) == (303, "/")
    assert "Max-Age=0" in signed_out.headers["set-cookie"]
    assert "Hello.</p>" in visitor("GET", "/").text


@pytest.mark.parametrize("form", [WRONG, {"name": "nobody", "password": ""}, {"name": "ada"}, {}])
@pytest.mark.parametrize("name", ["router_app", "starlette_app", "wsgi_app"])
def test_a_wrong_password_signs_nobody_in(
    load: Callable[..., ModuleType], name: str, form: dict[str, str]
) -> None:
    """The form comes again, and says once what was wrong."""
    served = wsgi_in_process if name == "wsgi_app" else asgi_in_process
    with served(app_of(load(name))) as visitor:
        assert visitor("POST", "/sign-in", data=form).headers["location"] == "/sign-in"
        assert "Name or password is wrong." in visitor("GET", "/sign-in").text
        assert "Name or password is wrong." not in visitor("GET", "/sign-in").text
        assert "Hello.</p>" in visitor("GET", "/").text


@pytest.mark.parametrize("name", ["router_app", "starlette_app", "wsgi_app"])
def test_signing_in_changes_the_id(load: Callable[..., ModuleType], name: str) -> None:
    """The cookie of before, which held a notice, is not the cookie of after."""
    served = wsgi_in_process if name == "wsgi_app" else asgi_in_process
    example = load(name)
    with served(app_of(example)) as visitor:
        before = visitor("POST", "/sign-in", data=WRONG).headers["set-cookie"]
        after = visitor("POST", "/sign-in", data=RIGHT).headers["set-cookie"]
    held = [example.session_cookie.parse(header.split(";")[0]) for header in (before, after)]
    assert held[0][:ID] != held[1][:ID]
    if name != "router_app":  # a cookie storage cannot revoke
        assert example.session_storage.read(held[0]).get("notice") is None


@pytest.mark.parametrize("name", ["router_app", "starlette_app", "wsgi_app"])
def test_in_production_the_cookie_is_secure(load: Callable[..., ModuleType], name: str) -> None:
    """The environment decides, as in the reference."""
    assert load(name, APP_ENV="production").session_cookie.secure
    assert not load(name).session_cookie.secure


def test_a_stranger_is_sent_to_the_sign_in_and_back(load: Callable[..., ModuleType]) -> None:
    """The way back is part of the form."""
    with asgi_in_process(load("router_app").router) as visitor:
        sent = visitor("GET", "/account")
        assert sent.headers["location"] == "/sign-in?next=%2Faccount"
        assert 'value="/account"' in visitor("GET", sent.headers["location"]).text
        back = visitor("POST", "/sign-in", data={**RIGHT, "next": "/account"})
        assert back.headers["location"] == "/account"
        assert "The account of ada." in visitor("GET", "/account").text


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test", '/"><script>'])
def test_nobody_is_sent_to_another_site(load: Callable[..., ModuleType], target: str) -> None:
    """A link with a foreign "next" leads home."""
    with asgi_in_process(load("router_app").router) as visitor:
        assert 'value="/"' in visitor("GET", "/sign-in", params={"next": target}).text
        assert (
            visitor("POST", "/sign-in", data={**RIGHT, "next": target}).headers["location"] == "/"
        )


def test_an_account_that_is_gone_is_signed_out(load: Callable[..., ModuleType]) -> None:
    """The session remembers a user that the application no longer knows."""
    example = load("router_app")
    with asgi_in_process(example.router) as visitor:
        visitor("POST", "/sign-in", data=RIGHT)
        example.USERS.clear()
        assert "Hello.</p>" in visitor("GET", "/").text
        assert visitor("GET", "/account").status_code == 303


@pytest.mark.parametrize("path", ["/missing", "/sign-out"])
def test_what_is_not_there_is_said_to_be_missing(
    load: Callable[..., ModuleType], path: str
) -> None:
    """Also under WSGI, where nobody else says it."""
    with wsgi_in_process(load("wsgi_app").app) as visitor:
        assert visitor("GET", path).status_code == 404
