"""Chromium, for the tests that look at the shop."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests import servers

PATIENCE = 5000
"""Milliseconds to wait for anything on a page."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; it ends with the module, because its event loop bars every other one."""
    program = servers.find("chromium")
    flags = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Browser, shop: str) -> Iterator[BrowserContext]:
    """A browser's window on the shop, with no cookies yet."""
    with chromium.new_context(base_url=shop) as context:
        context.set_default_timeout(PATIENCE)
        yield context
