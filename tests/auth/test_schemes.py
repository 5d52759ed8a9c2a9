"""The schemes: by the session, by a bearer token, by an API key."""

import re
import threading
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from coatcheck import ConfigurationError, Context, Session
from coatcheck.auth import (
    ApiKeyScheme,
    Auth,
    BearerScheme,
    Scheme,
    SessionScheme,
    Success,
    auth,
    require_auth,
)
from tests.asgi_requests import Exchange, ask
from tests.auth.sites import (
    TOKENS,
    USERS,
    Fixed,
    by_key,
    by_session,
    by_token,
    sessions,
    silent,
    site,
    user_of_key,
    who,
    whoami,
)


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
    app = auth(schemes=[by_session()])(sessions()(silent))
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


@pytest.mark.parametrize(
    ("token", "pattern"),
    [
        ("1|Zk3bQ0", r"\d+\|\w+"),
        ("perm:YWJj:ZGVm", r"perm:[\w:]+"),
        ("123:AAxyz", re.compile(r"\d+:AA\w+")),
        ("{any}", r"[!-~]+"),
    ],
)
def test_a_token_of_another_grammar_reaches_verify(
    token: str, pattern: str | re.Pattern[str]
) -> None:
    """By the option `token`: without it, the token is malformed, as RFC 6750 says."""
    header = {"Authorization": f"Bearer {token}"}
    with_option = BearerScheme(verify={token: "ada"}.get, token=pattern)
    assert who(site(with_option), header) == [True, "ada", "bearer", None]
    assert who(site(BearerScheme(verify={token: "ada"}.get)), header)[3] == "the token is malformed"


@pytest.mark.parametrize("token", ["", "a b", "caf\xe9", "a\x01b", "x1|Zk", "1|Zk=", "1|Zk\x85"])
def test_a_pattern_is_for_the_whole_token(token: str) -> None:
    """A token in part is malformed, and so is one with spaces, controls or other than ASCII."""
    scheme = BearerScheme(verify=lambda _: pytest.fail("verify was asked"), token=r"\d+\|\w+")
    header = {"Authorization": f"Bearer {token}".encode("latin-1")}
    assert who(site(scheme), header)[3] == "the token is malformed"


@pytest.mark.parametrize("token", ["", "a b", "caf\xe9", "a\x01b"])
def test_no_pattern_lets_through_what_no_token_can_hold(token: str) -> None:
    """Spaces, controls and bytes beyond ASCII never reach `verify`."""
    scheme = BearerScheme(verify=lambda _: pytest.fail("verify was asked"), token=".*")
    header = {"Authorization": f"Bearer {token}".encode("latin-1")}
    assert who(site(scheme), header)[3] == "the token is malformed"


def test_everything_that_a_client_reads_of_a_bearer_scheme_can_be_set() -> None:
    """The word before the token, the header, the message, the code, and the name."""
    scheme = BearerScheme(
        verify={"t": "ada"}.get,
        realm="shop",
        scheme="Token",
        header="X-Authorization",
        name="shop-token",
        message="sign in again",
        code="token_expired",
    )
    router = site(scheme)
    assert who(router, {"X-Authorization": "token t"}) == [True, "ada", "shop-token", None]
    for header in ({"X-Authorization": "Bearer t"}, {"Authorization": "Token t"}):
        assert who(router, header) == [False, None, None, None]
    assert who(router, {"X-Authorization": "Token no"})[2:] == ["shop-token", "sign in again"]
    answer = ask(router, "GET", "/closed", headers={"X-Authorization": "Token no"})
    assert answer.headers["www-authenticate"] == (
        'Token realm="shop", error="token_expired", error_description="sign in again"'
    )


def test_a_refusal_has_a_code_for_programs() -> None:
    """Each scheme can be told which; only a bearer token has one of its own."""

    async def code(context: Context) -> Response:
        return PlainTextResponse(str(context.get(Auth).code))

    def code_of(scheme: Scheme, headers: dict[str, str]) -> str:
        router = site(scheme)
        router.get("/code", code)
        jar = httpx.Cookies()
        ask(router, "POST", "/sign-in/3", cookies=jar)
        return ask(router, "GET", "/code", cookies=jar, headers=headers).text

    assert code_of(by_token(), {"Authorization": "Bearer no"}) == "invalid_token"
    assert code_of(by_key(), {"x-api-key": "no"}) == "None"
    named = ApiKeyScheme(verify=user_of_key, code="no_key", message="which?", name="key")
    assert code_of(named, {"x-api-key": "no"}) == "no_key"
    assert who(site(named), {"x-api-key": "no"})[2:] == ["key", "which?"]
    gone = by_session(code="gone", message="sign in again", name="cookie")
    assert code_of(gone, {}) == "gone"
    router, jar = site(gone), httpx.Cookies()
    ask(router, "POST", "/sign-in/3", cookies=jar)
    assert who(router, cookies=jar)[2:] == ["cookie", "sign in again"]


@pytest.mark.parametrize("option", ["scheme", "header", "message", "code", "realm"])
@pytest.mark.parametrize("text", ['a"b', "a\r\nb", "é", None])
def test_no_option_of_a_bearer_scheme_can_break_out_of_its_header(option: str, text: Any) -> None:
    """Each is checked when the scheme is made, and the message names it."""
    options: dict[str, Any] = {option: text}
    with pytest.raises(ConfigurationError, match=f"^{option} must be text that a header can hold"):
        BearerScheme(verify=TOKENS.get, **options)


@pytest.mark.parametrize("pattern", ["(", 5, b"x"])
def test_a_pattern_of_tokens_is_a_regular_expression(pattern: Any) -> None:
    """That is found when the scheme is made."""
    with pytest.raises(ConfigurationError, match="token must be a regular expression"):
        BearerScheme(verify=TOKENS.get, token=pattern)
