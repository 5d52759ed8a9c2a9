"""Starlette: Server-Sent Events; `tests/test_frameworks.py` has the rest."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import MemoryStorage
from tests.hosts import COOKIE


async def begin(request: Request) -> Response:
    request.session["begun"] = True
    return JSONResponse(None)


async def held(request: Request) -> Response:
    return JSONResponse(dict(request.session))


async def events(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        yield "data: one\n\n"
        request.session["last"] = "two"
        yield "data: two\n\n"

    return StreamingResponse(parts(), media_type="text/event-stream")


def test_what_a_stream_of_events_changes_is_saved() -> None:
    """The headers left before the first event; a storage on the server takes the change."""
    app = Starlette(routes=[Route("/begin", begin), Route("/held", held), Route("/events", events)])
    app.add_middleware(SessionMiddleware, cookie=COOKIE, storage=MemoryStorage())
    with TestClient(app, base_url="https://testserver") as client:
        client.get("/begin")
        with client.stream("GET", "/events") as answer:
            assert list(answer.iter_lines()) == ["data: one", "", "data: two", ""]
        assert client.get("/held").json() == {"begun": True, "last": "two"}
