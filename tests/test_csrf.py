"""The token of a form: bound to its session, worth nothing to any other."""

from collections.abc import Callable

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from coatcheck import Context, Cookie, Session, session
from coatcheck.csrf import csrf_token, is_csrf_token
from coatcheck.router import Router
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, SessionStorage
from coatcheck.testing import Clock
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
def test_a_token_ends_with_a_change_of_rights(site: Router, step: str) -> None:
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


def rotating(clock: Clock, storage: SessionStorage) -> Router:
    """A site that renews ids every ten minutes, shows its token and takes one back."""
    cookie = Cookie("s", secrets=[SECRET], secure=False)
    router = Router(middleware=[session(cookie, storage, rotate=600)])

    @router.get("/token")
    async def token(context: Context) -> Response:
        context.get(Session)["at"] = clock()
        return PlainTextResponse(csrf_token(context.get(Session)))

    @router.post("/do")
    async def do(context: Context) -> Response:
        given = context.get(Request).query_params.get("csrf")
        return PlainTextResponse(str(is_csrf_token(context.get(Session), given)))

    return router


def test_a_form_that_was_open_during_a_rotation_still_works(clock: Clock) -> None:
    """Another tab's request renewed the id; the page that was loaded before sends its form."""
    site = rotating(clock, MemoryStorage(clock=clock))
    jar = httpx.Cookies()
    token = ask(site, "GET", "/token", cookies=jar).text
    before = jar["s"]
    clock.advance(601)
    assert ask(site, "GET", "/token", cookies=jar).text == token
    assert jar["s"] != before
    assert accepts(site, jar, token)
    late = httpx.Cookies({"s": before})
    assert accepts(site, late, token)


def test_a_visitor_who_only_sends_a_form_writes_nothing(clock: Clock) -> None:
    """A form without a session is refused, and no session is made for it."""
    storage = MemoryStorage(clock=clock)
    jar = httpx.Cookies()
    assert not accepts(rotating(clock, storage), jar, "a" * 64)
    assert not jar
    assert not len(storage.backend)  # type: ignore[arg-type] # a MemoryBackend


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_token_that_was_made_before_the_first_save_is_taken_after_it(
    make: Callable[[], KeyedStorage | CookieStorage],
) -> None:
    """In the next request, and after a save in the middle of this one; also with a new id."""
    for regenerates in (False, True):
        storage = make()
        visit = storage.read(None)
        if regenerates:
            visit.regenerate_id()
        token = csrf_token(visit)
        assert not is_csrf_token(visit, token)
        value = storage.save(visit)
        assert is_csrf_token(visit, token)
        assert csrf_token(visit) == token
        assert is_csrf_token(storage.read(value), token)


def test_a_new_id_makes_a_new_token_at_once(clock: Clock) -> None:
    """The page of the answer shows it; the form that came with this request had the old one."""
    storage = MemoryStorage(clock=clock)
    visit = storage.read(None)
    token = csrf_token(visit)
    visit = storage.read(storage.save(visit))
    visit.regenerate_id()
    newer = csrf_token(visit)
    assert newer != token
    assert is_csrf_token(visit, token)
    assert not is_csrf_token(visit, newer)
    visit = storage.read(storage.save(visit))
    assert is_csrf_token(visit, newer)
    assert not is_csrf_token(visit, token)


def test_a_session_that_begins_where_another_moved_has_a_token_that_lasts(clock: Clock) -> None:
    """The second of two clicks on "sign in" gets a session of its own, and a page with a form."""
    storage = MemoryStorage(clock=clock)
    visit = storage.read(None)
    visit["cart"] = 1
    old = storage.save(visit)
    first = storage.read(old)
    first.regenerate_id()
    storage.save(first)
    second = storage.read(old)
    second.regenerate_id()
    token = csrf_token(second)
    value = storage.save(second)
    assert value
    assert is_csrf_token(storage.read(value), token)


def test_a_storage_of_ones_own_keeps_a_token_by_the_id() -> None:
    """It shows no record, so the value is made from the id; also for a session that is new."""
    for regenerates in (False, True):
        visit = Session()
        if regenerates:
            visit.regenerate_id()
        token = csrf_token(visit)
        stored = Session(dict(visit), id=visit.id)
        assert is_csrf_token(stored, token)
        assert csrf_token(stored) == token


def test_a_record_without_a_value_makes_no_token_that_can_be_guessed(clock: Clock) -> None:
    """As another package may have left it."""
    storage = MemoryStorage(clock=clock)
    visit = storage.read(None)
    visit["a"] = 1
    id = storage.save(visit)
    assert id
    bare = storage.read(id)
    found = bare._draft.found
    assert found
    found.record.body.csrf = b""
    token = csrf_token(bare)
    assert is_csrf_token(bare, token)
    assert token != csrf_token(Session({"a": 1}, id="another id"))


def test_a_token_does_not_show_the_id() -> None:
    """It stands in pages, where an id never does."""
    assert "very-secret" not in csrf_token(Session({"user": "ada"}, id="very-secret"))


@given(st.one_of(st.none(), st.text(), st.binary(), st.integers()))
@example("\udcff")
def test_nothing_that_a_client_sends_raises(given: object) -> None:
    """A form's field may hold anything, or be missing, or be an upload."""
    assert not is_csrf_token(Session({"user": "ada"}, id="an id"), given)
