"""Django, whose users count only on their device: `session(..., bound=…)` around the project."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import override_settings

from coatcheck import Session, session
from coatcheck._session.binding import UNDER_WAY
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.frameworks.django.test_options import OURS
from tests.frameworks.django_site import migrate
from tests.frameworks.test_bound import BOUND, COOKIE, LONG, HttpBrowser, of_wsgi

RIGHT = "analytical engine"

Respond = Callable[[Any], Any]


def session_of(request: Any) -> Session:
    found: Session = request.environ["coatcheck.session"]
    return found


def logged_in(request: Any, user: Any, **_: object) -> None:
    session_of(request).sign_in(str(user.pk))


def logged_out(request: Any, **_: object) -> None:
    session_of(request).sign_out()


def only_bound(get_response: Respond) -> Respond:
    """Return Django's middleware of the page: a user counts only as far as the outer session."""

    def respond(request: Any) -> Any:
        proved = session_of(request).signed_in
        if proved is None or proved.user != str(request.user.pk):
            request.user = AnonymousUser()
        return get_response(request)

    return respond


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    """The tables of the site."""
    migrate()
    yield
    connections.close_all()


@pytest.fixture
def ada() -> Iterator[None]:
    """A user of the site, whose sign-ins the outer session follows."""
    from django.contrib.auth.models import User

    user = User.objects.create_user("ada", password=RIGHT)
    user_logged_in.connect(logged_in)
    user_logged_out.connect(logged_out)
    yield
    user_logged_in.disconnect(logged_in)
    user_logged_out.disconnect(logged_out)
    user.delete()


@contextmanager
def site(clock: Clock) -> Iterator[HttpBrowser]:
    """Yield a browser of the site, with the middleware of the page."""
    middleware = [*OURS[:2], f"{__name__}.only_bound", *OURS[2:]]
    with override_settings(MIDDLEWARE=middleware):
        project = session(COOKIE, MemoryStorage(clock=clock), bound=BOUND).wsgi(
            get_wsgi_application()
        )
        with of_wsgi(project) as ask:
            yield HttpBrowser(ask)  # type: ignore[arg-type]


def visit(browser: HttpBrowser, path: str) -> Any:
    """Open a page whose body is no JSON."""
    ask: Any = browser.shell
    got = ask("GET", path, {"cookie": browser.header or ""})
    browser.take([(name.lower(), value) for name, value in got.headers.multi_items()])
    return got


@pytest.mark.usefixtures("ada", "kept")
def test_a_user_counts_on_their_device_alone(clock: Clock) -> None:
    """Django's `login()` offers; copies of both long cookies are nobody; logging out ends it."""
    with site(clock) as browser:
        visit(browser, f"/sign-in?password={RIGHT}")
        assert browser.registers().status == 200
        assert browser.get("/who")["user"] == "ada"
        clock.advance(UNDER_WAY)
        for names in ([LONG, "sessionid"], ["sessionid"], [LONG]):
            thief = HttpBrowser(
                browser.shell, cookies={name: browser.cookies[name] for name in names}
            )
            assert thief.get("/who")["user"] == ""
        assert browser.get("/who")["user"] == "ada"
        clock.advance(BOUND.seconds)
        assert browser.refreshes().status == 200
        assert browser.get("/who")["user"] == "ada"
        visit(browser, "/sign-out")
        assert browser.get("/who")["user"] == ""
        assert not any(LONG in name for name in browser.cookies)


@pytest.mark.usefixtures("ada", "kept")
def test_a_browser_without_proof_can_sign_in_again(clock: Clock) -> None:
    """Also while Django's own session still holds the user."""
    with site(clock) as browser:
        visit(browser, f"/sign-in?password={RIGHT}")
        assert browser.registers().status == 200
        clock.advance(BOUND.seconds)
        assert browser.get("/who")["user"] == ""
        visit(browser, f"/sign-in?password={RIGHT}")
        assert browser.get("/who")["user"] == "ada"
        assert browser.registers().status == 200
