"""Chromium, for the tests that look at the shop."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.chromium import launched

PATIENCE = 10_000
"""Milliseconds to wait for anything on a page."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; it ends with the module, because its event loop bars every other one."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def browser(chromium: Browser, shop: str) -> Iterator[BrowserContext]:
    """A browser on the shop."""
    with chromium.new_context(base_url=shop) as context:
        context.set_default_timeout(PATIENCE)
        yield context


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    """The front page, opened for the first time: no cookies are left of an earlier visit."""
    browser.clear_cookies()
    page = browser.new_page()
    page.goto("/")
    yield page
    for each in browser.pages:
        each.close()
