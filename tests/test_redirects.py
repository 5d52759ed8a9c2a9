"""Where a visitor may be sent: to a page of this application, and nowhere else."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coatcheck.redirects import LIMIT, is_local_path, safe_redirect_target

PAGE = "https://shop.test/sign-in"

LOCAL = [
    "/",
    "/cart",
    "/cart/",
    "/cart?page=2&sort=price",
    "/cart?next=http://other.test//x",
    "/cart#top",
    "/~ada/a%20b/%C3%A9",
    "/a;b=1,2/@me:x",
]

FOREIGN = [
    "",
    "cart",
    "?page=2",
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "\\/evil.test",
    "/cart\\..\\evil",
    "/.//evil.test",
    "/a//evil.test",
    "/%2fevil.test",
    "/%2F%2Fevil.test",
    "%2f%2fevil.test",
    "/%5cevil.test",
    "/%5C%5Cevil.test",
    "http:evil.test",
    "http:/evil.test",
    "http://evil.test",
    "https://shop.test/cart",
    "HTTPS://evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r\nSet-Cookie: a=b",
    "\t//evil.test",
    " //evil.test",
    "/cart ",
    "/\x00",
    "/\x7f",
    "/cart?a=\x1b",
    "/cart%",
    "/cart%zz",
    "/\u2215evil.test",
    "/\uff0fevil.test",
    "/café",
    "/" + "a" * LIMIT,
]


@pytest.mark.parametrize("target", LOCAL)
def test_a_path_of_this_application_is_a_target(target: str) -> None:
    """Paths, queries and fragments arrive as they were given."""
    assert safe_redirect_target(target, "/home") == target


@pytest.mark.parametrize("target", FOREIGN)
def test_what_could_lead_elsewhere_is_replaced(target: str) -> None:
    """What some browser or proxy might read as another host, or as another header, is no target."""
    assert safe_redirect_target(target, "/home") == "/home"


@pytest.mark.parametrize("target", [None, b"/cart", 7, ["/cart"], object()])
def test_what_is_no_text_is_replaced(target: object) -> None:
    """A form without the field gives None, an upload an object: neither raises."""
    assert safe_redirect_target(target) == "/"


@given(st.text(alphabet="/\\.%2fF5c:?#@ \t\r\nehtp", max_size=12))
@example("/..//evil.test")
def test_no_target_leaves_the_host(target: str) -> None:
    """Whatever is accepted resolves to the same scheme and host."""
    if is_local_path(target):
        assert urlsplit(urljoin(PAGE, target))[:2] == ("https", "shop.test")
        assert not {"\\", "\r", "\n", "\t", " "} & set(target)


@given(st.text(max_size=60))
def test_no_text_raises(target: str) -> None:
    """Anything may come from a client."""
    assert safe_redirect_target(target, "/home") in (target, "/home")
