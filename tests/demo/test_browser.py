"""The shop as it is served by default, in a browser: what is shown once, and what never."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.demo.shops import COOKIE, served, sign_in, value_of_cookie


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of a shop whose sessions are in SQLite, in a temporary folder."""
    with served() as address:
        yield address


def test_a_wrong_password_is_told_once(page: Page) -> None:
    """The message is there, with the name that was typed; both are gone after a reload."""
    page.goto("/sign-in")
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    expect(page.get_by_label("Name")).to_have_value("Ada")
    page.reload()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("Name")).to_have_value("")


def test_the_session_page_tells_what_its_request_did(page: Page) -> None:
    """Which storage, which changes, which keys; and the id is nowhere on it."""
    page.goto("/session")
    expect(page.get_by_test_id("no-session")).to_be_visible()
    assert page.context.cookies() == []
    page.get_by_label("A note to keep").fill("<b>mine</b>")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_test_id("steps")).to_have_text("set() on note")
    page.get_by_role("link", name="opening it again").click()
    expect(page.get_by_test_id("no-steps")).to_be_visible()
    expect(page.get_by_test_id("storage")).to_have_text("SQLite")
    expect(page.get_by_label("A note to keep")).to_have_value("<b>mine</b>")
    assert value_of_cookie(page)[:20] not in page.content()


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
