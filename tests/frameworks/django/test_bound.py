"""Django's sessions, bound to a device: `COATCHECK_OPTIONS = {"bound": Bound()}`."""

import importlib
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.base import UpdateError
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import override_settings

from coatcheck import Bound, Event, adopt
from coatcheck._session.binding import UNDER_WAY
from coatcheck.testing import Clock
from tests.adopt.formats import Records
from tests.bound_browsers import REFRESH
from tests.frameworks.django.test_adoption import KEY, RECORD
from tests.frameworks.django.test_options import OURS
from tests.frameworks.django_site import migrate
from tests.frameworks.test_bound import HttpBrowser, of_asgi, of_wsgi

RIGHT = "analytical engine"
LONG, SHORT = "__Host-shop", "__Host-shop-bound"
BOUND = Bound(exclude=["/add"])
CSRF = "django.middleware.csrf.CsrfViewMiddleware"

LINK = {
    "sec_fetch_site": "cross-site",
    "sec_fetch_mode": "navigate",
    "sec_fetch_dest": "document",
}

SETTINGS: dict[str, Any] = {
    "MIDDLEWARE": [OURS[0], CSRF, *OURS[1:]],
    "SESSION_COOKIE_NAME": LONG,
    "SESSION_COOKIE_SECURE": True,
}


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    """The tables of the site."""
    migrate()
    yield
    connections.close_all()


@pytest.fixture(autouse=True)
def _ada(kept: object) -> Iterator[None]:
    """A user of the site, whose sessions are in memory."""
    from django.contrib.auth.models import User

    assert kept
    user = User.objects.create_user("ada", password=RIGHT)
    yield
    user.delete()


class Browser(HttpBrowser):
    """A browser of the site."""

    def ask_for(self, path: str, **headers: str) -> httpx.Response:
        """Open a page, and return the response."""
        ask: Any = self.shell
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        got: httpx.Response = ask("GET", path, {"cookie": self.header or "", **sent})
        self.take([(name.lower(), value) for name, value in got.headers.multi_items()])
        return got

    def binds(self, way: str = "") -> "Browser":
        """Sign in, and bind the session."""
        self.ask_for(f"{way}/sign-in?password={RIGHT}")
        assert self.registers().status == 200
        return self

    def copied(self, *names: str) -> "Browser":
        """Return a thief's browser, with copies of these cookies."""
        return Browser(self.shell, cookies={name: self.cookies[name] for name in names})


@contextmanager
def site(*, of: Any = None, bound: Bound = BOUND, **options: Any) -> Iterator[Browser]:
    """Yield a browser of the site."""
    chosen = {"bound": bound, "user_key": "_auth_user_id", **options}
    with (
        override_settings(COATCHECK_OPTIONS=chosen, **SETTINGS),
        (of or of_wsgi)(get_asgi_application() if of else get_wsgi_application()) as ask,
    ):
        yield Browser(ask)  # type: ignore[arg-type]


@pytest.fixture
def browser() -> Iterator[Browser]:
    with site() as found:
        yield found


@pytest.mark.parametrize(("of", "way"), [(None, ""), (of_asgi, ""), (of_asgi, "/async")])
def test_a_session_is_bound(of: Any, way: str, clock: Clock) -> None:
    """Offered, registered, read, refreshed; its cookie alone is nobody's; signing out ends it."""
    with site(of=of) as browser:
        browser.ask_for(f"{way}/sign-in?password={RIGHT}")
        assert browser.get(f"{way}/bound") == {"user": "ada", "bound": False}
        assert browser.registers().status == 200
        assert browser.get(f"{way}/bound") == {"user": "ada", "bound": True}
        clock.advance(UNDER_WAY)
        assert browser.copied(LONG).get(f"{way}/bound") == {"user": "", "bound": False}
        assert browser.refreshes("a.b.c").status == 400
        clock.advance(BOUND.seconds)
        assert browser.get(f"{way}/who")["user"] == ""
        assert browser.refreshes().status == 200
        assert browser.get(f"{way}/bound") == {"user": "ada", "bound": True}
        browser.ask_for(f"{way}/sign-out")
        assert not any(LONG in name for name in browser.cookies)


def test_what_a_browser_asks_for_is_no_warning(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """Django logs responses of 403 and 503, and mails the latter; here they are no mistake."""
    browser.binds()
    assert browser.send(REFRESH, sec_secure_session_id=browser.id).status == 403
    assert [each for each in caplog.records if each.name == "django.request"] == []


def test_the_cookies_are_those_of_the_settings(browser: Browser) -> None:
    """The second has the prefix __Host-, and the attributes that the browser was told."""
    browser.ask_for(f"/sign-in?password={RIGHT}")
    answer = browser.registers()
    lines = [value.strip() for name, value in answer.headers if name == "set-cookie"]
    (short,) = [line for line in lines if line.startswith(SHORT)]
    parts = {part.strip() for part in short.split(";")[1:]}
    assert parts >= {"HttpOnly", "Path=/", "SameSite=Lax", "Secure", "Max-Age=600"}
    assert f'"name": "{SHORT}"'.encode() in answer.body
    assert dict(answer.headers)["cache-control"] == "no-store"


def test_a_request_without_proof_is_a_visitors(browser: Browser, clock: Clock) -> None:
    """It sends nothing and ends nothing; what it writes is its own; signing in again works."""
    browser.binds()
    clock.advance(UNDER_WAY)
    thief = browser.copied(LONG)
    for path in ("/who", "/out", "/sign-out", "/nothing", "/slow"):
        assert "set-cookie" not in thief.ask_for(path).headers
    assert browser.get("/bound") == {"user": "ada", "bound": True}
    thief.ask_for("/renew/clear")
    thief.ask_for("/renew/cycle_key")
    assert thief.cookies[LONG] != browser.cookies[LONG]
    assert thief.get("/bound") == {"user": "", "bound": False}
    again = browser.copied(LONG).binds()
    assert again.get("/bound") == browser.get("/bound") == {"user": "ada", "bound": True}


@pytest.mark.parametrize("act", ["delete", "adelete", "flush", "aflush", "clear", "create"])
def test_a_copy_harms_nothing(browser: Browser, clock: Clock, engine: Any, act: str) -> None:
    """Code without a request has no proof, either, such as a consumer of sockets or a task."""
    browser.binds()
    browser.ask_for("/cart")
    clock.advance(UNDER_WAY)
    store = engine.SessionStore(browser.cookies[LONG])
    call = getattr(store, act)
    (async_to_sync(call) if act[0] == "a" else call)()
    if act == "clear":
        store.save()
    assert dict(store.items()) == {}
    assert store.session_key != browser.cookies[LONG]
    assert browser.get("/bound") == {"user": "ada", "bound": True}


def test_a_session_that_a_visitor_began_without_proof_is_theirs_to_end(
    browser: Browser, clock: Clock, engine: Any
) -> None:
    """Within the same request: it is no longer the bound one that is meant."""
    browser.binds()
    clock.advance(UNDER_WAY)
    store = engine.SessionStore(browser.cookies[LONG])
    store["cart"] = [1]
    store.save()
    own = store.session_key
    store.flush()
    assert dict(engine.SessionStore(own).items()) == {}
    assert browser.get("/bound") == {"user": "ada", "bound": True}


def test_a_copy_ends_nothing_by_its_expiry(browser: Browser, clock: Clock, engine: Any) -> None:
    """And the browser's cookie stays."""
    browser.binds()
    clock.advance(UNDER_WAY)
    store = engine.SessionStore(browser.cookies[LONG])
    store.set_expiry(-1)
    with pytest.raises(UpdateError):
        store.save()
    assert browser.get("/bound") == {"user": "ada", "bound": True}


def test_a_refused_refresh_renews_nothing(browser: Browser) -> None:
    """Also where Django saves with every request."""
    browser.binds()
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        answer = browser.refreshes("a.b.c")
    assert (answer.status, "set-cookie" in dict(answer.headers)) == (400, False)


def test_a_sign_in_that_cannot_be_kept_is_loud(browser: Browser, clock: Clock) -> None:
    """Where a browser skipped the proof: another cookie would take the place of the bound one."""
    browser.binds()
    clock.advance(UNDER_WAY)
    path, copy = f"/sign-in?password={RIGHT}", browser.copied(LONG)
    answer = copy.ask_for(path, secure_session_skipped="quota_exceeded")
    assert (answer.status_code, "set-cookie" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/add/tea", {}),
        ("/slow?write", {"secure_session_skipped": "quota_exceeded"}),
        ("/slow?write", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}),
        ("/slow?out", {"secure_session_skipped": "quota_exceeded"}),
    ],
)
def test_where_browsers_send_no_proof_nothing_is_kept(
    browser: Browser, clock: Clock, path: str, headers: dict[str, str]
) -> None:
    """The response leaves, without a cookie: that would take the place of the bound one."""
    browser.binds()
    clock.advance(BOUND.seconds)
    browser.cookies.pop(SHORT)
    response = browser.ask_for(path, **headers)
    assert (response.status_code, "set-cookie" in response.headers) == (200, False)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert "set-cookie" not in browser.ask_for("/add/tea").headers
    assert browser.refreshes().status == 200
    assert browser.get("/bound") == {"user": "ada", "bound": True}
    assert browser.get("/cart") is None


def test_a_link_from_elsewhere_loads_the_page_again(browser: Browser, clock: Clock) -> None:
    """From the own origin, so that the browser refreshes first; not with a proof, nor a visitor."""
    assert browser.ask_for("/who", **LINK).json()["user"] == ""
    browser.binds()
    assert browser.ask_for("/who", **LINK).json()["user"] == "ada"
    clock.advance(BOUND.seconds)
    response = browser.ask_for("/who", **LINK)
    assert (response.headers["refresh"], "set-cookie" in response.headers) == ("2", False)
    assert "/_session/reload.js" in response.text
    assert browser.ask_for("/_session/reload.js").text == "location.reload()"


@pytest.mark.parametrize("way", ["cycle_key", "create"])
def test_a_request_under_way_gets_no_other_key(browser: Browser, way: str) -> None:
    """It is served for 30 seconds. A key, or a copy of the session, would be a thief's to bind."""
    browser.binds()
    thief = browser.copied(LONG)
    assert thief.get("/bound") == {"user": "ada", "bound": False}
    response = thief.ask_for(f"/renew/{way}")
    assert "secure-session-registration" not in response.headers
    assert response.json() == browser.cookies[LONG] == thief.cookies[LONG]
    assert browser.get("/bound") == {"user": "ada", "bound": True}


@pytest.mark.parametrize("way", ["cycle_key", "create"])
def test_another_key_keeps_the_binding(browser: Browser, clock: Clock, way: str) -> None:
    """Of a request that proved its device; the old key leads nowhere."""
    browser.binds()
    before = browser.copied(LONG, SHORT)
    assert browser.ask_for(f"/renew/{way}").json() != before.cookies[LONG]
    assert browser.get("/bound") == {"user": "ada", "bound": True}
    assert before.get("/bound") == {"user": "", "bound": False}
    clock.advance(BOUND.seconds)
    assert browser.refreshes().status == 200


def test_a_rotation_keeps_the_binding(clock: Clock) -> None:
    """A request of a page renews the key, a refresh does not."""
    with site(rotate=600) as browser:
        browser.binds()
        before = browser.cookies[LONG]
        clock.advance(BOUND.seconds)
        assert browser.refreshes().status == 200
        assert browser.cookies[LONG] == before
        browser.ask_for("/slow?write")
        assert browser.cookies[LONG] != before
        assert browser.get("/bound") == {"user": "ada", "bound": True}


def test_a_refresh_during_a_sign_out_binds_nothing(
    browser: Browser, clock: Clock, kept: Any
) -> None:
    """The browser is asked to come again, or told that the session ended."""
    browser.binds()
    clock.advance(BOUND.seconds)
    assert browser.send("/_session/refresh", sec_secure_session_id=browser.id).status == 403
    late = browser.copied(LONG)
    late.id, late.key, late.challenge = browser.id, browser.key, browser.challenge
    swap = kept.backend.swap

    def meanwhile(*args: Any) -> Any:
        kept.backend.swap = swap
        browser.refreshes()
        browser.ask_for("/sign-out")
        return swap(*args)

    kept.backend.swap = meanwhile
    answer = late.refreshes()
    assert answer.status == 503
    assert "set-cookie" not in dict(answer.headers)
    assert b'"continue": false' in late.refreshes().body
    assert late.get("/bound") == {"user": "", "bound": False}


def test_what_a_device_does_is_an_event(clock: Clock) -> None:
    """A registration, a refused proof, and a request without one."""
    events: list[Event] = []
    with site(on_event=events.append) as browser:
        browser.binds()
        clock.advance(UNDER_WAY)
        browser.refreshes("a.b.c")
        browser.copied(LONG).get("/who")
    told = [(it.kind, it.reason) for it in events if it.kind in ("bound", "refused")]
    assert told == [
        ("bound", ""),
        ("refused", "device: malformed"),
        ("refused", "device: no proof"),
    ]


def test_round_trips_are_as_promised(browser: Browser, kept: Any) -> None:
    """A page: as ever. A registration and a refresh: a read and a write. Asking first: a read."""
    calls: list[str] = []

    def counts(name: str) -> None:
        asked = getattr(kept.backend, name)

        def noted(*call: Any) -> Any:
            calls.append(name)
            return asked(*call)

        setattr(kept.backend, name, noted)

    def counted(act: Callable[[], object]) -> list[str]:
        calls.clear()
        act()
        return list(calls)

    browser.ask_for(f"/sign-in?password={RIGHT}")
    counts("get")
    counts("swap")
    assert counted(browser.registers) == ["get", "swap"]
    assert counted(lambda: browser.send(REFRESH, sec_secure_session_id=browser.id)) == ["get"]
    assert counted(browser.refreshes) == ["get", "swap"]
    assert counted(lambda: browser.ask_for("/cart")) == ["get"]
    assert counted(lambda: browser.ask_for("/nothing")) == []
    assert counted(lambda: Browser(browser.shell).ask_for("/cart", **LINK)) == []


def test_only_a_bound_session_passes(clock: Clock) -> None:
    """`require_bound()` guards plain and asynchronous views; it does nothing unless required."""
    for path in ("/guarded", "/async/guarded"):
        with site(of=of_asgi, bound=Bound(required=True)) as browser:
            assert browser.ask_for(path).status_code == 403
            browser.ask_for(f"/sign-in?password={RIGHT}")
            waits = browser.ask_for(path)
            assert (waits.status_code, waits.headers["refresh"]) == (403, "1")
            browser.binds()
            assert browser.ask_for(path).status_code == 200
            assert browser.copied(LONG).ask_for(path).status_code == 403
            clock.advance(UNDER_WAY)
            skipped = browser.copied(LONG).ask_for(path, secure_session_skipped="unreachable")
            assert skipped.status_code == 403
        with site(of=of_asgi) as browser:
            assert browser.ask_for(path).status_code == 200
    with override_settings(MIDDLEWARE=OURS), of_wsgi(get_wsgi_application()) as ask:
        assert Browser(ask).ask_for("/guarded").status_code == 500  # type: ignore[arg-type]


def test_a_session_that_was_adopted_is_bound(clock: Clock) -> None:
    """The cookie of Django's own engine leads to it for a while, and is no proof."""
    records = Records({RECORD: pickle.dumps({"cart": [1]})})
    with site(adopts=[adopt.DjangoCache(records, name=LONG)]) as browser:
        browser.cookies[LONG] = KEY
        browser.ask_for("/become/7")
        assert browser.registers().status == 200
        assert browser.get("/cart") == [1]
        clock.advance(UNDER_WAY)
        thief = Browser(browser.shell, cookies={LONG: KEY})
        assert thief.get("/cart") is None
        assert browser.get("/cart") == [1]


@pytest.mark.parametrize(
    ("options", "wrong", "says"),
    [
        ({"bound": 7}, {}, "bound must be a Bound, got int"),
        ({"bound": BOUND, "user_key": None}, {}, "bound needs user_key"),
        ({"bound": BOUND}, {"SESSION_COOKIE_SECURE": False}, "SESSION_COOKIE_SECURE must be True"),
        ({"bound": BOUND}, {"SESSION_COOKIE_DOMAIN": "example.org"}, "SESSION_COOKIE_DOMAIN None"),
        ({"bound": BOUND}, {"SESSION_COOKIE_PATH": "/shop"}, "SESSION_COOKIE_PATH '/'"),
        ({"bound": BOUND}, {"MIDDLEWARE": OURS[1:]}, "has no effect under Django's own"),
    ],
)
def test_settings_that_bind_nothing_are_told(
    engine: Any, options: dict[str, Any], wrong: dict[str, Any], says: str
) -> None:
    """When the application starts."""
    options = {"user_key": "_auth_user_id", **options}
    with (
        override_settings(**{"COATCHECK_OPTIONS": options, **SETTINGS, **wrong}),
        pytest.raises(ImproperlyConfigured, match=says),
    ):
        importlib.reload(engine)
