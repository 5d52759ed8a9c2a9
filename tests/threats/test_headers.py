"""Cookie headers that an attacker planted, removal cookies, and headers that are not believed."""

import re

from coatcheck import Cookie, Session
from coatcheck.storage import MemoryStorage
from tests.hosts import SECRET, Front
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import SOURCE, both, everywhere, gets, is_new, signed_in


@everywhere
def test_a_nameless_pair_is_no_session(front: Front) -> None:
    """Some browsers send "=name=value" for a cookie without a name, which any subdomain can set."""
    browser = signed_in(front)
    assert browser.header
    for header in (f"={browser.header}", f"; ={browser.header}", f"a={browser.header}"):
        browser.header, kept = header, browser.header
        assert browser.ask(is_new).json is True
        browser.header = kept


@everywhere
def test_of_several_cookies_the_valid_one_wins(front: Front) -> None:
    """A subdomain can plant a cookie of our name; it cannot push ours aside."""
    browser = signed_in(front)
    browser.header = f"__session=planted; __session=; {browser.header}; __session=planted"
    assert browser.ask(gets("user")).json == "Ada"


@both
def test_a_huge_header_is_no_session(name: str) -> None:
    """A megabyte of cookies of our name is read and refused."""
    with front_of(name, Made(MemoryStorage())) as front:
        browser = front.browser()
        for header in ("__session=" + "A" * 1_000_000, "__session=a;" * 90_000, ";" * 1_000_000):
            browser.header = header
            assert browser.ask(is_new).json is True


@both
def test_a_removal_carries_the_attributes_of_its_cookie(name: str) -> None:
    """Or the browser would keep the one it is meant to remove."""
    cookie = Cookie(
        "s", secrets=[SECRET], domain="example.org", path="/shop", samesite="None", partitioned=True
    )
    with front_of(name, Made(MemoryStorage())) as front:
        browser = signed_in(front, cookie)
        (line,) = browser.ask(Session.destroy).all("set-cookie")
    assert line == (
        "s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; Path=/shop; "
        "Secure; HttpOnly; SameSite=None; Partitioned"
    )


def test_no_forwarding_header_is_believed() -> None:
    """
    Secure is what the cookie says; no header of a request changes it, because none is read. Only
    `rejections` looks at the scheme, to say in the log why a browser will lose a cookie.
    """
    forwarded = re.compile(r"[\"']((http_)?x[-_])?forwarded", re.IGNORECASE)
    scheme = re.compile(r"url_scheme|scope\[.scheme.\]|get\(.scheme.")
    texts = {path.name: path.read_text() for path in SOURCE.rglob("*.py")}
    assert [name for name, text in texts.items() if forwarded.search(text)] == []
    assert [name for name, text in texts.items() if scheme.search(text)] == ["rejections.py"]
