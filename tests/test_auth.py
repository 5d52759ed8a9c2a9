"""Authentication: schemes in order, one state, and what strangers are told."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck import ConfigurationError, Context, Cookie, Session, session
from coatcheck.auth import (
    ApiKeyScheme,
    Auth,
    AuthMiddleware,
    BearerScheme,
    Failure,
    RequireAuthMiddleware,
    Scheme,
    SessionScheme,
    Success,
    auth,
    require_auth,
)
from coatcheck.router import Router
from coatcheck.storage import CookieStorage, MemoryStorage
from tests.asgi_requests import Exchange, ask

SECRET = "a secret that is long enough for any test"
USERS = {"1": "ada", "2": "grace"}
TOKENS = {"t.o-k_e~n+/==": "ada"}
KEYS = {sha256(b"the-key").hexdigest(): "grace"}


def user_of_key(key: str) -> str | None:
    """Look a key up by its digest: that takes as long for a key that is nearly right."""
    return KEYS.get(sha256(key.encode()).hexdigest())


def sessions(**options: Any) -> Callable[[ASGIApp], ASGIApp]:
    return session(Cookie("s", secrets=[SECRET], secure=False), MemoryStorage(), **options)


def by_session(**options: Any) -> SessionScheme:
    return SessionScheme(read=lambda s: s.get("user_id"), verify=USERS.get, **options)


def by_token() -> BearerScheme:
    return BearerScheme(verify=TOKENS.get, realm="api")


def by_key() -> ApiKeyScheme:
    return ApiKeyScheme(verify=user_of_key)


async def whoami(context: Context) -> Response:
    """Answer with the state."""
    state = context.get(Auth)
    return JSONResponse([state.ok, state.identity, state.method, state.error])


async def sign_in(context: Context) -> Response:
    """Sign a user in by number, unchecked."""
    current = context.get(Session)
    current.set("user_id", context.params["id"])
    current.set("cart", ["hat"])
    current.regenerate_id()
    return PlainTextResponse("done")


async def keys(context: Context) -> Response:
    """Answer with what the session holds."""
    return JSONResponse(sorted(context.get(Session)))


def site(*schemes: Scheme) -> Router:
    """Return a site with an open page, a closed one, and a sign-in."""
    router = Router(middleware=[sessions(), auth(schemes=schemes)])
    router.get("/whoami", whoami)
    router.get("/closed", whoami, middleware=[require_auth()])
    router.post("/sign-in/{id}", sign_in)
    router.get("/keys", keys)
    return router


def who(app: ASGIApp, headers: Any = None, **options: Any) -> list[object]:
    """Return the state as the open page sees it: ok, identity, method, error."""
    state: list[object] = ask(app, "GET", "/whoami", headers=headers, **options).json()
    return state


class Fixed:
    """A scheme that always answers the same, and counts how often it is asked."""

    challenge = "Fixed"

    def __init__(self, name: str, answer: Success | Failure | None) -> None:
        self.name, self.answer, self.asked = name, answer, 0

    async def authenticate(self, _context: Context) -> Success | Failure | None:
        self.asked += 1
        return self.answer


# The state


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


@pytest.mark.parametrize("identity", [0, "", [], False])
def test_an_identity_may_be_anything_but_none(identity: object) -> None:
    """A user with the number 0 is a user."""
    assert who(site(Fixed("a", Success(identity)))) == [True, identity, "a", None]
    schemes = (
        SessionScheme(read=lambda _session: 7, verify=lambda _value: identity),
        BearerScheme(verify=lambda _token: identity),
        ApiKeyScheme(verify=lambda _key: identity),
    )
    for scheme in schemes:
        assert who(site(scheme), {"authorization": "Bearer t", "x-api-key": "k"})[0], scheme.name


def test_auth_needs_a_scheme() -> None:
    """Without any, nobody could ever be recognised: that is found at the start."""
    for make in (lambda: auth(schemes=[]), lambda: AuthMiddleware(_silent, schemes=[])):
        with pytest.raises(ConfigurationError, match="at least one scheme"):
            make()


async def _silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("nobody should be asked")


def test_a_scheme_finds_the_request_in_the_context() -> None:
    """A scheme of one's own reads what it needs there."""

    class ByQuery(Fixed):
        async def authenticate(self, context: Context) -> Success | None:
            return Success(context.get(Request).query_params["user"])

    router = site(ByQuery("query", None))
    assert ask(router, "GET", "/whoami?user=ada").json() == [True, "ada", "query", None]


def test_no_repr_shows_the_identity() -> None:
    """It may end up in a log."""
    assert "ada" not in repr([Success("ada"), Auth(ok=True, identity="ada")])


# The session


def test_who_signed_in_is_recognised_by_the_session() -> None:
    """What the sign-in kept stands for the user in later requests."""
    router, jar = site(by_session()), httpx.Cookies()
    assert who(router, cookies=jar) == [False, None, None, None]
    ask(router, "POST", "/sign-in/1", cookies=jar)
    assert who(router, cookies=jar) == [True, "ada", "session", None]


@pytest.mark.parametrize("awaited", [False, True])
def test_a_refused_sign_in_leaves_the_session(*, awaited: bool) -> None:
    """The user is gone: the request fails, and nothing of that user is left to the next."""

    async def verify(value: str) -> str | None:
        return USERS.get(value)

    scheme = SessionScheme(read=lambda s: s.get("user_id"), verify=verify if awaited else USERS.get)
    router, jar = site(scheme), httpx.Cookies()
    ask(router, "POST", "/sign-in/3", cookies=jar)
    message = "the session's sign-in is no longer valid"
    assert who(router, cookies=jar) == [False, None, "session", message]
    assert who(router, cookies=jar) == [False, None, None, None]
    assert ask(router, "GET", "/keys", cookies=jar).json() == []


def test_the_application_decides_what_a_refused_sign_in_takes_along() -> None:
    """With `invalidate`, the rest of the session may stay."""
    router = site(by_session(invalidate=lambda s: s.unset("user_id")))
    jar = httpx.Cookies()
    ask(router, "POST", "/sign-in/3", cookies=jar)
    assert ask(router, "GET", "/keys", cookies=jar).json() == ["cart"]


def test_a_refused_sign_in_can_leave_a_notice() -> None:
    """The page that turns the visitor away may flash why."""

    async def turn_away(context: Context) -> Response:
        context.get(Session).flash("notice", "Please sign in.")
        return RedirectResponse("/", 303)

    router, jar = site(by_session()), httpx.Cookies()
    router.get("/mine", whoami, middleware=[require_auth(turn_away)])
    router.get("/notice", lambda c: PlainTextResponse(c.get(Session).get("notice", "")))
    ask(router, "POST", "/sign-in/3", cookies=jar)
    assert ask(router, "GET", "/mine", cookies=jar).status_code == 303
    assert ask(router, "GET", "/notice", cookies=jar).text == "Please sign in."


def test_auth_before_session_says_which_order_is_right() -> None:
    """The mistake is the application's, so it is told and not passed over."""
    app = auth(schemes=[by_session()])(sessions()(_silent))
    with pytest.raises(ConfigurationError, match=r"\[session\(cookie, storage\), auth\(schemes="):
        ask(app, "GET", "/")


def test_a_plain_verify_runs_in_a_worker_thread() -> None:
    """It may ask a database."""
    threads: list[int] = []

    def verify(token: str) -> str | None:
        threads.append(threading.get_ident())
        return TOKENS.get(token)

    router = site(BearerScheme(verify=verify))
    assert who(router, {"Authorization": "Bearer t.o-k_e~n+/=="})[0]
    assert threads != [threading.get_ident()]


# The bearer token


@pytest.mark.parametrize("spelling", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_recognised(spelling: str) -> None:
    """The scheme's name is compared without case."""
    state = who(site(by_token()), {"Authorization": f"{spelling} t.o-k_e~n+/=="})
    assert state == [True, "ada", "bearer", None]


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearerx token", "t.o-k_e~n+/=="])
def test_what_is_no_bearer_token_is_left_to_other_schemes(authorization: str) -> None:
    """The scheme passes on credentials of another kind."""
    state = who(site(by_token(), Fixed("next", Success("ada"))), {"Authorization": authorization})
    assert state == [True, "ada", "next", None]


@pytest.mark.parametrize("token", ["", " ", "a b", "a,b", "caf\xe9", "tok\x7fen", "=a", '"a"'])
def test_a_malformed_token_is_refused_unseen(token: str) -> None:
    """`verify` gets only what a token can be (RFC 6750, 2.1)."""
    router = site(BearerScheme(verify=lambda _token: pytest.fail("verify was asked")))
    header = f"Bearer {token}".encode("latin-1")
    assert who(router, {"Authorization": header})[1:] == [None, "bearer", "the token is malformed"]


def test_two_tokens_are_refused() -> None:
    """Nothing tells which of them the client means."""
    header = ("Authorization", "Bearer t.o-k_e~n+/==")
    assert who(site(by_token()), [header, header])[3] == "the token is malformed"


def test_a_wrong_token_is_told_from_none() -> None:
    """Only a token that was sent can be invalid (RFC 6750, 3.1)."""
    router = site(by_token())
    anonymous = ask(router, "GET", "/closed")
    refused = ask(router, "GET", "/closed", headers={"Authorization": "Bearer wrong"})
    assert anonymous.headers["www-authenticate"] == 'Bearer realm="api"'
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="the token is not valid"'
    )
    assert (anonymous.status_code, refused.status_code) == (401, 401)


@pytest.mark.parametrize("realm", ['a"b', "a\\b", "a\r\nb", "é"])
def test_a_realm_cannot_break_out_of_its_header(realm: str) -> None:
    """It is checked when the scheme is made."""
    with pytest.raises(ConfigurationError, match="realm"):
        BearerScheme(verify=TOKENS.get, realm=realm)


# The API key


def test_an_api_key_is_recognised() -> None:
    """In its own header, which can be named."""
    named = ApiKeyScheme(verify=user_of_key, header="X-Shop-Key")
    assert who(site(by_key()), {"x-api-key": "the-key"}) == [True, "grace", "api-key", None]
    assert who(site(named), {"x-shop-key": "the-key"})[0]
    assert not who(site(named), {"x-api-key": "the-key"})[0]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (b"wrong", "not valid"),
        (b"", "malformed"),
        (b"a b", "malformed"),
        (b"caf\xe9", "malformed"),
        (b"a\x01", "malformed"),
    ],
)
def test_another_api_key_is_refused(key: bytes, error: str) -> None:
    """One that cannot be a key never reaches `verify`."""
    state = who(site(by_key()), {"x-api-key": key})
    assert state == [False, None, "api-key", f"the API key is {error}"]


def test_two_api_keys_are_refused() -> None:
    """Nothing tells which of them the client means."""
    header = ("x-api-key", "the-key")
    assert who(site(by_key()), [header, header])[3] == "the API key is malformed"


@pytest.mark.parametrize("header", ["", "X Key", "X-Key:", "X-Key\r\n"])
def test_a_header_name_is_checked(header: str) -> None:
    """It is checked when the scheme is made."""
    with pytest.raises(ConfigurationError, match="header"):
        ApiKeyScheme(verify=user_of_key, header=header)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_no_bytes_of_a_client_raise(authorization: bytes, key: bytes) -> None:
    """Whatever stands in the headers, there is an answer."""
    exchange = Exchange(method="GET", path="/whoami")
    exchange.scope["headers"] = [
        (b"authorization", b"Bearer " + authorization),
        (b"authorization", authorization),
        (b"x-api-key", key),
    ][len(key) % 2 :]
    assert exchange.with_app(site(by_key(), by_token())).status == 200


# Turning strangers away


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
    app = require_auth()(auth(schemes=[by_key()])(_silent))
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


# WebSockets


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
