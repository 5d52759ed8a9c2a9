"""The grammar of the headers that a session touches."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._cookie import headers
from coatcheck._cookie.headers import CookieFinder, kept_private, with_vary_cookie


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


def bare(value: str) -> str:
    """Return a value without one pair of quotes: DQUOTE *cookie-octet DQUOTE (RFC 6265, 4.1.1)."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
