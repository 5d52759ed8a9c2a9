"""`cross_origin()` and `csrf()` around applications of each kind."""

import asyncio
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from coatcheck import ConfigurationError, Context, Cookie, Session, session, wsgi
from coatcheck.csrf import cross_origin, csrf, csrf_token, is_csrf_token, masked_csrf_token
from coatcheck.forms import form_data
from coatcheck.router import Router
from coatcheck.storage import MemoryStorage
from tests.hosts import SECRET, Answer, Sent, environ_of, nothing_received, scope_of, served

EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
COOKIE = Cookie("s", secrets=[SECRET], secure=False)


def site(*middleware: Any) -> TestClient:
    """Return a client of a site that gives out tokens and takes orders."""

    async def token(context: Context) -> Response:
        return PlainTextResponse(masked_csrf_token(context.get(Session)))

    async def order(context: Context) -> Response:
        return PlainTextResponse((await context.get(Request).body()).decode())

    router = Router(middleware=middleware)
    router.get("/token")(token)
    router.post("/order")(order)
    return TestClient(router)


def run(app: Any, scope: dict[str, Any], sent: Sent) -> None:
    """Serve one request."""
    asyncio.run(app(scope, nothing_received, sent))


def test_a_form_of_another_site_is_refused() -> None:
    """In the router; reading is allowed, and so is a page of our own."""
    client = site(cross_origin())
    assert client.post("/order", headers=EVIL).status_code == 403
    assert client.post("/order", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert client.get("/order", headers=EVIL).status_code == 405


def test_it_is_a_middleware_of_starlette_too() -> None:
    """By `add_middleware`; the answer can be another."""

    async def sorry(request: Request) -> Response:
        return PlainTextResponse(f"sorry, {request.method}", status_code=400)

    app = Starlette(routes=[Route("/order", sorry, methods=["POST"])])
    refused = Starlette(routes=[Route("/{path:path}", sorry, methods=["POST"])])
    app.add_middleware(cross_origin(refused=refused))
    answer = TestClient(app).post("/order", headers=EVIL)
    assert (answer.status_code, answer.text) == (400, "sorry, POST")


def test_a_handshake_of_another_site_is_refused() -> None:
    """A WebSocket carries the cookie, too; lifespan passes."""

    async def app(*_: Any) -> None:
        pytest.fail("it was let through")

    async def passes(scope: Any, *_: Any) -> None:
        seen.append(scope["type"])

    seen: list[str] = []
    headers = [(b"origin", b"https://evil.example"), (b"host", b"example.org")]
    scope = {"type": "websocket", "path": "/", "headers": headers}
    sent = Sent()
    run(cross_origin()(app), scope, sent)
    assert sent.messages == [{"type": "websocket.close", "code": 1008}]
    run(cross_origin()(passes), {"type": "lifespan"}, sent)
    assert seen == ["lifespan"]


def wsgi_page(environ: wsgi.Environ, start: wsgi.StartResponse) -> Iterable[bytes]:
    """Give out a token, or show what was sent."""
    start("200 OK", [("Content-Type", "text/plain")])
    if environ["REQUEST_METHOD"] == "GET":
        return [csrf_token(environ["coatcheck.session"]).encode()]
    return [environ["wsgi.input"].read()]


def test_wsgi_applications_are_protected_by_origin() -> None:
    """The answer can be another, too."""

    def sorry(_: wsgi.Environ, start: wsgi.StartResponse) -> Iterable[bytes]:
        start("400 Bad Request", [])
        return [b"sorry"]

    evil = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}
    app = cross_origin().wsgi(session(COOKIE, MemoryStorage()).wsgi(wsgi_page))
    assert served(app, environ_of(None, evil)).status == 403
    assert served(app, environ_of(None, {"REQUEST_METHOD": "POST"})).status == 200
    own = cross_origin(refused=sorry).wsgi(wsgi_page)
    assert served(own, environ_of(None, evil)).body == b"sorry"


@pytest.mark.parametrize(
    "check", [cross_origin(bypass=("/shöp/hooks/",)), csrf(bypass=("/shöp/hooks/",))]
)
def test_a_path_is_that_of_the_browser(check: Any) -> None:
    """Where the application is mounted too, as for `skip=` of `session()`."""
    app = session(COOKIE, MemoryStorage()).wsgi(check.wsgi(wsgi_page))
    place = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}
    mount = "/shöp".encode().decode("latin-1")
    for path, status in (("/hooks/pay", 200), ("/orders", 403)):
        environ = environ_of(None, {**place, "SCRIPT_NAME": mount, "PATH_INFO": path})
        assert served(app, environ).status == status


def test_a_token_is_needed_in_the_router() -> None:
    """In the header, or in a field of the form that `form_data()` read; the form stays whole."""
    client = site(form_data(), session(COOKIE, MemoryStorage()), csrf(bypass=("/hooks/",)))
    assert client.post("/order").status_code == 403
    token = client.get("/token").text
    assert client.post("/order").status_code == 403
    assert client.post("/order", data={"csrf": "wrong"}).status_code == 403
    assert client.post("/order", headers={"X-CSRF-Token": token}).status_code == 200
    assert client.post("/order", data={"csrf": token, "a": "1"}).text == f"csrf={token}&a=1"
    assert client.post("/hooks/none").status_code == 404


def test_names_and_the_answer_can_be_others() -> None:
    """As another package had them."""

    async def sorry(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("sorry", status_code=400)(scope, receive, send)

    check = csrf(header="X-XSRF", field="_token", refused=sorry)
    client = site(session(COOKIE, MemoryStorage()), check)
    token = client.get("/token").text
    assert client.post("/order", headers={"x-xsrf": token}).status_code == 200
    assert client.post("/order", headers={"x-csrf-token": token}).text == "sorry"


FORM = "application/x-www-form-urlencoded"


def post(app: Any, cookie: str | None, body: bytes, **more: Any) -> Answer:
    """Send a form to a WSGI application."""
    facts = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        **more,
    }
    return served(app, environ_of(cookie, facts))


def test_a_token_is_needed_under_wsgi() -> None:
    """The application reads the form again; what is no such form has the header."""
    app = session(COOKIE, MemoryStorage()).wsgi(csrf().wsgi(wsgi_page))
    got = served(app, environ_of())
    cookie, token = got.all("set-cookie")[0].partition(";")[0], got.body
    assert post(app, cookie, b"csrf=" + token + b"&a=1").body == b"csrf=" + token + b"&a=1"
    assert post(app, cookie, b"", HTTP_X_CSRF_TOKEN=token.decode()).status == 200
    refused: list[tuple[bytes, dict[str, Any]]] = [
        (b"a=1", {}),
        (b"csrf=\xff", {}),
        (b"&".join([b"a=1"] * 2000), {}),
        (b"csrf=" + token, {"CONTENT_TYPE": "text/plain"}),
        (b"csrf=" + token, {"CONTENT_LENGTH": "2000000"}),
        (b"csrf=" + token, {"CONTENT_LENGTH": "many"}),
    ]
    for body, more in refused:
        assert post(app, cookie, body, **more).status == 403


def test_no_token_counts_where_no_session_is_read() -> None:
    """`skip=`: the request is refused like any without a token; the server has no error."""
    client = site(session(COOKIE, MemoryStorage(), skip=("/order",)), csrf())
    token = client.get("/token").text
    assert client.post("/order", headers={"X-CSRF-Token": token}).status_code == 403
    assert client.post("/order").status_code == 403


def test_a_masked_token_is_another_each_time() -> None:
    """Both forms are the session's token; what is none is refused."""
    storage = MemoryStorage()
    stored = storage.read(None)
    stored["a"] = 1
    stored = storage.read(storage.save(stored))
    one, two = masked_csrf_token(stored), masked_csrf_token(stored)
    assert one != two
    assert len(one) == 128
    for token in (one, two, csrf_token(stored)):
        assert is_csrf_token(stored, token)
    for wrong in ("x" * 128, "0" * 128, one[:-1], one + "0", 5, None):
        assert not is_csrf_token(stored, wrong)


def test_a_check_without_sessions_is_a_mistake() -> None:
    """It says what is missing."""

    async def app(*_: Any) -> None:
        pytest.fail("it was let through")

    scope = scope_of(None, {"method": "POST"})
    with pytest.raises(ConfigurationError, match="Session"):
        run(csrf()(app), scope, Sent())


@pytest.mark.parametrize("make", [lambda: csrf(header=""), lambda: csrf(field=5)])  # type: ignore[arg-type]
def test_a_name_that_is_none_is_refused(make: Callable[[], object]) -> None:
    """When the application starts."""
    with pytest.raises(ConfigurationError, match="must be a text"):
        make()
