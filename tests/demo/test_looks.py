"""Every page, light and wide, dark and narrow: it fits, and the browser finds no fault."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo.shops import served
from tests.thorough import thorough

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of a shop."""
    with served("--storage", "memory") as address:
        yield address


@pytest.mark.parametrize(("scheme", "width"), [thorough("light", 1280), ("dark", 390)])
def test_every_page_fits(
    chromium: Browser,
    shop: str,
    scheme: Literal["light", "dark"],
    width: int,
    request: pytest.FixtureRequest,
) -> None:
    """
    Nothing is wider than the window, and nothing is logged.

    With --thorough, a picture of each page is kept.
    """
    faults: list[str] = []
    with chromium.new_context(
        base_url=shop,
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": 800},
    ) as context:
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        for name in visit(page):
            if request.config.getoption("thorough"):
                path = SCREENSHOTS / f"{name}-{scheme}-{width}.png"
                page.screenshot(path=path, full_page=True)
            assert page.locator("html").evaluate("page => page.scrollWidth <= innerWidth"), name
    assert faults == []


def visit(page: Page) -> Iterator[str]:
    """Walk through the shop, and yield the name of each page on the way."""
    yield from look_around(page)
    yield from sign_in(page)
    yield from see_the_account(page)
    page.goto("/session")
    page.get_by_role("button", name="Leave a notice").click()
    expect(page.get_by_test_id("steps")).to_be_visible()
    yield "session"
    page.goto("/parallel")
    page.get_by_role("button", name="Send 20 requests").click()
    page.locator("#result[data-state]").wait_for()
    yield "parallel"
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title(re.compile("Goodbye"))
    yield "goodbye"


def see_the_account(page: Page) -> Iterator[str]:
    """See the devices and the page for a new password, and the banner of the support."""
    page.goto("/devices")
    expect(page.get_by_test_id("device")).to_be_visible()
    yield "devices"
    page.goto("/password")
    yield "password"
    page.goto("/confirm?next=/password")
    yield "confirm"
    page.goto("/sign-in?next=/devices")
    page.get_by_label("Name").fill("support")
    page.get_by_label("Password").fill("ticket")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Name of the user")).to_be_visible()
    yield "devices-support"
    page.get_by_label("Name of the user").fill("Augusta Ada King, Countess of Lovelace")
    page.get_by_role("button", name="Act as this user").click()
    expect(page.get_by_test_id("banner")).to_be_visible()
    yield "acting"
    page.get_by_role("button", name="Stop acting").click()
    expect(page.get_by_test_id("banner")).to_have_count(0)


def look_around(page: Page) -> Iterator[str]:
    """See what there is before one has a session, and then fill a cart."""
    for path, name in {"/session": "session-new", "/cart": "cart-empty"}.items():
        page.goto(path)
        yield name
    page.goto("/")
    for product in ("Wool overcoat", "Long scarf"):
        page.get_by_role("button", name=f"Add to cart: {product}").click()
        expect(page.get_by_test_id("notice")).to_contain_text(product)
    yield "shop"


def sign_in(page: Page) -> Iterator[str]:
    """Sign in under a long name, on the second try, and arrive at the cart."""
    page.goto("/sign-in?next=/cart")
    for password, said, name in (("wrong", "problem", "sign-in"), ("ticket", "notice", "cart")):
        page.get_by_label("Name").fill("Augusta Ada King, Countess of Lovelace")
        page.get_by_label("Password").fill(password)
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        expect(page.get_by_test_id(said)).to_be_visible()
        yield name
