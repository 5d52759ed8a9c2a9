"""The body: where it is kept, and how a framework behind reads it again."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from time import process_time

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from coatcheck.forms import Limits, UploadFile, form_data
from coatcheck.forms.body import ENOUGH, IN_MEMORY, TINY, Body
from tests.asgi_requests import Exchange, ask
from tests.forms.posts import MULTIPART, URLENCODED, field, in_pieces, multipart, post, upload
from tests.thorough import thorough


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


def streamed(chunks: list[bytes]) -> list[bytes]:
    """Return the chunks that a parser gets of a body that arrives in *chunks*."""

    async def collect() -> list[bytes]:
        body = Body(Exchange(chunks).receive, Limits())
        with closing(body):
            return [chunk async for chunk in body.stream()]

    return asyncio.run(collect())


def test_the_end_of_a_body_is_an_empty_chunk() -> None:
    """The one empty chunk is the last."""
    assert streamed([b"", b"a=", b"", b"1", b""]) == [b"a=1", b""]


def test_tiny_chunks_are_gathered_and_others_stay_as_they_are() -> None:
    """A parser is called once for some kilobytes; no byte is lost, moved or held back."""
    tiny = streamed([b"%d" % (number % 10) for number in range(10_000)])
    assert b"".join(tiny) == b"0123456789" * 1000
    assert [len(chunk) for chunk in tiny] == [ENOUGH, ENOUGH, 10_000 - 2 * ENOUGH, 0]
    large = [b"x" * TINY, b"y" * 5000, b"z" * 70_000]
    assert streamed(large) == [*large, b""]
    assert streamed([b"a", b"b", b"c" * TINY, b"d"]) == [b"ab" + b"c" * TINY, b"d", b""]


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


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (multipart(upload("a", b"x" * 50_000)), MULTIPART),
        (multipart(upload("a", b"\r\n" * 25_000)), MULTIPART),
        (multipart(field("a", "x" * 50_000)), MULTIPART),
        (b"a=" + b"x" * 50_000, URLENCODED),
        thorough(multipart(upload("a", b"x" * 200_000)), MULTIPART),
    ],
    ids=["upload", "empty lines", "field", "urlencoded", "large upload"],
)
def test_a_form_in_tiny_chunks_costs_what_it_costs_in_one(
    form: bytes, headers: dict[str, str]
) -> None:
    """At most three times the CPU, beside what it costs to pass so many messages on."""
    tiny = in_pieces(form, 1)

    async def receive_alone() -> None:
        exchange = Exchange(tiny)
        while (await exchange.receive()).get("more_body"):
            pass

    def seconds(ask: Callable[[], object]) -> float:
        begun = process_time()
        ask()
        return process_time() - begun

    def least(ask: Callable[[], object]) -> float:
        return min(seconds(ask) for _ in range(3))

    whole = least(lambda: post(form, headers))
    received = least(lambda: asyncio.run(receive_alone()))
    cut = least(lambda: post(tiny, headers))
    assert cut < 3 * whole + 3 * received  # a call of the parser for each would be 20 times that
