"""The shop without a browser: what its pages say, and what they never let through."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from coatcheck import BackendError, Session
from coatcheck.demo.accounts import PASSWORD
from coatcheck.demo.app import create_app
from coatcheck.demo.checkroom import checkroom_from
from coatcheck.demo.guard import Guard

SECRET = "a secret for the tests, 32 of it"
HOSTILE = '"><script>alert(1)</script>'


class Visitor:
    """A browser without pictures: it keeps cookies and follows redirects."""

    def __init__(self, app: Guard) -> None:
        self.app = app
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Open a page."""
        return asyncio.run(self._ask("GET", path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a form."""
        return asyncio.run(self._ask("POST", path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        options = {"follow_redirects": True} | options
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://shop",
            cookies=self.cookies,
        ) as client:
            response = await client.request(method, path, **options)
            self.cookies = client.cookies
            return response


@pytest.fixture(params=["memory", "cookie"])
def visitor(request: pytest.FixtureRequest) -> Visitor:
    """A visitor of the shop who has been nowhere yet."""
    return Visitor(create_app(checkroom_from(request.param), SECRET))


def sign_in(visitor: Visitor, name: str = "Ada", password: str = PASSWORD, **form: str) -> str:
    """Send the form, and return the page that comes of it."""
    return visitor.post("/sign-in", data={"name": name, "password": password, **form}).text


def test_whoever_only_looks_gets_no_cookie(visitor: Visitor) -> None:
    """Every page can be read without a session, and none of them makes one."""
    for path in ("/", "/cart", "/sign-in", "/session", "/parallel", "/goodbye"):
        response = visitor.get(path)
        assert response.status_code == 200
        assert "set-cookie" not in response.headers


def test_a_cart_comes_along_into_the_signed_in_session(visitor: Visitor) -> None:
    """Signing in changes the id and keeps the values."""
    visitor.post("/cart/add", data={"product": "hat"})
    before = visitor.cookies["coatcheck_demo"]
    page = sign_in(visitor, next="/cart")
    assert "Felt hat" in page
    assert "Welcome, Ada" in page
    assert visitor.cookies["coatcheck_demo"] != before


def test_a_count_of_nothing_removes_a_line(visitor: Visitor) -> None:
    """The cart follows its forms, and refuses a count that is no number."""
    visitor.post("/cart/add", data={"product": "hat"})
    assert "€ 225" in visitor.post("/cart", data={"product": "hat", "count": "3"}).text
    assert visitor.post("/cart", data={"product": "hat", "count": "-1"}).status_code == 400
    assert "Nothing hangs here" in visitor.post("/cart", data={"product": "hat", "count": "0"}).text
    assert visitor.post("/cart/add", data={"product": "../hat"}).status_code == 400


def test_only_who_is_signed_in_can_order(visitor: Visitor) -> None:
    """An order leads over the sign-in page, and empties the cart."""
    visitor.post("/cart/add", data={"product": "hat"})
    assert visitor.post("/order").url.path == "/sign-in"
    sign_in(visitor)
    assert "Thank you" in visitor.post("/order").text
    assert "Nothing hangs here" in visitor.get("/cart").text


def test_signing_out_takes_the_cookie_away(visitor: Visitor) -> None:
    """The answer to the form removes the cookie; the page after it knows nobody."""
    sign_in(visitor)
    response = visitor.post("/sign-out", follow_redirects=False)
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert "coatcheck_demo" not in visitor.cookies
    assert 'data-testid="name"' not in visitor.get("/").text


def test_the_session_page_shows_what_its_own_request_did(visitor: Visitor) -> None:
    """A notice that it shows is a step, and so is what its own buttons do."""
    sign_in(visitor, next="/session")
    page = visitor.post("/session", data={"action": "keep", "note": "a note"}).text
    assert steps_in(page) == ["set() on note"]
    page = visitor.post("/session", data={"action": "regenerate"}).text
    assert steps_in(page) == ["regenerate_id()"]
    page = visitor.post("/session", data={"action": "flash"}).text
    assert steps_in(page) == ["flash() on notice"]
    assert steps_in(visitor.get("/session").text) == ["reading a flash on notice"]
    assert steps_in(visitor.get("/session").text) == []


def test_no_page_shows_the_id(visitor: Visitor) -> None:
    """Nor the cookie that carries it."""
    sign_in(visitor)
    cookie = visitor.cookies["coatcheck_demo"]
    pages = [visitor.get(path).text for path in ("/", "/session", "/cart")]
    assert not any(cookie[:20] in page for page in pages)


@pytest.mark.parametrize("path", ["/", "/cart", "/session", "/sign-in", "/parallel", "/nowhere"])
def test_what_a_visitor_wrote_is_escaped(visitor: Visitor, path: str) -> None:
    """A name, a note and a search are text on every page, whatever they hold."""
    sign_in(visitor, name=HOSTILE, next=HOSTILE)
    visitor.post("/session", data={"action": "keep", "note": HOSTILE})
    visitor.post("/sign-in", data={"name": HOSTILE, "password": "wrong"}, follow_redirects=False)
    page = visitor.get(path, params={"q": HOSTILE, "next": HOSTILE}).text
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/shop.css", "/parallel"])
def test_no_script_can_stand_in_a_page(visitor: Visitor, path: str) -> None:
    """Scripts and styles come from files of ours alone, on every response."""
    policy = visitor.get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = visitor.get(path).text
    assert not re.search(r"<script(?! src=)|<style| style=| on\w+=|https?://(?!www.w3)", page)


def test_a_form_of_another_site_is_refused(visitor: Visitor) -> None:
    """It does not reach the session, and the refusal carries the headers too."""
    sign_in(visitor)
    response = visitor.post("/sign-out", headers={"sec-fetch-site": "same-site"})
    assert response.status_code == 403
    assert response.headers["x-content-type-options"] == "nosniff"
    assert 'data-testid="name"' in visitor.get("/").text


def test_signing_out_is_no_link(visitor: Visitor) -> None:
    """What changes something answers no GET."""
    for path in ("/sign-out", "/cart/add", "/order", "/parallel/start", "/parallel/add"):
        assert visitor.get(path).status_code == 405


def test_a_storage_that_fails_is_told_and_the_cookie_stays() -> None:
    """The page says which, with the headers of every page; the error goes on to the log."""
    checkroom = replace(checkroom_from("memory"), storage=Broken())
    visitor = Visitor(create_app(checkroom, SECRET))
    response = visitor.get("/cart")
    assert response.status_code == 503
    assert "The storage does not answer: memory" in response.text
    assert "set-cookie" not in response.headers
    assert "content-security-policy" in response.headers


class Broken:
    """A storage whose server is down."""

    def read(self, _value: str | None, /) -> Session:
        raise BackendError("the server", "read")

    def save(self, _session: Session, /) -> str | None:
        raise BackendError("the server", "write")


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        ("/cart", "/cart"),
        ("/?q=hat", "/?q=hat"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_to_our_pages_alone(target: str, reached: str) -> None:
    """Also over a wrong password: the target is kept, and checked again."""
    visitor = Visitor(create_app(checkroom_from("memory"), SECRET))
    form = {"name": "Ada", "password": "wrong", "next": target}
    page = visitor.post("/sign-in", data=form).text
    assert f'name="next" value="{reached}"' in page
    response = visitor.post("/sign-in", data=form | {"password": PASSWORD}, follow_redirects=False)
    assert response.headers["location"] == reached


def steps_in(page: str) -> list[str]:
    """Return the list of this request's changes, as text."""
    found = re.search(r'data-testid="steps">(.*?)</ol>', page, re.DOTALL)
    items = re.findall(r"<li>(.*?)</li>", found[1] if found else "")
    return [re.sub(r"<[^>]+>", "", item) for item in items]
