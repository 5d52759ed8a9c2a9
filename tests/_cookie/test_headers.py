"""The grammar of the headers that a session touches."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import ConfigurationError
from coatcheck._cookie import headers
from coatcheck._cookie.headers import (
    MAX_COOKIES,
    MAX_FIELDS,
    CookieFinder,
    amended,
    joined_cookies,
    kept_private,
    varying,
    with_vary_cookie,
)


def values(header: str, name: str = "a") -> list[str]:
    return CookieFinder(name).values(header)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("a=1", ["1"]),
        ("b=2; a=1; c=3", ["1"]),
        ("b=2;a=1;c=3", ["1"]),
        ("b=2;  \t a = 1 \t; c=3", ["1"]),
        ('a="1"', ["1"]),
        ('b=2; a= "1" ; c=3', ["1"]),
        ('a=""1""', ['"1"']),
        ('a="1', ['"1']),
        ('a=1"', ['1"']),
        ('a="', ['"']),
        ('a=""', [""]),
        ('a=" 1 "', [" 1 "]),
        ('a="1"; a="2', ["1", '"2']),
        ("a=", [""]),
        ("a=1=2=3", ["1=2=3"]),
        ("a=1; a=2", ["1", "2"]),
        ("A=1", []),
        ("aa=1; xa=1; a.=1", []),
        ("=a=1", []),
        ("; =a=1", []),
        ("b=a=1", []),
        ("b; a=1", ["1"]),
        ("a", []),
        ("", []),
        (";;;=;", []),
    ],
)
def test_a_cookie_is_found_as_rfc_6265_says(header: str, found: list[str]) -> None:
    """Pairs are split at ";", names end at the first "=", white space and a pair of quotes go."""
    assert values(header) == found


def test_a_nameless_pair_never_becomes_a_named_one() -> None:
    """A cookie without a name is sent as its value alone, and cannot pass for a prefixed one."""
    assert values("=__Host-a=1", "__Host-a") == []


def test_a_name_is_no_pattern() -> None:
    """Characters of a name that mean something in a regular expression mean themselves."""
    assert values("a+b=1; aab=2", "a+b") == ["1"]
    assert values("a.b=1; axb=2", "a.b") == ["1"]


@pytest.mark.parametrize("noise", ["a=1;", "; \t", "a", " " * 100 + ";", "a a=", ";a"])
def test_a_long_header_is_read_once(noise: str) -> None:
    """A header of a megabyte is read in linear time: in quadratic time this would take hours."""
    assert values((noise * 1_000_000)[:1_000_000] + "; zz=1", "zz") == ["1"]


def test_of_many_cookies_of_the_name_those_beyond_the_limit_are_ignored() -> None:
    """Each would have to be opened, and servers differ in what they let through in one field."""
    header = "; ".join(["a=x"] * MAX_COOKIES)
    found = headers.CookieFinder("a").values(header)
    assert len(found) == MAX_COOKIES // len("a=x; ")
    assert headers.CookieFinder("a").values("b=1; " * MAX_COOKIES + "a=x") == ["x"]


@given(header=st.text())
def test_no_header_raises(header: str) -> None:
    """A client may send anything."""
    assert isinstance(values(header), list)


@given(value=st.text())
def test_escaped_text_is_safe_and_comes_back(value: str) -> None:
    """Any text can be written as cookie octets and read again."""
    escaped = headers.escape(value)
    assert headers.is_cookie_safe(escaped)
    assert headers.unescape(escaped) == value


def test_safe_text_travels_as_it_is() -> None:
    """Only what a cookie cannot hold is escaped, and the sign of an escape."""
    safe = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;\\%')
    assert headers.escape(safe) == safe
    assert headers.escape('",;\\% \n') == "%22%2C%3B%5C%25%20%0A"


def test_an_escape_that_spells_no_text_is_none() -> None:
    """What a client sends is refused, never an exception."""
    with pytest.raises(UnicodeDecodeError):
        headers.unescape("%ff")


def test_a_date_is_an_imf_fixdate() -> None:
    """Whatever the time zone, the header says GMT."""
    moment = datetime(2026, 10, 21, 9, 28, tzinfo=timezone(timedelta(hours=2)))
    assert headers.http_date(moment) == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert headers.http_date(moment.astimezone(UTC)) == "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("given_", "then"),
    [
        ("", "Cookie"),
        ("Accept", "Accept, Cookie"),
        ("accept, COOKIE", "accept, COOKIE"),
        ("*", "*"),
    ],
)
def test_vary_names_the_cookie_once(given_: str, then: str) -> None:
    """What the application said stays, and nothing is said twice."""
    assert with_vary_cookie(given_) == then


@pytest.mark.parametrize(
    ("given_", "then"),
    [
        ("", "private"),
        ("public, max-age=60", "max-age=60, private"),
        ("PUBLIC , s-maxage=60", "private"),
        ("s-maxage = 60, max-age=1", "max-age=1, private"),
        ("private", "private"),
        ('private="set-cookie", no-cache', "no-cache, private"),
        ("no-store", "no-store"),
        ("public, no-store", "no-store"),
        ("max-age=0, must-revalidate", "max-age=0, must-revalidate, private"),
    ],
)
def test_no_shared_cache_keeps_the_response(given_: str, then: str) -> None:
    """What allows a shared cache goes, what forbids it comes."""
    assert kept_private(given_) == then


@given(st.text(alphabet='nam=; \t"xé', max_size=24), st.sampled_from(["n", "nam", "a"]))
def test_a_cookie_is_found_as_the_pattern_finds_it(header: str, name: str) -> None:
    """Where the name stands as browsers write it, looking for it gives what the pattern gives."""
    finder = CookieFinder(name)
    by_pattern = [bare(value.strip(" \t")) for value in finder._pattern.findall(header)]
    assert finder.values(header) == by_pattern


def test_headers_that_do_not_concern_us_stay() -> None:
    """Other cookies above all, in their order."""
    given = [(b"set-cookie", b"a=1"), (b"x", b"y"), (b"Set-Cookie", b"b=2")]
    kept = amended(given, ["name=value"], private=True)
    assert [pair for pair in kept if pair in given] == given
    assert kept[-1] == (b"set-cookie", b"name=value")


def test_a_response_that_only_read_is_not_made_private() -> None:
    """It varies with the cookie, and a cache may keep it so."""
    kept = amended([(b"cache-control", b"public")], ())
    assert kept == [(b"cache-control", b"public"), (b"vary", b"Cookie")]


def test_a_response_that_sets_the_cookie_is_private() -> None:
    """Also to the caches that read a Cache-Control of their own (RFC 9213)."""
    given = [(b"Cache-Control", b"public"), (b"CDN-Cache-Control", b"max-age=60")]
    kept = dict(amended(given, ["name=value"], private=True))
    assert kept[b"Cache-Control"] == b"private"
    assert kept[b"CDN-Cache-Control"] == b"max-age=60, private"
    alone = amended([(b"CDN-Cache-Control", b"max-age=60")], ["name=value"], private=True)
    assert dict(alone)[b"cache-control"] == b"private"
    assert dict(amended([], ["name=value"], private=True))[b"cache-control"] == b"private"


def test_several_vary_headers_become_one() -> None:
    """What each of them said stays."""
    kept = amended([(b"vary", b"Accept"), (b"Vary", b"Origin")], ())
    assert kept == [(b"vary", b"Accept, Origin, Cookie")]


def test_several_cookie_fields_are_one_header() -> None:
    """HTTP/2 may split it (RFC 9113, 8.2.3)."""
    given = [(b"cookie", b"a=1"), (b"host", b"example.org"), (b"cookie", b"b=\xe9")]
    assert joined_cookies(given) == "a=1; b=é"
    assert joined_cookies([]) == ""


def test_more_cookie_fields_than_a_browser_sends_are_ignored() -> None:
    """What a client sends costs a bounded amount."""
    many = [(b"cookie", b"a=1")] * (MAX_FIELDS + 1)
    assert joined_cookies(many).count("a=1") == MAX_FIELDS
    large = [(b"cookie", b"a=1"), (b"cookie", b"x" * MAX_COOKIES), (b"cookie", b"b=2")]
    assert joined_cookies(large) == "a=1"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (headers.check_name, ["a", "__Host-a", "a!#$%&'*+-.^_`|~9"], ["", "a b", "a=b", "a;", "é"]),
        (headers.checked_domain, [None, "example.org", ".a.b", "127.0.0.1"],
         ["", "a b", "https://a", "a:80", "-a", "a-", "a..b", "x" * 64]),
        (headers.check_path, [None, "/", "/a b"], ["", "a", "/a;b", "/a\n", "/é"]),
    ],
    ids=["name", "domain", "path"],
)  # fmt: skip
def test_what_browsers_would_ignore_is_refused(
    check: Callable[[Any], None], good: list[Any], bad: list[Any]
) -> None:
    """Names, hosts and paths are checked when the cookie is made; the message shows the value."""
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ConfigurationError, match=re.escape(repr(value))):
            check(value)


@dataclass
class Attributes:
    """The attributes of a cookie that its prefix makes promises about."""

    name: str
    secure: bool = True
    httponly: bool = True
    path: str | None = "/"
    domain: str | None = None


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("a", []),
        ("__Secure-a", ["secure"]),
        ("__Host-a", ["secure", "path", "domain"]),
        ("__HOST-a", ["secure", "path", "domain"]),
        ("__Http-a", ["secure", "httponly"]),
        ("__Host-Http-a", ["secure", "httponly", "path", "domain"]),
    ],
)
def test_a_prefix_promises_attributes(name: str, broken: list[str]) -> None:
    """Browsers drop a cookie that breaks one (RFC 6265bis, 4.1.3)."""
    others: dict[str, Any] = {
        "secure": False, "httponly": False, "path": "/a", "domain": "example.org",
    }  # fmt: skip
    headers.check_prefix(Attributes(name))
    for attribute, value in others.items():
        if attribute in broken:
            with pytest.raises(ConfigurationError, match=re.escape(repr(name))):
                headers.check_prefix(Attributes(name, **{attribute: value}))
        else:
            headers.check_prefix(Attributes(name, **{attribute: value}))


def bare(value: str) -> str:
    """Return a value without one pair of quotes: DQUOTE *cookie-octet DQUOTE (RFC 6265, 4.1.1)."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def test_a_response_that_depends_on_the_session_says_so() -> None:
    """`varying` adds what `amended` adds; the list that was given stays as it is."""
    for fields in ([], [(b"x", b"1")], [(b"Vary", b"Accept"), (b"x", b"1")], [(b"vary", b"*")]):
        before = list(fields)
        assert varying(fields) == amended(fields, ())
        assert fields == before
