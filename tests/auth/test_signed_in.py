"""Auth over `session.sign_in`: the user, pins, acting, and a password that is asked again."""

from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from coatcheck import ConfigurationError, Context, Cookie, Session, session
from coatcheck.auth import SessionScheme, auth, require_auth, require_fresh
from coatcheck.router import Router
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import Clock
from tests.asgi_requests import Exchange, ask
from tests.auth.sites import SECRET, who, whoami

HASHES = {"ada": "hash of ada", "staff": "hash of staff", "guest": None}
COOKIE = Cookie("s", secrets=[SECRET], secure=False)


async def sign_in(context: Context) -> Response:
    user = context.params["user"]
    context.get(Session).sign_in(user, pin=HASHES.get(user))
    context.get(Session)["cart"] = ["hat"]
    return PlainTextResponse("done")


async def act(context: Context) -> Response:
    context.get(Session).act_as(context.params["user"])
    return PlainTextResponse("done")


async def confirm(context: Context) -> Response:
    context.get(Session).confirm()
    return PlainTextResponse("done")


async def keys(context: Context) -> Response:
    found = context.get(Session)
    return PlainTextResponse(" ".join([str(found.signed_in and found.signed_in.user), *found]))


def site(storage: SessionStorage, scheme: SessionScheme) -> Router:
    router = Router(middleware=[session(COOKIE, storage), auth(schemes=[scheme])])
    router.get("/whoami", whoami)
    router.get("/closed", whoami, middleware=[require_auth()])
    router.post("/sign-in/{user}", sign_in)
    router.post("/act/{user}", act)
    router.post("/confirm", confirm)
    router.get("/keys", keys)
    return router


def by_pin() -> SessionScheme:
    """Users are those with a hash; it is the pin."""
    return SessionScheme(
        verify=lambda user: user if user in hashes else None, pin=lambda user: hashes[user]
    )


hashes: dict[str, str | None] = {}


@pytest.fixture(autouse=True)
def _hashes() -> None:
    hashes.clear()
    hashes.update(HASHES)


@pytest.fixture(params=[MemoryStorage, CookieStorage])
def storage(request: pytest.FixtureRequest, clock: Clock) -> SessionStorage:
    """With records on a server, and without."""
    made: SessionStorage = request.param(clock=clock)
    return made


def test_the_sign_in_of_the_session_is_the_user(storage: SessionStorage) -> None:
    """Without any argument the identity is the user's text."""
    router, jar = site(storage, SessionScheme()), httpx.Cookies()
    assert who(router, cookies=jar) == [False, None, None, None]
    ask(router, "POST", "/sign-in/ada", cookies=jar)
    assert who(router, cookies=jar) == [True, "ada", "session", None]


def test_a_new_password_ends_what_holds_the_old_one(storage: SessionStorage) -> None:
    """On every storage, with no server to ask; nothing of the user is left to the next one."""
    router, jar = site(storage, by_pin()), httpx.Cookies()
    ask(router, "POST", "/sign-in/ada", cookies=jar)
    assert who(router, cookies=jar) == [True, "ada", "session", None]
    hashes["ada"] = "newer hash"
    assert who(router, cookies=jar)[0] is False
    assert ask(router, "GET", "/keys", cookies=jar).text == "None"


def test_a_sign_in_without_a_pin_is_refused_where_one_is_asked_for(storage: SessionStorage) -> None:
    """But not for a user of whom no pin is asked."""
    router, jar = site(storage, by_pin()), httpx.Cookies()
    ask(router, "POST", "/sign-in/guest", cookies=jar)
    assert who(router, cookies=jar)[0] is True
    hashes["guest"] = "hash"
    assert who(router, cookies=jar)[0] is False


def test_while_somebody_acts_the_pin_is_the_actors(storage: SessionStorage) -> None:
    """And an actor who is locked out acts no more."""
    router, jar = site(storage, by_pin()), httpx.Cookies()
    ask(router, "POST", "/sign-in/staff", cookies=jar)
    ask(router, "POST", "/act/ada", cookies=jar)
    hashes["ada"] = "newer hash"
    assert who(router, cookies=jar) == [True, "ada", "session", None]
    del hashes["staff"]
    assert who(router, cookies=jar)[0] is False
    assert ask(router, "GET", "/keys", cookies=jar).text == "None"


def test_a_pin_may_be_awaited(storage: SessionStorage) -> None:
    """As `verify` may."""

    async def pin(user: str) -> str | None:
        return hashes[user]

    router, jar = site(storage, SessionScheme(pin=pin)), httpx.Cookies()
    ask(router, "POST", "/sign-in/ada", cookies=jar)
    assert who(router, cookies=jar)[0] is True
    hashes["ada"] = "newer hash"
    assert who(router, cookies=jar)[0] is False


def test_a_pin_needs_the_sign_in_of_the_session() -> None:
    """A value under a key has none."""
    with pytest.raises(ConfigurationError, match="must have pin= or read=, not both"):
        SessionScheme(read=lambda session: session.get("user"), pin=str)


# require_fresh


def fresh_site(storage: SessionStorage, **options: Any) -> Router:
    router = site(storage, SessionScheme())
    router.get("/safe", keys, middleware=[require_fresh(300, **options)])
    return router


def test_a_password_that_was_asked_long_ago_is_asked_again(
    storage: SessionStorage, clock: Clock
) -> None:
    """A 401 names the reason; after confirm() the page is there again."""
    router, jar = fresh_site(storage), httpx.Cookies()
    assert ask(router, "GET", "/safe", cookies=jar).status_code == 401
    ask(router, "POST", "/sign-in/ada", cookies=jar)
    assert ask(router, "GET", "/safe", cookies=jar).text == "ada cart"
    clock.advance(301)
    answer = ask(router, "GET", "/safe", cookies=jar)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Session error="insufficient_user_authentication", max_age="300"'
    )
    ask(router, "POST", "/confirm", cookies=jar)
    assert ask(router, "GET", "/safe", cookies=jar).text == "ada cart"


def test_an_application_answers_a_stale_sign_in_itself(storage: SessionStorage) -> None:
    """It gets the context, with the request."""
    router = fresh_site(storage, on_stale=lambda _: RedirectResponse("/confirm", 303))
    assert ask(router, "GET", "/safe").headers["location"] == "/confirm"


def test_a_websocket_of_a_stale_sign_in_is_closed(storage: SessionStorage) -> None:
    """With 1008, as by require_auth()."""
    app = session(COOKIE, storage)(require_fresh(300)(_never))
    exchange = Exchange(type="websocket")
    exchange.with_app(app)
    assert exchange.sent[-1]["code"] == 1008


def test_the_lifespan_passes_through() -> None:
    """It has no session."""
    seen = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope["type"])

    Exchange(type="lifespan").with_app(require_fresh(300)(app))
    assert seen == ["lifespan"]


async def _never(*_: Any) -> None:
    raise AssertionError("the application is not to be asked")


@pytest.mark.parametrize("seconds", [0, -1, None, "300"])
def test_a_time_that_makes_no_sense_is_refused(seconds: Any) -> None:
    """When the middleware is made."""
    with pytest.raises(ConfigurationError, match="seconds must be seconds above 0"):
        require_fresh(seconds)(_never)
