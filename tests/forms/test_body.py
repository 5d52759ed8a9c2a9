"""The body: where it is kept, and how a framework behind reads it again."""

import asyncio
from contextlib import closing

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from coatcheck.forms import Limits, UploadFile, form_data
from coatcheck.forms.body import IN_MEMORY, Body
from tests.asgi_requests import Exchange, ask
from tests.forms.posts import MULTIPART, URLENCODED, in_pieces, multipart, post, upload


def test_uploads_and_bodies_beyond_64_kib_lie_on_disk() -> None:
    """Memory is bounded by the fields, not by the files."""
    held: list[bool] = []

    def note(given: UploadFile) -> str:
        held.append(given._in_memory)
        return ""

    form = multipart(upload("a", b"x" * IN_MEMORY), upload("b", b"x" * (IN_MEMORY + 1)))
    post(in_pieces(form, 10_000), upload_handler=note)
    body = Body(Exchange(in_pieces(form, 10_000)).receive, Limits())
    asyncio.run(body.rewind())
    assert [*held, body._kept._in_memory] == [True, False, False]
    body.close()


def test_a_body_streams_as_starlettes_own_does() -> None:
    """The one empty chunk is the last: some versions of Starlette's parsers end there."""

    async def chunks() -> list[bytes]:
        body = Body(Exchange([b"", b"a=", b"", b"1", b""]).receive, Limits())
        with closing(body):
            return [chunk async for chunk in body.stream()]

    assert asyncio.run(chunks()) == [b"a=", b"1", b""]


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
def test_a_framework_behind_can_read_the_body(size: int) -> None:
    """It arrives byte for byte, however large, and its own form parser finds the same."""
    body = multipart(upload("a", b"x" * size))

    async def whole(request: Request) -> Response:
        return Response(await request.body())

    async def parsed(request: Request) -> Response:
        async with request.form() as form:
            file = form["a"]
            assert isinstance(file, UploadFile)
            return PlainTextResponse(str(file.size))

    routes = [Route("/body", whole, methods=["POST"]), Route("/form", parsed, methods=["POST"])]
    app = form_data()(Starlette(routes=routes))
    assert ask(app, "POST", "/body", content=body, headers=MULTIPART).content == body
    assert ask(app, "POST", "/form", content=body, headers=MULTIPART).text == str(size)


def test_a_malformed_body_can_be_read_to_its_end() -> None:
    """What the parser did not take is there too."""
    body = b"no form" + b"x" * 5000

    async def whole(request: Request) -> Response:
        return Response(await request.body())

    app = form_data(suppress_errors=True)(Starlette(routes=[Route("/", whole, methods=["POST"])]))
    exchange = Exchange(in_pieces(body, 100), headers=MULTIPART).with_app(app)
    assert exchange.text.encode() == body


def test_a_malformed_body_is_limited_to_its_end() -> None:
    """An endless one is refused, suppressed or not."""
    endless = [b"no form"] + [b"x" * 1000] * 1000
    answer = post(endless, suppress_errors=True, max_total_size=5000)
    assert (answer.status, answer.taken) == (413, 6)


def test_after_the_body_the_application_learns_that_the_client_left() -> None:
    """A response that streams asks for it."""
    told: list[str] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        told.extend([(await receive())["type"] for _ in range(2)])

    Exchange([b"a=1"], headers=URLENCODED).with_app(form_data()(app))
    assert told == ["http.request", "http.disconnect"]
