"""Sessions that are bound to a device, in Debian's Chromium over https."""

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright

from tests import servers
from tests.browser.bound_site import BOUND_COOKIE, COOKIE, FEATURES, Site, served
from tests.certificates import Authority, Certificate

PATIENCE = 10_000
"""Milliseconds to wait for anything on a page."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Playwright]:
    """What starts browsers; it ends with the module, because its event loop bars every other."""
    servers.find("chromium")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that no authority of the browser knows."""
    return Authority(tmp_path_factory.mktemp("tls")).certificate("127.0.0.1")


@pytest.fixture
def site(certificate: Certificate) -> Iterator[Site]:
    """A site at https://localhost."""
    site = Site()
    with served(site, certificate.certificate, certificate.key) as port:
        site.origin = f"https://localhost:{port}"
        yield site


@pytest.fixture
def elsewhere(certificate: Certificate) -> Iterator[str]:
    """The address of another site: a host of another name."""
    with served(Site(), certificate.certificate, certificate.key) as port:
        yield f"https://127.0.0.1:{port}/"


Browsers = Callable[[], BrowserContext]


@pytest.fixture
def browsers(chromium: Playwright, certificate: Certificate) -> Iterator[Browsers]:
    """
    Start browsers.

    A test asks for the sites first: a site closes when no browser is connected to it any more.
    """
    with started(chromium, certificate) as start:
        yield start


@contextmanager
def started(chromium: Playwright, certificate: Certificate) -> Iterator[Browsers]:
    """Start browsers, each with a profile of its own: bound sessions need one."""
    flags = ["--no-sandbox", "--disable-background-networking", f"--enable-features={FEATURES}"]
    flags.append(f"--ignore-certificate-errors-spki-list={_fingerprint(certificate)}")
    running: list[tuple[BrowserContext, TemporaryDirectory[str]]] = []

    def start() -> BrowserContext:
        folder = TemporaryDirectory(ignore_cleanup_errors=True)
        context = chromium.chromium.launch_persistent_context(
            folder.name, executable_path=servers.find("chromium"), headless=True, args=flags
        )
        context.set_default_timeout(PATIENCE)
        running.append((context, folder))
        return context

    try:
        yield start
    finally:
        for context, folder in running:
            context.close()
            folder.cleanup()


def _fingerprint(certificate: Certificate) -> str:
    """Return the digest of a public key by which Chromium takes a certificate of ours."""
    made = x509.load_pem_x509_certificate(certificate.certificate.read_bytes())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    key = made.public_key().public_bytes(serialization.Encoding.DER, form)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what the browser does by itself."""
    for _ in range(PATIENCE // 20):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("the browser did not do it in time")


def visit(page: Page, site: Site, path: str) -> tuple[str, list[str]]:
    """Open a page; return what it says, and what the server was asked for that."""
    before = len(site.log)
    page.goto(site.origin + path)
    return page.inner_text("h1"), site.asked(before)


def signed_in(context: BrowserContext, site: Site) -> Page:
    """Return a page of a user whose browser has bound the session."""
    page = context.new_page()
    said, _ = visit(page, site, "/sign-in")
    assert said == "ada free"
    if not _registers(site):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this Chromium binds no sessions")
    until(lambda: any(cookie["name"] == BOUND_COOKIE for cookie in context.cookies()))
    return page


def _registers(site: Site) -> bool:
    """Wait until the browser registers, and tell whether it does."""
    for _ in range(PATIENCE // 20):
        if any(path.endswith("/register") for _, path, _ in site.log):
            return True
        time.sleep(0.02)
    return False


def without_proof(context: BrowserContext) -> None:
    """Take the bound cookie away, as if its time were over."""
    context.clear_cookies(name=BOUND_COOKIE)


def test_a_session_is_registered_and_refreshed(site: Site, browsers: Browsers) -> None:
    """By the browser itself: after the sign-in, and when its bound cookie is missing."""
    context = browsers()
    page = signed_in(context, site)
    assert site.asked() == ["GET /sign-in 200", "POST /_session/register 200"]
    (cookie,) = [each for each in context.cookies() if each["name"] == BOUND_COOKIE]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
    assert visit(page, site, "/page") == ("ada bound", ["GET /page 200"])
    without_proof(context)
    first = ["POST /_session/refresh 403", "POST /_session/refresh 200", "GET /page 200"]
    assert visit(page, site, "/page") == ("ada bound", first)
    for _ in range(3):
        without_proof(context)
        later = ["POST /_session/refresh 200", "GET /page 200"]
        assert visit(page, site, "/page") == ("ada bound", later)


@pytest.mark.thorough
def test_a_bound_cookie_that_is_about_to_end_is_refreshed(site: Site, browsers: Browsers) -> None:
    """Before its end: a cookie that has less than two minutes left counts as gone."""
    context = browsers()
    page = signed_in(context, site)
    (cookie,) = [each for each in context.cookies() if each["name"] == BOUND_COOKIE]
    cookie["expires"] = time.time() + 60
    context.add_cookies([cookie])  # type: ignore[list-item] # as Playwright gave it
    assert visit(page, site, "/page")[0] == "ada bound"  # it waits for nothing
    until(lambda: "POST /_session/refresh 200" in site.asked())


def test_out_of_scope_nothing_is_refreshed_kept_or_sent(site: Site, browsers: Browsers) -> None:
    """An excluded path has no session without the bound cookie, and changes no cookie."""
    context = browsers()
    page = signed_in(context, site)
    site.clock.advance(60)
    assert visit(page, site, "/public")[0] == "ada bound"
    without_proof(context)
    before = context.cookies()
    assert visit(page, site, "/public/keep") == ("nobody free", ["GET /public/keep 200"])
    assert context.cookies() == before
    assert visit(page, site, "/page")[0] == "ada bound"


@pytest.mark.thorough
def test_a_site_behind_a_prefix_is_bound(certificate: Certificate, chromium: Playwright) -> None:
    """A proxy takes it off; the rest of the origin is out of scope, and waits for nothing."""
    site = Site("/shop")
    with (
        served(site, certificate.certificate, certificate.key) as port,
        started(chromium, certificate) as start,
    ):
        site.origin = f"https://localhost:{port}"
        context = start()
        page = context.new_page()
        assert visit(page, site, "/shop/sign-in")[0] == "ada free"
        until(lambda: any(each["name"] == BOUND_COOKIE for each in context.cookies()))
        assert site.asked() == ["GET /shop/sign-in 200", "POST /shop/_session/register 200"]
        without_proof(context)
        said, asked = visit(page, site, "/shop/page")
        assert (said, asked[-2:]) == (
            "ada bound",
            ["POST /shop/_session/refresh 200", "GET /shop/page 200"],
        )
        without_proof(context)
        assert visit(page, site, "/blog") == ("False", ["GET /blog 200"])
        site.clock.advance(60)
        assert visit(page, site, "/shop/public") == ("nobody free", ["GET /shop/public 200"])
        assert visit(page, site, "/shop/page")[0] == "ada bound"


def test_a_fetch_of_a_page_is_refreshed(site: Site, browsers: Browsers) -> None:
    """As a navigation is; so is one that sends a form."""
    context = browsers()
    page = signed_in(context, site)
    for options in ("{}", "{method: 'POST'}"):
        without_proof(context)
        assert "ada bound" in page.evaluate(f"fetch('/keep', {options}).then(r => r.text())")


@pytest.mark.thorough
def test_requests_at_once_are_all_served(site: Site, browsers: Browsers) -> None:
    """In two tabs, without a bound cookie: each waits for the refresh."""
    context = browsers()
    page, other = signed_in(context, site), context.new_page()
    visit(other, site, "/page")
    without_proof(context)
    script = """() => Promise.all([...Array(4).keys()].map(
        n => fetch('/page?' + n).then(r => r.text()).then(t => t.includes('ada bound'))))"""
    other.evaluate("() => { window.answers = (" + script + ")() }")
    assert page.evaluate(script) == [True] * 4
    assert other.evaluate("window.answers") == [True] * 4


@pytest.mark.thorough
def test_every_change_of_the_id_keeps_the_binding(site: Site, browsers: Browsers) -> None:
    """Another id, and a rotation by itself: the browser goes on with its key."""
    context = browsers()
    page = signed_in(context, site)
    for path in ("/new-id", "/page"):
        site.clock.advance(400)
        before = _cookie(context, COOKIE)
        without_proof(context)
        assert visit(page, site, path)[0] == "ada bound"
        assert _cookie(context, COOKIE) != before
    without_proof(context)
    assert visit(page, site, "/page")[0] == "ada bound"


def test_the_theft(site: Site, browsers: Browsers) -> None:
    """A copy of the long cookie is nobody's in another browser; the first one goes on."""
    context = browsers()
    page = signed_in(context, site)
    assert visit(page, site, "/page")[0] == "ada bound"
    site.clock.advance(60)
    stolen = [cookie for cookie in context.cookies() if cookie["name"] == COOKIE]
    thief = browsers()
    thief.add_cookies(stolen)  # type: ignore[arg-type] # as Playwright gave it
    assert visit(thief.new_page(), site, "/page") == ("nobody free", ["GET /page 200"])
    assert visit(thief.new_page(), site, "/keep") == ("nobody free", ["GET /keep 200"])
    without_proof(context)
    assert visit(page, site, "/page")[0] == "ada bound"


def test_a_link_from_another_site_finds_the_session(
    site: Site, elsewhere: str, browsers: Browsers
) -> None:
    """The browser refreshes for its own origin alone: the page that is sent loads itself again."""
    context = browsers()
    page = signed_in(context, site)
    site.clock.advance(60)
    for address in ("/page", "/page?a=1", "/page#part"):
        page.goto(elsewhere)
        without_proof(context)
        before = len(site.log)
        page.evaluate(f"location.href = '{site.origin}{address}'")
        page.wait_for_selector("h1:has-text('ada bound')")
        assert page.url == site.origin + address
        asked = site.asked(before)
        assert asked[-1] == "GET /page 200"
        assert asked.count("GET /page 200") == 2
        assert "POST /_session/refresh 200" in asked


def test_a_refresh_that_fails_costs_no_session(site: Site, browsers: Browsers) -> None:
    """The browser says that it skipped; the request has no session, and changes no cookie."""
    context = browsers()
    page = signed_in(context, site)
    site.clock.advance(60)
    without_proof(context)
    before, site.fails = context.cookies(), True
    assert visit(page, site, "/keep")[0] == "nobody free"
    assert context.cookies() == before
    site.fails = False
    until(lambda: visit(page, site, "/page")[0] == "ada bound")


def test_sign_out_ends_it_in_the_browser(site: Site, browsers: Browsers) -> None:
    """The next request still refreshes, is told, and no later one does."""
    context = browsers()
    page = signed_in(context, site)
    assert visit(page, site, "/sign-out")[0] == "nobody free"
    assert context.cookies() == []
    assert visit(page, site, "/page") == (
        "nobody free",
        ["POST /_session/refresh 200", "GET /page 200"],
    )
    assert visit(page, site, "/page") == ("nobody free", ["GET /page 200"])
    page.close()
    assert visit(signed_in(context, site), site, "/page")[0] == "ada bound"


@pytest.mark.thorough
def test_another_sign_in_registers_anew(site: Site, browsers: Browsers) -> None:
    """And the binding of the former session ends."""
    context = browsers()
    page = signed_in(context, site)
    first = _cookie(context, BOUND_COOKIE)
    visit(page, site, "/sign-in")
    until(lambda: _cookie(context, BOUND_COOKIE) not in (first, ""))
    site.clock.advance(60)
    assert visit(page, site, "/page")[0] == "ada bound"
    for _ in range(3):
        without_proof(context)
        assert visit(page, site, "/page")[0] == "ada bound"


def _cookie(context: BrowserContext, name: str) -> str:
    """Return what a cookie holds; "": there is none."""
    return next((each["value"] for each in context.cookies() if each["name"] == name), "")
