"""A visit to the shop: a real browser, a real server, every kind of storage."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.demo.shops import served

COOKIE = "coatcheck_demo"

KINDS = {
    "file": "files",
    "memory": "memory",
    "redis": "Redis",
    "memcached": "Memcached",
    "cookie": "the cookie itself",
}


@pytest.fixture(scope="module", params=KINDS)
def storage(request: pytest.FixtureRequest) -> str:
    """The kind of storage that the shop has."""
    return str(request.param)


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, storage: str) -> Iterator[str]:
    """The address of a shop with that storage; files in a temporary folder are the default."""
    arguments: list[str] = []
    if storage == "redis":
        arguments = ["--storage", f"unix://{request.getfixturevalue('redis_socket')}"]
    elif storage == "memcached":
        nodes = request.getfixturevalue("memcached_nodes")
        arguments = ["--storage", f"memcached://{','.join(nodes)}"]
    elif storage != "file":
        arguments = ["--storage", storage]
    with served(*arguments) as address:
        yield address


@pytest.fixture
def page(browser: BrowserContext) -> Page:
    """The front page, opened for the first time."""
    page = browser.new_page()
    page.goto("/")
    return page


def sign_in(page: Page, password: str = "ticket") -> None:
    """Fill in the form, on whose page the visitor is already, and send it."""
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def value_of_cookie(page: Page) -> str:
    """Return what the browser's only cookie holds."""
    (cookie,) = page.context.cookies()
    return cookie["value"]


def test_who_only_looks_has_no_cookie(page: Page) -> None:
    """Not even after looking at every page."""
    for path in ("/cart", "/session", "/sign-in", "/parallel"):
        page.goto(path)
    assert page.context.cookies() == []


def test_a_wrong_password_is_told_once(page: Page) -> None:
    """The message is there, with the name that was typed; both are gone after a reload."""
    page.goto("/sign-in")
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    expect(page.get_by_label("Name")).to_have_value("Ada")
    page.reload()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("Name")).to_have_value("")


def test_a_cart_stays_and_a_notice_goes(page: Page) -> None:
    """The cart outlives requests, windows and the sign-in; the notice is shown once."""
    page.get_by_role("button", name="Add to cart: Wool overcoat").click()
    page.get_by_role("button", name="Add to cart: Long scarf").click()
    page.get_by_role("link", name="Cart").click()
    page.get_by_role("link", name="Sign in to order").click()
    sign_in(page)
    expect(page).to_have_url("/cart")
    expect(page.get_by_test_id("notice")).to_contain_text("Welcome, Ada")
    expect(page.get_by_test_id("total")).to_have_text("€ 285")
    page.reload()
    expect(page.get_by_test_id("notice")).to_have_count(0)
    other = page.context.new_page()
    other.goto("/cart")
    expect(other.get_by_test_id("total")).to_have_text("€ 285")


def test_the_session_page_tells_what_its_request_did(page: Page, storage: str) -> None:
    """Which storage, which changes, which keys; and the id is nowhere on it."""
    page.goto("/session")
    expect(page.get_by_test_id("no-session")).to_be_visible()
    page.get_by_label("A note to keep").fill("<b>mine</b>")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_test_id("steps")).to_have_text("set() on note")
    page.get_by_role("link", name="opening it again").click()
    expect(page.get_by_test_id("no-steps")).to_be_visible()
    expect(page.get_by_test_id("storage")).to_have_text(KINDS[storage])
    expect(page.get_by_label("A note to keep")).to_have_value("<b>mine</b>")
    assert value_of_cookie(page)[:20] not in page.content()


def test_parallel_requests_keep_what_the_storage_promises(page: Page, storage: str) -> None:
    """Twenty of twenty on the server; fewer in a cookie, and the page says why."""
    page.goto("/parallel")
    page.get_by_role("button", name="Send 20 requests").click()
    result = page.locator("#result[data-state]")
    result.wait_for()
    if storage == "cookie":
        expect(result).not_to_have_text("20 of 20 kept")
        expect(page.get_by_text("Here some are lost")).to_be_visible()
    else:
        expect(result).to_have_text("20 of 20 kept")
        page.get_by_role("link", name="See the cart").click()
        expect(page.get_by_label("How many: Wooden hanger")).to_have_value("20")


def test_signing_in_gives_a_new_cookie_that_no_script_sees(page: Page) -> None:
    """The cookie is HttpOnly and SameSite=Lax, and not the one of before."""
    page.get_by_role("button", name="Add to cart: Felt hat").click()
    before = value_of_cookie(page)
    page.goto("/sign-in")
    sign_in(page)
    expect(page.get_by_test_id("name")).to_have_text("Ada")
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (COOKIE, True, "Lax")
    assert cookie["value"] != before
    assert page.evaluate("document.cookie") == ""


def test_signing_out_ends_the_session(page: Page, storage: str) -> None:
    """The cookie goes; the old one, put back, is nobody's. Only a session in a cookie lives on."""
    page.goto("/sign-in")
    sign_in(page)
    expect(page.get_by_test_id("name")).to_have_text("Ada")
    old = value_of_cookie(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url("/goodbye")
    assert page.context.cookies() == []
    page.context.add_cookies([{"name": COOKIE, "value": old, "url": page.url}])
    page.goto("/")
    expect(page.get_by_test_id("name")).to_have_count(1 if storage == "cookie" else 0)
