"""The demo as a process of its own, and what a visitor does in every test."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page

COOKIE = "coatcheck_demo"


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """Run the demo on a free port, and yield its address once it is printed."""
    command = [sys.executable, "-m", "coatcheck", "demo", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = iter(process.stdout.readline, "")
            yield next(found[0] for line in told if (found := re.search(r"https?://\S+", line)))
        finally:
            process.terminate()
            process.wait(timeout=10)


def sign_in(page: Page, password: str = "ticket") -> None:
    """Fill in the form, on whose page the visitor is already, and send it."""
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def value_of_cookie(page: Page) -> str:
    """Return what the browser's only cookie holds."""
    (cookie,) = page.context.cookies()
    return cookie["value"]
