"""Which requests have a form, where it lies, and what becomes of its uploads."""

import asyncio
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck import Context
from coatcheck.forms import FormData, UploadFile, form_data
from coatcheck.router import Router
from tests.asgi_requests import Exchange, ask
from tests.forms.posts import (
    MALFORMED,
    MULTIPART,
    ONE_FIELD,
    ONE_FILE,
    URLENCODED,
    in_pieces,
    keeping,
    multipart,
    post,
    show,
    site,
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
def test_a_request_without_a_form_has_an_empty_one(method: str) -> None:
    """Handlers never ask whether there is a form."""
    headers = {"content-type": "application/json"} if method == "POST" else {}
    answer = ask(site(), method, "/", headers=headers)
    assert answer.text == ("" if method == "HEAD" else "[]")


def test_the_body_of_a_get_is_no_form() -> None:
    """A body has no meaning there (RFC 9110, 9.3.1)."""
    assert ask(site(), "GET", "/", content="a=1", headers=URLENCODED).json() == []


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


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_form_can_be_read_as_an_empty_one(body: bytes) -> None:
    """`suppress_errors` is for applications that read the body themselves."""
    answer = post(in_pieces(body, 8) or [b""], suppress_errors=True)
    assert (answer.status, answer.text) == (200, "[]")


@pytest.mark.parametrize("suppress_errors", [False, True])
def test_a_client_that_leaves_in_the_middle_gets_no_answer(suppress_errors: bool) -> None:
    """Starlette's ClientDisconnect ends the request, and no handler runs."""
    exchange = Exchange([b"--cut\r\n", None, b""], headers=MULTIPART)
    with pytest.raises(ClientDisconnect):
        exchange.with_app(form_data(suppress_errors=suppress_errors)(_never))
    assert exchange.sent == []


async def _never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("no handler should run")


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
