"""The token of a form: bound to its session, worth nothing to any other."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from coatcheck import Context, Cookie, Session, session
from coatcheck.csrf import csrf_token, is_csrf_token
from coatcheck.router import Router
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from tests.asgi_requests import ask

SECRET = "a secret that is long enough for any test"


@pytest.fixture(params=[MemoryStorage, CookieStorage])
def site(request: pytest.FixtureRequest) -> Router:
    """A site that shows its token, and takes one back."""
    storage: SessionStorage = request.param()
    router = Router(middleware=[session(Cookie("s", secrets=[SECRET], secure=False), storage)])

    @router.get("/token")
    async def token(context: Context) -> Response:
        return PlainTextResponse(csrf_token(context.get(Session)))

    @router.post("/do")
    async def do(context: Context) -> Response:
        given = context.get(Request).query_params.get("csrf")
        return PlainTextResponse(str(is_csrf_token(context.get(Session), given)))

    @router.post("/{step}")
    async def step(context: Context) -> Response:
        getattr(context.get(Session), context.params["step"])()
        return PlainTextResponse("done")

    return router


def accepts(site: Router, jar: httpx.Cookies, token: str) -> bool:
    """Tell whether the site takes *token* from the visitor with this jar."""
    return ask(site, "POST", "/do", params={"csrf": token}, cookies=jar).text == "True"


def test_a_token_is_taken_from_the_session_it_was_made_for(site: Router) -> None:
    """The first page keeps a new session, and all its pages show one token."""
    jar = httpx.Cookies()
    token = ask(site, "GET", "/token", cookies=jar).text
    assert ask(site, "GET", "/token", cookies=jar).text == token
    assert accepts(site, jar, token)


def test_a_token_of_another_session_is_refused(site: Router) -> None:
    """An attacker's own token is worth nothing in the victim's browser."""
    mine, theirs = httpx.Cookies(), httpx.Cookies()
    ask(site, "GET", "/token", cookies=mine)
    assert not accepts(site, mine, ask(site, "GET", "/token", cookies=theirs).text)


@pytest.mark.parametrize("step", ["regenerate_id", "destroy"])
def test_a_token_ends_with_the_id_it_was_made_for(site: Router, step: str) -> None:
    """After signing in or out the old token is refused."""
    jar = httpx.Cookies()
    token = ask(site, "GET", "/token", cookies=jar).text
    ask(site, "POST", f"/{step}", cookies=jar)
    assert not accepts(site, jar, token)
    assert accepts(site, jar, ask(site, "GET", "/token", cookies=jar).text)


@pytest.mark.parametrize("token", ["", "a", "0" * 64, "é", "\udcff"])
def test_visitors_without_a_session_have_no_token(token: str) -> None:
    """No token is right for a session that the client does not hold."""
    assert not is_csrf_token(Session(), token)


def test_a_token_made_with_a_new_id_counts_from_the_next_request_on() -> None:
    """What the client holds during this request decides, whatever the handler did meanwhile."""
    current = Session({"user": "ada"}, id="the id that the client holds")
    token = csrf_token(current)
    current.regenerate_id()
    assert is_csrf_token(current, token)
    assert csrf_token(current) != token
    assert not is_csrf_token(current, csrf_token(current))


def test_a_token_does_not_show_the_id() -> None:
    """It stands in pages, where an id never does."""
    assert "very-secret" not in csrf_token(Session({"user": "ada"}, id="very-secret"))


@given(st.one_of(st.none(), st.text(), st.binary(), st.integers()))
@example("\udcff")
def test_nothing_that_a_client_sends_raises(given: object) -> None:
    """A form's field may hold anything, or be missing, or be an upload."""
    assert not is_csrf_token(Session({"user": "ada"}, id="an id"), given)
