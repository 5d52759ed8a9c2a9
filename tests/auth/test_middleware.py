"""Schemes in their order, what strangers are told, and WebSockets."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck import ConfigurationError, Context, Cookie, session
from coatcheck.auth import (
    Auth,
    AuthMiddleware,
    Failure,
    RequireAuthMiddleware,
    Success,
    auth,
    require_auth,
)
from coatcheck.router import Router
from coatcheck.storage import CookieStorage
from tests.asgi_requests import Exchange, ask
from tests.auth.sites import (
    SECRET,
    Fixed,
    by_key,
    by_session,
    by_token,
    sign_in,
    silent,
    site,
    who,
    whoami,
)


@pytest.mark.parametrize(
    ("answers", "state", "asked"),
    [
        ([None, None], [False, None, None, None], [1, 1]),
        ([None, Success("ada")], [True, "ada", "b", None], [1, 1]),
        ([Success("ada"), Success("grace")], [True, "ada", "a", None], [1, 0]),
        ([Failure("no"), Success("ada")], [False, None, "a", "no"], [1, 0]),
        ([None, Failure("no")], [False, None, "b", "no"], [1, 1]),
    ],
)
def test_the_first_scheme_that_does_not_pass_decides(
    answers: Sequence[Success | Failure | None], state: list[object], asked: list[int]
) -> None:
    """Schemes run in order; a success or a failure stops them, None asks the next."""
    schemes = [Fixed(name, answer) for name, answer in zip("ab", answers, strict=True)]
    assert who(site(*schemes)) == state
    assert [scheme.asked for scheme in schemes] == asked


def test_auth_needs_a_scheme() -> None:
    """Without any, nobody could ever be recognised: that is found at the start."""
    for make in (lambda: auth(schemes=[]), lambda: AuthMiddleware(silent, schemes=[])):
        with pytest.raises(ConfigurationError, match="at least one scheme"):
            make()


def test_a_scheme_finds_the_request_in_the_context() -> None:
    """A scheme of one's own reads what it needs there."""

    class ByQuery(Fixed):
        async def authenticate(self, context: Context) -> Success | None:
            return Success(context.get(Request).query_params["user"])

    router = site(ByQuery("query", None))
    assert ask(router, "GET", "/whoami?user=ada").json() == [True, "ada", "query", None]


def test_strangers_get_401_with_every_challenge() -> None:
    """A 401 says what would help (RFC 9110, 15.5.2)."""
    answer = ask(site(by_session(), by_token(), by_key()), "GET", "/closed")
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [
        "Session",
        'Bearer realm="api"',
        'ApiKey header="X-API-Key"',
    ]


def test_users_pass() -> None:
    """The page behind sees the same state."""
    answer = ask(site(by_key()), "GET", "/closed", headers={"x-api-key": "the-key"})
    assert answer.json() == [True, "grace", "api-key", None]


@pytest.mark.parametrize("awaited", [False, True])
def test_on_failure_makes_the_answer(*, awaited: bool) -> None:
    """It finds the request and the state in the context."""

    def answer(context: Context) -> Response:
        error = context.get(Auth).error or "nobody"
        return RedirectResponse(f"/sign-in?from={context.get(Request).url.path}&why={error}", 303)

    async def answer_async(context: Context) -> Response:
        return answer(context)

    router = site(by_key())
    router.get("/mine", whoami, middleware=[require_auth(answer_async if awaited else answer)])
    response = ask(router, "GET", "/mine")
    assert response.headers["location"] == "/sign-in?from=/mine&why=nobody"
    assert "www-authenticate" not in response.headers


@pytest.mark.parametrize(("given", "expected"), [(None, ["Session"]), ("Own", ["Own"])])
def test_a_401_of_on_failure_gets_challenges_unless_it_has_some(
    given: str | None, expected: list[str]
) -> None:
    """Every 401 has one, and the application's own stays."""
    headers = {"www-authenticate": given} if given else {}
    router = site(by_session())
    refuse = require_auth(lambda _context: PlainTextResponse("no", 401, headers))
    router.get("/mine", whoami, middleware=[refuse])
    assert ask(router, "GET", "/mine").headers.get_list("www-authenticate") == expected


def test_a_mounted_application_is_closed_as_a_whole() -> None:
    """`require_auth` wraps any application, a framework's too."""
    router = Router(middleware=[auth(schemes=[by_key()])])
    router.mount("/admin", require_auth()(PlainTextResponse("secret")))
    assert ask(router, "GET", "/admin/a").status_code == 401
    assert ask(router, "GET", "/admin/a", headers={"x-api-key": "the-key"}).text == "secret"


def test_require_auth_before_auth_says_which_order_is_right() -> None:
    """It never lets anybody through by mistake."""
    app = require_auth()(auth(schemes=[by_key()])(silent))
    with pytest.raises(ConfigurationError, match=r"\[auth\(schemes=\[scheme\]\), require_auth"):
        ask(app, "GET", "/")


def test_the_state_lies_in_a_copy_of_the_scope() -> None:
    """A server's own scope is left as it was."""
    exchange = Exchange()
    before = dict(exchange.scope)
    exchange.with_app(auth(schemes=[by_key()])(Response()))
    assert exchange.scope == before


def test_the_lifespan_passes_through_both() -> None:
    """It is nobody's."""
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    Exchange(type="lifespan").with_app(auth(schemes=[by_key()])(require_auth()(app)))
    assert seen == ["lifespan"]


def connect(app: ASGIApp, *headers: tuple[bytes, bytes]) -> list[Message]:
    """Return what a WebSocket is told."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": list(headers)}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent


async def accept(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept", "headers": []})


def test_a_websocket_is_recognised_or_refused() -> None:
    """It is refused before it is accepted, whatever `on_failure` would answer to a page."""
    refuse = RequireAuthMiddleware(accept, on_failure=lambda _context: pytest.fail("asked"))
    app = AuthMiddleware(refuse, schemes=[by_key()])
    assert [message["type"] for message in connect(app)] == ["websocket.close"]
    assert connect(app)[0]["code"] == 1008
    welcome = connect(app, (b"x-api-key", b"the-key"))
    assert [message["type"] for message in welcome] == ["websocket.accept"]


def test_a_websocket_with_a_refused_sign_in_is_closed_without_a_word() -> None:
    """No cookie can go along with the refusal, so the session is left to the next page."""
    cookie, storage = Cookie("s", secrets=[SECRET], secure=False), CookieStorage()
    router = Router(middleware=[session(cookie, storage)])
    router.post("/sign-in/{id}", sign_in)
    jar = httpx.Cookies()
    ask(router, "POST", "/sign-in/3", cookies=jar)
    app = session(cookie, storage)(auth(schemes=[by_session()])(require_auth()(accept)))
    told = connect(app, (b"cookie", f"s={jar['s']}".encode()))
    assert [message["type"] for message in told] == ["websocket.close"]


class Plain(Fixed):
    """A scheme whose author forgot `async`."""

    def authenticate(self, _context: Context) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("scheme", "got"),
    [
        (Fixed("a", True), "bool"),  # type: ignore[arg-type]
        (Fixed("a", {"id": 1}), "dict"),  # type: ignore[arg-type]
        (Fixed("a", Success), "type"),  # type: ignore[arg-type]
        (Plain("a", Success("ada")), "Success"),
        (Plain("a", None), "NoneType"),
    ],
)
def test_a_scheme_that_answers_with_something_else_is_a_configuration_error(
    scheme: Any, got: str
) -> None:
    """Nobody is recognised by mistake; the message names the scheme and what it returned."""
    says = rf"^{type(scheme).__name__}\.authenticate must be `async def` and .* got {got}$"
    with pytest.raises(ConfigurationError, match=says):
        who(site(scheme))


@pytest.mark.parametrize(
    ("schemes", "says"),
    [
        (by_token(), r"got a BearerScheme: write auth\(schemes=\[scheme\]\)"),
        ([type(by_token())], "got the class BearerScheme"),
        ([by_token(), lambda _context: None], "got a function"),
        (["bearer"], "got a str"),
    ],
)
def test_what_is_no_scheme_is_found_when_the_middleware_is_made(schemes: Any, says: str) -> None:
    """A scheme without its list, a class in place of an object, a function."""
    with pytest.raises(ConfigurationError, match=says):
        auth(schemes=schemes)
