"""The pages of a signed-in visitor, without a browser: two visitors are two devices."""

import re

import pytest

from coatcheck.demo.accounts import PASSWORD, STAFF
from coatcheck.demo.app import create_app
from coatcheck.demo.checkroom import checkroom_from
from coatcheck.testing import later
from tests.demo.test_pages import SECRET, Visitor, sign_in

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"


class Shop:
    """A shop, and its devices."""

    def __init__(self, url: str) -> None:
        self.room = checkroom_from(url)
        self.app = create_app(self.room, SECRET)

    def device(self, name: str = "Ada", **form: str) -> Visitor:
        """Return a device that is signed in."""
        visitor = Visitor(self.app)
        assert f"Welcome, {name}" in sign_in(visitor, name, **form)
        return visitor


@pytest.fixture(params=["memory", "cookie"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """With records of sessions, and with cookies that carry them."""
    return Shop(request.param)


@pytest.fixture
def listing() -> Shop:
    """A shop whose sessions end at once."""
    return Shop("memory")


def name_on(visitor: Visitor) -> str | None:
    """Return who is signed in, as the page says it."""
    found = re.search(r'data-testid="name"[^>]*>([^<]+)<', visitor.get("/").text)
    return found[1] if found else None


def test_devices_are_listed_and_one_is_signed_out(listing: Shop) -> None:
    """With their labels; the sign-out holds at its next request."""
    laptop = Visitor(listing.app)
    form = {"name": "Ada", "password": PASSWORD}
    laptop.post("/sign-in", data=form, headers={"user-agent": FIREFOX})
    phone, other = listing.device(), listing.device("Bob")
    page = laptop.get("/devices").text
    assert page.count('data-testid="device"') == 2
    assert "Firefox on Windows" in page and "this one" in page
    handles = re.findall(r'name="handle" value="([^"]+)"', phone.get("/devices").text)
    (own,) = re.findall(r'name="handle" value="([^"]+)"', other.get("/devices").text)
    assert len(handles) == 2
    page = other.post("/devices/end", data={"handle": handles[0]}).text
    assert "signed out already" in page  # no visitor ends what is another's
    for handle in handles:
        laptop.post("/devices/end", data={"handle": handle})
    assert (name_on(phone), name_on(laptop), name_on(other)) == (None, None, "Bob")
    assert own


def test_sessions_in_cookies_are_listed_too() -> None:
    """In the process; the page says that another device notices within five seconds."""
    shop = Shop("cookie")
    laptop, _ = shop.device(), shop.device()
    page = laptop.get("/devices").text
    assert page.count('data-testid="device"') == 2 and "within five seconds" in page
    assert "One other device is signed out" in laptop.post("/devices/end-others").text
    assert name_on(laptop) == "Ada"


def test_all_others_are_signed_out(listing: Shop) -> None:
    """This device stays."""
    laptop, phone, tablet = (listing.device() for _ in range(3))
    assert "2 other devices are signed out" in laptop.post("/devices/end-others").text
    assert [name_on(each) for each in (laptop, phone, tablet)] == ["Ada", None, None]
    assert "No other devices" in laptop.post("/devices/end-others").text


def test_a_new_password_signs_out_every_other_device(shop: Shop) -> None:
    """On every storage, because the others hold another pin."""
    laptop, phone = shop.device(), shop.device()
    assert "Changed." in laptop.post("/password", data={"new": "another one"}).text
    assert (name_on(laptop), name_on(phone)) == ("Ada", None)
    assert "not the password" in sign_in(phone)
    assert "Welcome, Ada" in sign_in(phone, password="another one")
    assert "not taken" in laptop.post("/password", data={"new": ""}).text


def test_the_password_is_asked_again_after_a_minute(shop: Shop) -> None:
    """And then the page is there."""
    laptop = shop.device()
    assert "Change password" in laptop.get("/password").text
    with later(shop.room.storage, 61):
        assert "Your password, please" in laptop.get("/password").text
        assert laptop.post("/password", data={"new": "x"}).url.path == "/confirm"
        page = laptop.post("/confirm", data={"password": "wrong", "next": "/password"}).text
        assert "That is not your password" in page
        answer = laptop.post("/confirm", data={"password": PASSWORD, "next": "/password"})
        assert answer.url.path == "/password"


@pytest.mark.parametrize(("form", "lasts"), [({}, False), ({"remember": "on"}, True)])
def test_a_browser_is_remembered_if_asked(shop: Shop, form: dict[str, str], *, lasts: bool) -> None:
    """Else the cookie ends with the browser."""
    visitor = shop.device(**form)
    (cookie,) = visitor.cookies.jar
    assert (cookie.expires is not None) is lasts


def test_the_support_acts_as_a_visitor(shop: Shop) -> None:
    """Every page says so; the password is out of reach, and it ends by itself."""
    staff = shop.device(STAFF)
    staff.post("/act-as", data={"name": "Ada"})
    page = staff.get("/").text
    assert 'data-testid="banner"' in page and name_on(staff) == "Ada"
    assert "Only Ada sees" in staff.get("/devices").text
    for path in ("/password", "/confirm"):
        assert staff.get(path).url.path == "/devices"
    assert staff.post("/confirm", data={"password": PASSWORD}).url.path == "/devices"
    staff.post("/act-as/stop")
    assert name_on(staff) == STAFF
    staff.post("/act-as", data={"name": "Ada"})
    with later(shop.room.storage, 601):
        assert name_on(staff) == STAFF
        assert 'data-testid="banner"' not in staff.get("/").text
    assert staff.post("/act-as/stop").status_code == 200


def test_no_other_visitor_acts(shop: Shop) -> None:
    """Nor anybody who is not signed in."""
    ada, nobody = shop.device(), Visitor(shop.app)
    assert f"Only {STAFF} may" in ada.post("/act-as", data={"name": "Bob"}).text
    assert name_on(ada) == "Ada"
    nobody.post("/act-as", data={"name": "Bob"})
    assert name_on(nobody) is None


def test_pages_of_an_account_ask_to_sign_in(shop: Shop) -> None:
    """And go on to where the visitor wanted to be."""
    nobody = Visitor(shop.app)
    for path in ("/devices", "/password"):
        assert str(nobody.get(path).url).endswith(f"/sign-in?next={path}")
    assert nobody.get("/confirm").url.path == "/sign-in"
    for path in ("/devices/end", "/devices/end-others", "/confirm"):
        assert nobody.post(path).url.path == "/sign-in"
