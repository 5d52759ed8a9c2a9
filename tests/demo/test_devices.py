"""Two browsers, one visitor: devices, sign-outs, passwords, and the support."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo.conftest import PATIENCE
from tests.demo.shops import COOKIE, served, sign_in


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of a shop whose sessions are in SQLite, in a temporary folder."""
    with served() as address:
        yield address


@pytest.fixture
def devices(chromium: Browser, shop: str) -> Iterator[tuple[Page, Page]]:
    """Two browsers without cookies, each on the page to sign in."""
    with chromium.new_context(base_url=shop) as one, chromium.new_context(base_url=shop) as other:
        pages = one.new_page(), other.new_page()
        for page in pages:
            page.context.set_default_timeout(PATIENCE)
            page.goto("/sign-in?next=/devices")
        yield pages


def test_one_device_signs_out_the_others(devices: tuple[Page, Page]) -> None:
    """Both are listed, with a label; the other one finds itself signed out."""
    laptop, phone = devices
    for page in devices:
        sign_in(page)
    laptop.reload()
    expect(laptop.get_by_test_id("device")).to_have_count(2)
    expect(laptop.get_by_test_id("device").first).to_contain_text("Chrome on Linux")
    expect(laptop.get_by_text("this one", exact=True)).to_have_count(1)
    laptop.get_by_role("button", name="Sign out all others").click()
    expect(laptop.get_by_test_id("notice")).to_contain_text("One other device is signed out")
    expect(laptop.get_by_test_id("device")).to_have_count(1)
    phone.reload()
    expect(phone.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(phone)
    laptop.reload()
    other = laptop.get_by_test_id("device").filter(has_not_text="this one")
    other.get_by_role("button").click()
    expect(laptop.get_by_test_id("device")).to_have_count(1)
    phone.reload()
    expect(phone.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_new_password_keeps_this_device_alone(devices: tuple[Page, Page]) -> None:
    """The other one has to sign in with the new password."""
    laptop, phone = devices
    for page in devices:
        page.get_by_label("Name").fill("Grace")
        page.get_by_label("Password").fill("ticket")
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
    laptop.get_by_role("link", name="Change password").click()
    laptop.get_by_label("New password").fill("another one")
    laptop.get_by_role("button", name="Change password").click()
    expect(laptop.get_by_test_id("notice")).to_contain_text("One other device is signed out")
    expect(laptop.get_by_test_id("name")).to_have_text("Grace")
    phone.reload()
    expect(phone.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_remembered_browser_keeps_its_cookie(devices: tuple[Page, Page]) -> None:
    """The other one loses it when it is closed."""
    remembered, other = devices
    remembered.get_by_label("Remember me on this device").check()
    kept = []
    for page in (remembered, other):
        sign_in(page)
        expect(page.get_by_test_id("name")).to_have_text("Ada")
        (cookie,) = page.context.cookies()
        assert cookie["name"] == COOKIE
        kept.append(cookie["expires"] > 0)
    assert kept == [True, False]


def test_the_support_acts_as_a_visitor_with_a_banner(devices: tuple[Page, Page]) -> None:
    """On every page, until it stops."""
    staff, _ = devices
    staff.get_by_label("Name").fill("support")
    staff.get_by_label("Password").fill("ticket")
    staff.get_by_role("main").get_by_role("button", name="Sign in").click()
    staff.get_by_label("Name of the user").fill("Ada")
    staff.get_by_role("button", name="Act as this user").click()
    for path in ("/", "/cart", "/session"):
        staff.goto(path)
        expect(staff.get_by_test_id("banner")).to_contain_text("support acts as Ada")
    staff.get_by_role("button", name="Stop acting").click()
    expect(staff.get_by_test_id("banner")).to_have_count(0)
    expect(staff.get_by_test_id("name")).to_have_text("support")
