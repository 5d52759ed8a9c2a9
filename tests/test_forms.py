"""Forms: what they hold, what they may hold, and what becomes of the body and the uploads."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck import ConfigurationError, Context
from coatcheck.forms import FormData, Limits, UploadFile, form_data
from coatcheck.forms.body import IN_MEMORY, Body
from coatcheck.forms.middleware import FormLimits
from coatcheck.router import Router
from tests.asgi_requests import Exchange, ask

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=cut"}


def field(name: str, value: str | bytes) -> bytes:
    """Return a part that is a field."""
    value = value.encode() if isinstance(value, str) else value
    head = f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + value + b"\r\n"


def upload(name: str, data: bytes, filename: str = "a.txt", headers: str = "") -> bytes:
    """Return a part that is a file."""
    head = (
        f'--cut\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        f"Content-Type: text/plain\r\n{headers}\r\n"
    )
    return head.encode() + data + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    """Return a whole body."""
    return b"".join(parts) + b"--cut--\r\n"


async def show(context: Context) -> Response:
    """Answer with what the form holds."""
    shown: list[tuple[str, object]] = []
    for name, value in context.get(FormData).multi_items():
        if isinstance(value, UploadFile):
            shown.append((name, [value.filename, value.content_type, len(await value.read())]))
        else:
            shown.append((name, value))
    return JSONResponse(shown)


def site(**options: Any) -> Router:
    """Return a site that shows the form it was sent."""
    router = Router(middleware=[form_data(**options)])
    router.map("/", show)
    return router


def post(
    body: bytes | Iterable[bytes | None], headers: dict[str, str] | None = None, **options: Any
) -> Exchange:
    """Return the answer to a form, sent in one piece or in several."""
    chunks = [body] if isinstance(body, bytes) else body
    return Exchange(chunks, headers=headers or MULTIPART).with_app(site(**options))


def in_pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


# What a form holds


def test_an_urlencoded_form_is_read() -> None:
    """Names, values, several of a name, in their order and in UTF-8."""
    answer = ask(site(), "POST", "/", content="a=1&b=%C3%A9+x&a=2", headers=URLENCODED)
    assert answer.json() == [["a", "1"], ["b", "é x"], ["a", "2"]]


def test_a_multipart_form_is_read() -> None:
    """Fields are text, files are uploads with a name, a type and their bytes."""
    answer = ask(site(), "POST", "/", data={"a": "é"}, files={"b": ("n.txt", b"123", "text/plain")})
    assert answer.json() == [["a", "é"], ["b", ["n.txt", "text/plain", 3]]]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_it_does_not_matter_where_a_body_is_cut(size: int) -> None:
    """A server may hand a body over in pieces of any size."""
    body = multipart(field("a", "1"), upload("b", b"\r\n--cu\r\n--cat"), field("c", ""))
    answer = post(in_pieces(body, size))
    assert answer.text == '[["a","1"],["b",["a.txt","text/plain",13]],["c",""]]'


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
def test_a_request_without_a_form_has_an_empty_one(method: str) -> None:
    """Handlers never ask whether there is a form."""
    headers = {"content-type": "application/json"} if method == "POST" else {}
    answer = ask(site(), method, "/", headers=headers)
    assert answer.text == ("" if method == "HEAD" else "[]")


def test_the_body_of_a_get_is_no_form() -> None:
    """A body has no meaning there (RFC 9110, 9.3.1)."""
    assert ask(site(), "GET", "/", content="a=1", headers=URLENCODED).json() == []


def test_an_empty_multipart_form_is_empty() -> None:
    """It is a body of the last boundary alone."""
    assert post(multipart()).text == "[]"


@pytest.mark.parametrize(
    "content_type",
    ["APPLICATION/X-WWW-Form-Urlencoded", "application/x-www-form-urlencoded ; charset=latin-1"],
)
def test_the_media_type_is_compared_without_case_and_parameters(content_type: str) -> None:
    """RFC 9110, 8.3.1."""
    assert post(b"a=1", {"content-type": content_type}).text == '[["a","1"]]'


def test_a_form_is_read_once() -> None:
    """A second form_data() leaves the form of the first in place."""
    router = Router(middleware=[form_data(), form_data(max_fields=0)])
    router.post("/", show)
    assert ask(router, "POST", "/", data={"a": "1"}).json() == [["a", "1"]]


def test_other_scopes_pass_through() -> None:
    """A WebSocket or a lifespan has no form."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    exchange = Exchange(type="websocket", headers=URLENCODED).with_app(form_data()(app))
    assert seen == [exchange.scope]
    assert not Context(exchange.scope).has(FormData)


# What it may hold

ONE_FIELD, ONE_FILE = field("name", "x" * 100), upload("file", b"x" * 100)
LONG_HEADER = upload("a", b"", headers="X: " + "x" * 50 + "\r\n")  # 129 bytes of headers

TOO_MANY: list[tuple[str, dict[str, int], dict[str, str], bytes]] = [
    ("2 fields", {"max_fields": 2}, URLENCODED, b"a&b&c"),
    ("2 fields", {"max_fields": 2}, MULTIPART, multipart(ONE_FIELD, ONE_FIELD, ONE_FIELD)),
    ("2 files", {"max_files": 2}, MULTIPART, multipart(ONE_FILE, ONE_FILE, ONE_FILE)),
    ("2 parts", {"max_parts": 2}, MULTIPART, multipart(ONE_FIELD, ONE_FILE, ONE_FIELD)),
    ("2 parts", {"max_parts": 2}, URLENCODED, b"a&b&c"),
]

TOO_LARGE: list[tuple[str, dict[str, int], dict[str, str], bytes]] = [
    ("a field may have 103", {"max_part_size": 103}, MULTIPART, multipart(ONE_FIELD)),
    ("a field may have 103", {"max_part_size": 103}, URLENCODED, b"name=" + b"x" * 100),
    ("a field may have 103", {"max_part_size": 103}, URLENCODED, b"x" * 104),
    ("together may have 207", {"max_text_size": 207}, MULTIPART, multipart(ONE_FIELD, ONE_FIELD)),
    ("together may have 5", {"max_text_size": 5}, URLENCODED, b"a=12&b=34"),
    ("a file may have 99", {"max_file_size": 99}, MULTIPART, multipart(ONE_FILE)),
    ("the body may have 4", {"max_total_size": 4}, URLENCODED, b"a=123"),
    ("the body may have 8", {"max_total_size": 8}, MULTIPART, multipart()),
    ("part may have 128", {"max_header_size": 128}, MULTIPART, multipart(LONG_HEADER)),
]


@pytest.mark.parametrize(("what", "limits", "headers", "body"), TOO_MANY)
@pytest.mark.parametrize("suppress_errors", [False, True])
def test_too_many_of_something_is_400(
    what: str, limits: dict[str, int], headers: dict[str, str], body: bytes, suppress_errors: bool
) -> None:
    """The answer says of what there were too many; suppressing errors does not lift a limit."""
    answer = post(body, headers, suppress_errors=suppress_errors, **limits)
    assert (answer.status, answer.text) == (400, f"the form has more than {what}\n")


@pytest.mark.parametrize(("what", "limits", "headers", "body"), TOO_LARGE)
@pytest.mark.parametrize("suppress_errors", [False, True])
def test_too_many_bytes_of_something_are_413(
    what: str, limits: dict[str, int], headers: dict[str, str], body: bytes, suppress_errors: bool
) -> None:
    """The answer says what is too large, and how large it may be."""
    answer = post(in_pieces(body, 64), headers, suppress_errors=suppress_errors, **limits)
    assert answer.status == 413
    assert answer.text.startswith("the form is too large: ")
    assert answer.text.endswith(f"{what} bytes\n")


@pytest.mark.parametrize(("what", "limits", "headers", "body"), TOO_MANY + TOO_LARGE)
def test_a_form_just_within_a_limit_is_read(
    what: str, limits: dict[str, int], headers: dict[str, str], body: bytes
) -> None:
    """Each limit is what a form may have, and not one too many."""
    enough = {name: limit + 1 for name, limit in limits.items()}
    assert post(in_pieces(body, 64), headers, **enough).status == 200, what


def test_sizes_of_a_part_are_those_of_one_part() -> None:
    """Two files, two fields or two sets of headers within their limits are within them."""
    body = multipart(ONE_FILE, ONE_FILE, ONE_FIELD, ONE_FIELD)
    assert post(body, max_file_size=100, max_part_size=104, max_header_size=100).status == 200


def test_a_form_is_refused_while_it_streams() -> None:
    """What comes after the limit is never read."""
    endless = [b"a=" + b"x" * 1000] + [b"x" * 1000] * 1000
    answer = post(endless, URLENCODED, max_total_size=5000)
    assert answer.status == 413
    assert answer.taken == 5


def test_a_large_file_is_refused_while_it_streams() -> None:
    """Nor is more of it written to disk."""
    head = upload("a", b"")[:-2]
    answer = post([head] + [b"x" * 1000] * 1000, max_file_size=5000)
    assert answer.status == 413
    assert answer.taken == 7


def test_an_announced_size_is_refused_before_anything_is_read() -> None:
    """A client that waits for "100 Continue" need not send what would be refused."""
    answer = post([b"x"], URLENCODED | {"content-length": "5001"}, max_total_size=5000)
    assert (answer.status, answer.taken) == (413, 0)


@pytest.mark.parametrize("length", ["", "-1", "x", "²", "9" * 5000, "1, 1"])
def test_a_senseless_content_length_does_not_raise(length: str) -> None:
    """It is only a claim: what comes is counted."""
    assert post(b"a=1", URLENCODED | {"content-length": length}).status == 200


def test_the_limits_of_the_function_are_those_of_the_class() -> None:
    """`form_data` takes each limit by its name."""
    assert set(get_type_hints(FormLimits)) == {limit.name for limit in fields(Limits)}


@pytest.mark.parametrize("value", [-1, None, "5", True, 1.5])
def test_a_limit_is_a_number(value: Any) -> None:
    """What is none is found when the application starts."""
    with pytest.raises(ConfigurationError, match="max_files"):
        form_data(max_files=value)


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


# What is malformed

MALFORMED = [
    b"",
    b"no boundary at all",
    field("a", "1"),
    b"--cut\r\n",
    b"--cut\r\nContent-Disposition: form-data; na",
    b"--cut\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--cut--\r\n",
    b"--cut\r\n\r\nno headers\r\n--cut--\r\n",
    b"--cut\r\nbad header\r\n\r\n\r\n--cut--\r\n",
    b"--cutting\r\n",
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_form_is_400(body: bytes) -> None:
    """A form that ends in the middle is malformed too: half a form is none."""
    answer = post(body)
    assert answer.status == 400
    assert answer.text.endswith("\n")


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_form_can_be_read_as_an_empty_one(body: bytes) -> None:
    """`suppress_errors` is for applications that read the body themselves."""
    answer = post(in_pieces(body, 8) or [b""], suppress_errors=True)
    assert (answer.status, answer.text) == (200, "[]")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="a\\"b"',
        "multipart/form-data; boundary=caf\xe9",
        f"multipart/form-data; boundary={'x' * 71}",
    ],
)
def test_a_boundary_that_is_none_is_400(content_type: str) -> None:
    """RFC 2046, 5.1.1 says what a boundary may be."""
    answer = post(multipart(field("a", "1")), {"content-type": content_type})
    assert (answer.status, answer.text) == (400, "the form has no valid boundary\n")


@pytest.mark.parametrize(
    "charset", ["undefined", "idna", "punycode", "base64", "no-such", "utf-16"]
)
def test_a_claimed_charset_is_ignored(charset: str) -> None:
    """Some codecs raise, and some take minutes: text is UTF-8."""
    headers = {"content-type": f"multipart/form-data; charset={charset}; boundary=cut"}
    assert post(multipart(field("a", "é" * 1000)), headers).text == f'[["a","{"é" * 1000}"]]'


def test_text_that_is_no_utf_8_is_read_even_so() -> None:
    """It is taken for Latin-1, as Starlette does."""
    assert post(multipart(field("a", b"\xff"))).text == '[["a","ÿ"]]'


PIECES = st.sampled_from(
    [
        b"--cut",
        b"--cut--",
        b"\r\n",
        b"\r",
        b"Content-Disposition: form-data",
        b'; name="a"',
        b"; filename*=utf-8''%ff",
        b'; filename="b',
        b"Content-Type: x",
        b":",
        b"\x00\xff",
        b"=&%zz",
    ]
)


@given(st.lists(PIECES, max_size=20).map(b"".join), st.integers(1, 50), st.booleans())
def test_no_body_raises(body: bytes, size: int, suppress_errors: bool) -> None:
    """Anything may come from a client."""
    for headers in (MULTIPART, URLENCODED):
        chunks = in_pieces(body, size) or [b""]
        assert post(chunks, headers, suppress_errors=suppress_errors).status in (200, 400)


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0")))
def test_no_content_type_raises(text: str) -> None:
    """Nor may any header."""
    for content_type in (
        text,
        f"multipart/form-data;{text}",
        f"multipart/form-data; boundary={text}",
    ):
        assert post(b"a=1", {"content-type": content_type}).status in (200, 400)


# The body and the uploads


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


@pytest.mark.parametrize("suppress_errors", [False, True])
def test_a_client_that_leaves_in_the_middle_gets_no_answer(suppress_errors: bool) -> None:
    """Starlette's ClientDisconnect ends the request, and no handler runs."""
    exchange = Exchange([b"--cut\r\n", None, b""], headers=MULTIPART)
    with pytest.raises(ClientDisconnect):
        exchange.with_app(form_data(suppress_errors=suppress_errors)(_never))
    assert exchange.sent == []


async def _never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("no handler should run")


def keeping(uploads: list[UploadFile]) -> Callable[[UploadFile], str]:
    """Return an upload handler that keeps what it is given."""

    def keep(given: UploadFile) -> str:
        uploads.append(given)
        return given.filename or ""

    return keep


def test_uploads_are_closed_when_the_request_ends() -> None:
    """Also those that a handler took out of the form."""
    uploads: list[UploadFile] = []
    assert post(multipart(ONE_FILE), upload_handler=keeping(uploads)).status == 200
    assert [given.file.closed for given in uploads] == [True]


def test_uploads_are_closed_when_the_handler_raises_or_is_cancelled() -> None:
    """However a request ends, its files end with it."""
    uploads: list[UploadFile] = []

    async def hang(scope: Scope, _receive: Receive, _send: Send) -> None:
        uploads.append(Context(scope).get(FormData)["file"])  # type: ignore[arg-type]
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        Exchange([multipart(ONE_FILE)], headers=MULTIPART).with_app(form_data()(hang))
    assert uploads[0].file.closed


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_upload_handler_decides_what_the_form_holds(kind: str, tmp_path: Path) -> None:
    """It gets each upload, and the form gets what it returns; fields stay as they are."""

    def save(given: UploadFile) -> Path:
        path = tmp_path / "saved"
        path.write_bytes(given.file.read())
        return path

    async def save_async(given: UploadFile) -> Path:
        return await asyncio.to_thread(save, given)

    held: list[object] = []

    async def handler(context: Context) -> Response:
        held.extend(context.get(FormData).values())
        return Response()

    middleware = form_data(upload_handler=save if kind == "plain" else save_async)
    router = Router(middleware=[middleware])
    router.post("/", handler)
    ask(router, "POST", "/", content=multipart(ONE_FIELD, ONE_FILE), headers=MULTIPART)
    assert held == ["x" * 100, tmp_path / "saved"]
    assert (tmp_path / "saved").read_bytes() == b"x" * 100


@pytest.mark.parametrize("end", [b"--cut", ONE_FILE + ONE_FILE + b"--cut--"])
def test_an_upload_handler_sees_only_forms_that_are_whole(end: bytes) -> None:
    """What is refused in its last part leaves nothing behind."""
    uploads: list[UploadFile] = []
    body = ONE_FILE + end
    assert post(body, upload_handler=keeping(uploads), max_files=2).status == 400
    assert uploads == []


def around(app: ASGIApp) -> ASGIApp:
    """Return a middleware that fails if the form of one request reaches another."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        assert not Context(scope).has(FormData)
        await app(scope, receive, send)
        assert not Context(scope).has(FormData)

    return checked


def test_the_form_lies_in_a_copy_of_the_scope() -> None:
    """A server's own scope is left as it was."""
    exchange = Exchange([b"a=1"], headers=URLENCODED)
    before = dict(exchange.scope)
    exchange.with_app(around(form_data()(Response())))
    assert exchange.scope == before
