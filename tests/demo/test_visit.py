"""A visit to the shop, from the first coat to the way out, with every kind of storage."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.demo.shops import COOKIE, served, sign_in, value_of_cookie
from tests.thorough import thorough

STORAGES = ["file", thorough("memory"), thorough("redis"), thorough("memcached"), "cookie"]


@pytest.fixture(scope="module", params=STORAGES)
def storage(request: pytest.FixtureRequest) -> str:
    """The kind of storage that the shop has."""
    return str(request.param)


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, storage: str) -> Iterator[str]:
    """The address of a shop with that storage; SQLite in a temporary folder is the default."""
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
