"""Django's sessions, bound to a device, in Debian's Chromium over https."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.db import connections
from django.test import override_settings
from playwright.sync_api import Page

from coatcheck import Bound
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.browser.bound_site import BOUND_COOKIE, COOKIE, served
from tests.browser.test_bound import Browsers, certificate, chromium, started, until
from tests.certificates import Certificate
from tests.frameworks.django.test_bound import CSRF, RIGHT
from tests.frameworks.django.test_options import OURS
from tests.frameworks.django_site import migrate

__all__ = ["certificate", "chromium"]  # fixtures

SETTINGS: dict[str, Any] = {
    "MIDDLEWARE": [OURS[0], CSRF, *OURS[1:]],
    "SESSION_COOKIE_NAME": COOKIE,
    "SESSION_COOKIE_SECURE": True,
    "COATCHECK_OPTIONS": {"bound": Bound(), "user_key": "_auth_user_id"},
}


def _with_ada() -> None:
    """Make the tables and a user; in a thread: the browser's event loop is in the test's."""
    from django.contrib.auth.models import User

    migrate()
    User.objects.filter(username="ada").delete()
    User.objects.create_user("ada", password=RIGHT)
    connections.close_all()


class Site:
    """The Django site, and what it was asked for."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.log: list[str] = []
        self.origin = ""
        self._django = get_asgi_application()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.log.append(f"{scope['method']} {scope['path']} {message['status']}")
            await send(message)

        await self._django(scope, receive, noted)


@contextmanager
def django_site(certificate: Certificate) -> Iterator[Site]:
    with override_settings(**SETTINGS):
        site = Site()
        with (
            override_settings(COATCHECK_STORAGE=MemoryStorage(clock=site.clock)),
            served(site, certificate.certificate, certificate.key) as port,
        ):
            site.origin = f"https://localhost:{port}"
            yield site


@pytest.mark.thorough
def test_django_is_bound_in_a_browser(certificate: Certificate, chromium: Any) -> None:
    """Registered, refreshed, stolen in vain, signed out."""
    maker = threading.Thread(target=_with_ada)
    maker.start()
    maker.join()
    with django_site(certificate) as site, started(chromium, certificate) as start:
        _visits(site, start)


def _visits(site: Site, start: Browsers) -> None:
    context = start()
    page = context.new_page()
    page.goto(f"{site.origin}/sign-in?password={RIGHT}")
    if not _registers(site):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this Chromium binds no sessions")
    until(lambda: any(each["name"] == BOUND_COOKIE for each in context.cookies()))
    assert _says(page, site) == '{"user": "ada", "bound": true}'
    site.clock.advance(60)
    for asks in (2, 1):
        before = len(site.log)
        context.clear_cookies(name=BOUND_COOKIE)
        assert _says(page, site) == '{"user": "ada", "bound": true}'
        asked = [each for each in site.log[before:] if "refresh" in each]
        assert asked == ["POST /_session/refresh 403", "POST /_session/refresh 200"][-asks:]
    thief = start()
    stolen = [each for each in context.cookies() if each["name"] == COOKIE]
    thief.add_cookies(stolen)  # type: ignore[arg-type] # as Playwright gave it
    assert _says(thief.new_page(), site) == '{"user": "", "bound": false}'
    assert _says(page, site) == '{"user": "ada", "bound": true}'
    page.goto(f"{site.origin}/sign-out")
    assert not [each for each in context.cookies() if COOKIE in each["name"]]
    assert _says(page, site) == '{"user": "", "bound": false}'


def _says(page: Page, site: Site) -> str:
    page.goto(f"{site.origin}/bound")
    return page.inner_text("pre")


def _registers(site: Site) -> bool:
    """Wait until the browser registers, and tell whether it does."""
    try:
        until(lambda: "POST /_session/register 200" in site.log)
    except pytest.fail.Exception:
        return False
    return True
