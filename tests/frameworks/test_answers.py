"""An answer that the sessions give in place of the application, in every front end without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from litestar import Litestar, Response
from litestar import WebSocket as LitestarSocket
from litestar import get as litestar_get
from litestar import websocket as litestar_websocket
from litestar.exceptions import WebSocketDisconnect as LitestarDisconnect
from litestar.testing import TestClient as LitestarClient
from pyramid.config import Configurator
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from coatcheck import session
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.shell import Shell
from coatcheck._request.visit import Answer
from coatcheck.frameworks import fastapi
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.storage import MemoryStorage
from tests.frameworks.visits import URL
from tests.hosts import COOKIE

HEADERS = {"Cookie": "some=cookie"}  # without any, there is nothing to read

RAN: list[str] = []


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shell answer each request by itself."""
    answer = Answer(503, (("Retry-After", "5"), ("Content-Type", "text/plain")), b"later")

    async def read(*_: object) -> Answer:
        return answer

    monkeypatch.setattr(AsyncShell, "read", read)
    monkeypatch.setattr(Shell, "read", lambda *_: answer)
    RAN.clear()


def page() -> str:
    RAN.append("page")
    return "page"


@contextmanager
def of_fastapi() -> Iterator[Any]:
    app = FastAPI()
    fastapi.setup(app, COOKIE, MemoryStorage())
    app.get("/page")(page)
    app.exception_handler(Exception)(lambda *_: page())
    yield TestClient(app, base_url=URL)


@litestar_get("/page", sync_to_thread=False)
def litestar_page() -> str:
    return page()


@contextmanager
def of_litestar() -> Iterator[Any]:
    app = Litestar(
        [litestar_page],
        plugins=[SessionPlugin(COOKIE, MemoryStorage())],
        exception_handlers={Exception: lambda *_: Response(page())},
    )
    with LitestarClient(app, base_url="https://testserver.local") as client:
        yield client


@contextmanager
def of_pyramid() -> Iterator[Any]:
    with Configurator() as config:
        config.include("coatcheck.frameworks.pyramid")
        config.add_route("page", "/page")
        config.add_view(lambda _: page(), route_name="page", renderer="json")
        config.add_exception_view(lambda *_: page(), renderer="json")
    app = session(COOKIE, MemoryStorage()).wsgi(config.make_wsgi_app())
    with httpx.Client(transport=httpx.WSGITransport(app), base_url=URL) as client:
        yield client


@pytest.mark.parametrize(
    ("client_of", "path"),
    [
        (of_fastapi, "/page"),
        (of_fastapi, "/nowhere"),
        (of_litestar, "/page"),  # Litestar runs middleware around its handlers alone
        (of_pyramid, "/page"),
        (of_pyramid, "/nowhere"),
    ],
)
def test_an_answer_is_sent_in_place_of_the_applications(
    client_of: Callable[[], Any], path: str
) -> None:
    """No handler runs, no error handler sees it, and no cookie is set."""
    with client_of() as client:
        got = client.get(path, headers=HEADERS)
        assert (got.status_code, got.text, got.headers["Retry-After"]) == (503, "later", "5")
        assert "Set-Cookie" not in got.headers
    assert RAN == []


def test_a_websocket_of_fastapi_is_refused() -> None:
    """Before it is accepted."""
    app = FastAPI()
    fastapi.setup(app, COOKIE, MemoryStorage())

    @app.websocket("/socket")
    async def socket(_: WebSocket) -> None:
        RAN.append("socket")

    with (
        pytest.raises(WebSocketDisconnect) as refused,
        TestClient(app, base_url=URL).websocket_connect("/socket", headers=HEADERS),
    ):
        pytest.fail("accepted")
    assert refused.value.code == 1013
    assert RAN == []


@litestar_websocket("/socket")
async def litestar_socket(socket: LitestarSocket[Any, Any, Any]) -> None:
    RAN.append("socket")
    await socket.close()


def test_a_websocket_of_litestar_is_refused() -> None:
    """Before it is accepted."""
    plugins = [SessionPlugin(COOKIE, MemoryStorage())]
    with (
        LitestarClient(Litestar([litestar_socket], plugins=plugins)) as client,
        pytest.raises(LitestarDisconnect) as refused,
        client.websocket_connect("/socket", headers=HEADERS),
    ):
        pytest.fail("accepted")
    assert refused.value.code == 1013
    assert RAN == []
