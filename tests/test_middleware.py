"""`session()`, as users call it: options, rotation, storages of one's own."""

import asyncio
import inspect
import pydoc
import warnings
from collections.abc import Iterator

import pytest

from coatcheck import CoatcheckWarning, ConfigurationError, Cookie, CookieTooLarge, Session, session
from coatcheck._request.cycle import Cycle
from coatcheck._request.options import Options
from coatcheck.asgi import SessionMiddleware as AsgiMiddleware
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, MemoryStorage, Powers
from coatcheck.testing import Clock
from coatcheck.wsgi import SessionMiddleware as WsgiMiddleware
from tests.hosts import COOKIE, SECRET, Browser, Front, asgi_app, ask_asgi, wsgi_app
from tests.storage_kinds import Made, front_of

NEWER = "another secret of more than thirty-two characters"


@pytest.fixture(params=["asgi", "wsgi"])
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """A front end over memory."""
    with front_of(request.param, Made(MemoryStorage(clock=clock))) as front:
        yield front


def sign_in(browser: Browser) -> None:
    browser.ask(lambda session: session.update(user=1))


def test_one_call_serves_asgi_and_wsgi() -> None:
    """`session(...)(app)` and `session(...).wsgi(app)`."""
    sessions = session(COOKIE, MemoryStorage())
    assert isinstance(sessions(asgi_app), AsgiMiddleware)
    assert isinstance(sessions.wsgi(wsgi_app), WsgiMiddleware)


def test_help_shows_every_option_with_its_default() -> None:
    """`help(coatcheck.session)` needs no other page."""
    shown = pydoc.plain(pydoc.render_doc(session))
    for option in inspect.signature(session).parameters.values():
        assert f"        {option.name}: " in shown
        if option.kind is option.KEYWORD_ONLY:
            assert option.default is not option.empty
            assert f"{option.name}: {inspect.formatannotation(option.annotation)}" in shown


def test_every_way_in_takes_the_same_options() -> None:
    """With the same defaults: `session`, the two classes and the frameworks' adapters."""
    explained = inspect.signature(session).parameters
    assert set(explained) == {"cookie", "storage", *Options.__annotations__}
    carried_out = inspect.signature(Cycle).parameters
    assert {name: option.default for name, option in explained.items()} == {
        name: option.default for name, option in carried_out.items()
    }


def test_configuration_fails_before_any_application_is_there() -> None:
    """In `session()` itself."""
    with pytest.raises(ConfigurationError):
        session(Cookie("plain"), MemoryStorage())
    with pytest.raises(ConfigurationError):
        session(COOKIE, MemoryStorage(), refresh=2)


def test_a_warning_points_at_the_line_that_configures() -> None:
    """Three ways to make it, three times this file."""
    cookie = Cookie("s", secrets=[SECRET], httponly=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session(cookie, MemoryStorage())
        AsgiMiddleware(asgi_app, cookie, MemoryStorage())
        WsgiMiddleware(wsgi_app, cookie, MemoryStorage())
    assert [warning.category for warning in caught] == [CoatcheckWarning] * 3
    assert {warning.filename for warning in caught} == {__file__}


def test_an_asynchronous_storage_is_for_asgi_alone() -> None:
    """`.wsgi()` refuses it; calling it with an ASGI application does not."""
    storage = AsyncKeyedStorage(MemoryStorage().backend)  # type: ignore[arg-type]
    sessions = session(COOKIE, storage)
    assert isinstance(sessions(asgi_app), AsgiMiddleware)
    with pytest.raises(ConfigurationError, match="plain methods"):
        sessions.wsgi(wsgi_app)


def test_what_an_older_secret_sealed_is_sealed_anew(front: Front) -> None:
    """A rotation needs no visitor to do anything: looking is enough, even without a look."""
    older = front.browser()
    sign_in(older)
    rotated = front.browser(Cookie("__session", secrets=[NEWER, SECRET]))
    rotated.header = older.header
    answer = rotated.ask(lambda _: None)
    assert rotated.header != older.header
    assert answer.all("cache-control") == ["private"]
    assert answer.all("vary") == ["Cookie"]
    finished = front.browser(Cookie("__session", secrets=[NEWER]))
    finished.header = rotated.header
    assert finished.ask(lambda session: session.get("user")).json == 1
    assert finished.ask(lambda _: None).all("set-cookie") == []


def test_a_stale_cookie_without_a_session_is_left_alone(front: Front) -> None:
    """There is nothing to seal anew where no session is found."""
    rotated = front.browser(Cookie("__session", secrets=[NEWER, SECRET]))
    rotated.header = COOKIE.serialize("A" * 40).partition(";")[0]
    assert rotated.ask(lambda session: session.get("user")).all("set-cookie") == []


def test_a_session_of_another_cookie_is_no_session(front: Front) -> None:
    """One storage, two cookies, one secret: a record belongs to the cookie it was made for."""
    ours, theirs = front.browser(), front.browser(Cookie("other", secrets=[SECRET]))
    sign_in(ours)
    value = ours.value or ""
    theirs.header = theirs.cookie.serialize(value).partition(";")[0]
    assert theirs.ask(lambda session: session.is_new).json is True
    assert ours.ask(lambda session: session.get("user")).json == 1


def test_a_storage_of_ones_own_needs_two_methods() -> None:
    """Plain data in, plain data out; everything else is the middleware's."""

    class Drawer:
        powers = Powers(waits=False)

        def __init__(self) -> None:
            self.held: dict[str, dict[str, object]] = {}

        def read(self, value: str | None) -> Session:
            return Session(self.held[value], id=value) if value in self.held else Session()

        def save(self, session: Session) -> str | None:
            if session.destroyed:
                self.held.pop(session.issued_id or "", None)
                return ""
            self.held[session.id] = dict(session)
            return session.id

    drawer = Drawer()
    for name in ("asgi", "wsgi"):
        with front_of(name, Made(drawer)) as front:
            browser = front.browser()
            sign_in(browser)
            assert browser.ask(lambda session: session.get("user")).json == 1
            assert browser.ask(lambda session: session.destroy()).all("set-cookie")
            assert browser.header is None
    assert drawer.held == {}


def test_an_async_storage_of_ones_own_is_awaited() -> None:
    """Both methods may be `async def`."""
    held: dict[str, dict[str, object]] = {}

    class Drawer:
        async def read(self, value: str | None) -> Session:
            return Session(held[value], id=value) if value in held else Session()

        async def save(self, session: Session) -> str | None:
            held[session.id] = dict(session)
            return session.id

    app = session(COOKIE, Drawer())(asgi_app)

    async def scene() -> None:
        answer = await ask_asgi(app, lambda session: session.update(user=1))
        header = answer.all("set-cookie")[0].partition(";")[0]
        found = await ask_asgi(app, lambda session: session.get("user"), header)
        assert found.json == 1

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["asgi", "wsgi"])
def test_a_session_that_fits_no_cookie_is_refused_and_none_is_sent(name: str) -> None:
    """The error comes in the request that grew it; the browser keeps what it had."""
    with front_of(name, Made(CookieStorage())) as front:
        browser = front.browser()
        sign_in(browser)
        before = browser.header
        with pytest.raises(CookieTooLarge):
            browser.ask(lambda session: session.update(text="x" * 4096))
        assert browser.header == before
