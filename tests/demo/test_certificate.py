"""The shop over HTTPS, with a certificate of its own: sessions are bound to the device."""

import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from coatcheck.demo.certificate import make_certificate
from coatcheck.demo.serving import FEATURES
from tests import servers
from tests.demo.conftest import PATIENCE
from tests.demo.shops import sign_in


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """And a server can use both files."""
    made = make_certificate(tmp_path)
    assert made.key.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.certificate, made.key)


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, str]]:
    """The fingerprint and the address that the demo prints with its command for Chromium."""
    command = [sys.executable, "-m", "coatcheck", "demo", "--port", "0", "--https"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not (found := re.search(r"-list=(\S+) \\\n\s+(https://\S+?)/", text)):
                text += process.stdout.readline()
            yield found[1], found[2]
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture
def page(told: tuple[str, str]) -> Iterator[Page]:
    """The page to sign in, in a browser that is started as the demo says."""
    flags = ["--no-sandbox", f"--enable-features={FEATURES}"]
    flags.append(f"--ignore-certificate-errors-spki-list={told[0]}")
    program = servers.find("chromium")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=program, headless=True, args=flags, base_url=told[1]
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto("/sign-in?next=/devices")
        yield page
        context.close()


def test_the_page_of_devices_says_which_are_bound(page: Page) -> None:
    """At first the browser is about to register; then the session is bound."""
    sign_in(page)
    expect(page.get_by_test_id("device")).to_have_count(1)
    for _ in range(PATIENCE // 50):
        if any(cookie["name"].endswith("-bound") for cookie in page.context.cookies()):
            break
        page.wait_for_timeout(50)
    page.reload()
    expect(page.get_by_test_id("bound")).to_have_text("bound to the device")
