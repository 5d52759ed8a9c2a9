"""Debian's Chromium, for tests of pages."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests import servers


@contextmanager
def launched() -> Iterator[Browser]:
    """Yield a browser without a window; its event loop bars every other one of the thread."""
    flags = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=servers.find("chromium"), args=flags)
        yield browser
        browser.close()
