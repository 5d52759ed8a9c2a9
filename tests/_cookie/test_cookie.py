"""The cookie: attributes, seal, removal, size."""

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import CoatcheckWarning, ConfigurationError, Cookie, CookieTooLarge
from coatcheck._cookie.cookie import MAX_COOKIE
from coatcheck._cookie.sealing import Opened

OLD, NEW = "o" * 32, "n" * 32
MOMENT = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)

KINDS: list[dict[str, Any]] = [{}, {"secrets": [NEW]}, {"secrets": [NEW], "encrypt": True}]
kinds = pytest.mark.parametrize("kind", KINDS, ids=["plain", "signed", "encrypted"])
sealed = pytest.mark.parametrize("kind", KINDS[1:], ids=["signed", "encrypted"])

Kind = Mapping[str, Any]


def pair(set_cookie: str) -> str:
    """Return what the browser sends back."""
    return set_cookie.partition(";")[0]


def test_attributes_stand_in_the_order_people_know() -> None:
    """One line, in ASCII."""
    cookie = Cookie("name", secure=False, max_age=3600)
    written = "name=value; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
    assert cookie.serialize("value") == written


def test_every_attribute_is_written() -> None:
    """All of them together."""
    cookie = Cookie(
        "name",
        domain="example.com",
        expires=MOMENT,
        max_age=60,
        partitioned=True,
        path="/app",
        samesite="None",
    )
    assert cookie.serialize("v") == (
        "name=v; Max-Age=60; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Domain=example.com; "
        "Path=/app; Secure; HttpOnly; SameSite=None; Partitioned"
    )


def test_attributes_can_be_left_out() -> None:
    """None and False write nothing."""
    cookie = Cookie("name", path=None, samesite=None, httponly=False, secure=False)
    assert cookie.serialize("v") == "name=v"


def test_each_option_can_be_read() -> None:
    """A cookie shows what it was made with, by the same names."""
    cookie = Cookie("name", secrets=[NEW], encrypt=True, domain="a.example", max_age=5)
    assert (cookie.name, cookie.domain, cookie.max_age) == ("name", "a.example", 5)
    assert (cookie.httponly, cookie.secure, cookie.samesite) == (True, True, "Lax")
    assert (cookie.path, cookie.expires, cookie.partitioned) == ("/", None, False)
    assert cookie.signed
    assert cookie.encrypted


@pytest.mark.parametrize(
    ("kind", "signed", "encrypted"),
    [(KINDS[0], False, False), (KINDS[1], True, False), (KINDS[2], True, True)],
)
def test_a_cookie_tells_how_it_is_sealed(kind: Kind, signed: bool, encrypted: bool) -> None:
    """Without secrets, anybody can make the value."""
    cookie = Cookie("name", **kind)
    assert (cookie.signed, cookie.encrypted) == (signed, encrypted)


@kinds
@given(value=st.text(min_size=1, max_size=300))
def test_any_text_comes_back(kind: Kind, value: str) -> None:
    """What serialize writes, parse reads, between other cookies."""
    cookie = Cookie("name", **kind)
    assert cookie.parse(f"a=1; {pair(cookie.serialize(value))}; b=2") == value


@kinds
@pytest.mark.parametrize("header", [None, "", "other=1", "name", "=name=1", ";;", "\0\xff"])
def test_no_cookie_reads_as_none(kind: Kind, header: str | None) -> None:
    """A header without the cookie is no error."""
    assert Cookie("name", **kind).parse(header) is None


@kinds
@given(header=st.text())
def test_no_header_raises(kind: Kind, header: str) -> None:
    """A client may send anything."""
    cookie = Cookie("name", **kind)
    for sent in (header, f"name={header}", f"name={header}.{'A' * 43}"):
        value = cookie.parse(sent)
        assert value is None or not cookie.signed


@sealed
def test_with_secrets_nothing_unsealed_is_accepted(kind: Kind) -> None:
    """A plain value is no value."""
    plain = Cookie("name")
    assert Cookie("name", **kind).parse(pair(plain.serialize("value"))) is None


@sealed
def test_a_value_of_one_cookie_is_refused_in_another(kind: Kind) -> None:
    """The seal covers the name."""
    theirs = pair(Cookie("a", **kind).serialize("value"))
    assert Cookie("b", **kind).parse(theirs.replace("a=", "b=", 1)) is None
    assert Cookie("a", **kind).parse(theirs) == "value"


@sealed
def test_an_older_secret_opens_and_the_first_seals(kind: Kind) -> None:
    """A rotated secret keeps its cookies alive and says that they are due anew."""
    old, rotated = Cookie("name", **kind), Cookie("name", **{**kind, "secrets": [OLD, NEW]})
    opened = rotated.open(pair(old.serialize("value")))
    assert opened == Opened("value", stale=True)
    assert old.parse(pair(rotated.serialize("value"))) is None


@sealed
def test_of_two_cookies_of_one_name_the_valid_one_wins(kind: Kind) -> None:
    """A cookie that a sibling domain planted beside ours shuts nobody out."""
    cookie = Cookie("name", **kind)
    ours = pair(cookie.serialize("ours"))
    assert cookie.parse(f"name=planted; {ours}; name=another") == "ours"


def test_of_two_plain_cookies_the_first_wins() -> None:
    """Browsers send the one with the longer path first (RFC 6265, 5.4)."""
    assert Cookie("name").parse("name=1; name=2") == "1"


@kinds
def test_an_empty_value_makes_a_removal(kind: Kind) -> None:
    """It carries the attributes of the cookie that it removes, and a date that has passed."""
    cookie = Cookie(
        "name", domain="example.com", path="/app", samesite="None", partitioned=True, **kind
    )
    assert cookie.serialize("") == (
        "name=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.com; "
        "Path=/app; Secure; HttpOnly; SameSite=None; Partitioned"
    )


@kinds
def test_one_cookie_may_be_written_differently(kind: Kind) -> None:
    """Overrides change this header, the seal stays, and the cookie does not change."""
    cookie = Cookie("name", max_age=60, **kind)
    written = cookie.serialize("value", max_age=5, path="/x", secure=False)
    assert written.endswith("; Max-Age=5; Path=/x; HttpOnly; SameSite=Lax")
    assert cookie.parse(pair(written)) == "value"
    assert "Max-Age=60" in cookie.serialize("value")
    assert "Path=/x" in cookie.serialize("", path="/x")


def test_an_override_is_checked_like_any_attribute() -> None:
    """What the cookie would have refused, serialize refuses."""
    with pytest.raises(ConfigurationError):
        Cookie("name").serialize("value", path="/; Secure")


CONTROL = ["\r", "\n", "\0", "\t", "\x7f", ";", "é", "\u2028"]


@pytest.mark.parametrize("character", CONTROL)
def test_no_attribute_can_break_out(character: str) -> None:
    """CR, LF, semicolon, control and non-ASCII characters are refused everywhere."""
    for options in (
        {"name": f"na{character}me"},
        {"name": "a", "path": f"/{character}"},
        {"name": "a", "domain": f"a{character}.example"},
    ):
        with pytest.raises(ConfigurationError):
            Cookie(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a=b"},
        {"name": "a", "path": ""},
        {"name": "a", "path": "app"},
        {"name": "a", "domain": "https://example.com"},
        {"name": "a", "domain": "example.com:80"},
        {"name": "a", "domain": "-a.example"},
        {"name": "a", "max_age": 0},
        {"name": "a", "max_age": -1},
        {"name": "a", "max_age": 1.5},
        {"name": "a", "max_age": True},
        {"name": "a", "max_age": float("inf")},
        {"name": "a", "max_age": float("nan")},
        {"name": "a", "max_age": 0.0},
        {"name": "a", "max_age": "60"},
        {"name": "a", "max_age": timedelta(0)},
        {"name": "a", "max_age": timedelta(seconds=1.5)},
        {"name": "a,b"},
        {"name": None},
        {"name": "a", "domain": "a.example,b.example"},
        {"name": "a", "domain": "..example.com"},
        {"name": "a", "domain": "."},
        {"name": "a", "domain": ""},
        {"name": "a", "domain": 5},
        {"name": "a", "path": 5},
        {"name": "a", "expires": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is the point
        {"name": "a", "samesite": "loose"},
        {"name": "a", "samesite": ""},
        {"name": "a", "samesite": True},
        {"name": "a", "samesite": "None", "secure": False},
        {"name": "a", "samesite": "none", "secure": False},
        {"name": "a", "partitioned": True, "secure": False},
        {"name": "a", "encrypt": True},
        {"name": "a", "encode": str},
        {"name": "a", "decode": str},
        {"name": "a", "secrets": [""]},
        {"name": "a", "secrets": [NEW, ""]},
        {"name": "a", "secrets": [None]},
        {"name": "a", "secrets": NEW},
        {"name": "__Host-a", "secure": False},
        {"name": "__Host-a", "path": "/app"},
        {"name": "__Host-a", "domain": "example.com"},
        {"name": "__hOST-a", "domain": "example.com"},
        {"name": "__Secure-a", "secure": False},
        {"name": "__Http-a", "httponly": False},
        {"name": "__Host-Http-a", "httponly": False},
    ],
    ids=str,
)
def test_what_no_browser_would_keep_is_refused(options: dict[str, Any]) -> None:
    """Configuration fails when the cookie is made."""
    with pytest.raises(ConfigurationError):
        Cookie(**options)


@pytest.mark.parametrize("name", ["__Host-a", "__Secure-a", "__Http-a", "__Host-Http-a", "a_b.c"])
def test_a_prefixed_name_with_its_attributes_is_fine(name: str) -> None:
    """The defaults keep every prefix's promise."""
    assert Cookie(name).name == name


@pytest.mark.parametrize("domain", ["example.com", "localhost", "a-b.co.uk"])
def test_a_host_name_is_a_domain(domain: str) -> None:
    """A leading dot means nothing, and is dropped (RFC 6265, 5.2.3)."""
    for written in (domain, f".{domain}"):
        cookie = Cookie("a", domain=written)
        assert cookie.domain == domain
        assert f"; Domain={domain};" in cookie.serialize("v")
        assert f"; Domain={domain};" in Cookie("a").serialize("v", domain=written)


def test_a_comma_may_be_in_a_path() -> None:
    """RFC 6265, 4.1.1 allows every character but controls and the semicolon."""
    assert "; Path=/a,b;" in Cookie("a", path="/a,b").serialize("v")


@pytest.mark.parametrize("samesite", ["Lax", "lax", "LAX", "Strict", "strict", "none", "NONE"])
def test_samesite_is_written_in_any_case(samesite: Any) -> None:
    """Browsers compare it without case; what is written and read again begins with a capital."""
    cookie = Cookie("a", samesite=samesite)
    assert cookie.samesite == samesite.capitalize()
    for written in (cookie.serialize("v"), Cookie("a").serialize("v", samesite=samesite)):
        assert written.endswith(f"; SameSite={samesite.capitalize()}")


@pytest.mark.parametrize("max_age", [3600, 3600.0, timedelta(hours=1), timedelta(minutes=60)])
def test_a_max_age_is_whole_seconds_however_it_is_given(max_age: float | timedelta) -> None:
    """An int, a whole float or a timedelta; read again, it is an int."""
    cookie = Cookie("a", max_age=max_age)
    assert cookie.max_age == 3600
    assert type(cookie.max_age) is int
    for written in (cookie.serialize("v"), Cookie("a").serialize("v", max_age=max_age)):
        assert "; Max-Age=3600;" in written


@pytest.mark.parametrize(
    ("secrets", "says"),
    [
        (None, "got None: write secrets="),
        ([None], "got None: is the variable that holds the secret set?"),
        ([NEW, None], "got None: is the variable"),
        ("x" * 40, "got one str: write secrets="),
        (b"x" * 40, "got one bytes: write secrets="),
        ([b"x" * 40], "got a bytes among them"),
        ([""], "got an empty text: is the variable"),
        (5, "got one int: write secrets="),
    ],
)
def test_secrets_that_are_none_are_answered_with_what_to_do(secrets: Any, says: str) -> None:
    """`secrets=[os.environ.get(…)]` where the variable is not set is the usual one."""
    with pytest.raises(ConfigurationError, match=r"^secrets must be a list of texts") as raised:
        Cookie("a", secrets=secrets)
    assert says in str(raised.value)
    assert "xxx" not in str(raised.value)


def test_secrets_may_be_any_iterable() -> None:
    """One that can be read only once, too."""
    made = Cookie("a", secrets=iter([NEW, OLD]))  # type: ignore[arg-type]
    assert made.secrets == (NEW, OLD)


def test_only_a_pair_of_quotes_is_no_part_of_a_plain_value() -> None:
    """RFC 6265, 4.1.1; what a value of ours holds of quotes is escaped, and comes back."""
    cookie = Cookie("a")
    assert cookie.parse('a="1"') == "1"
    assert cookie.parse('a="1') == '"1'
    assert cookie.parse('a=""1""') == '"1"'
    for value in ('"1"', '"', '""', '"1', "' 1 '"):
        assert cookie.parse(pair(cookie.serialize(value))) == value


@kinds
def test_a_cookie_that_browsers_would_drop_is_an_error(kind: Kind) -> None:
    """The error carries the name, the size and the limit, and nothing of the value."""
    cookie = Cookie("name", **kind)
    with pytest.raises(CookieTooLarge) as raised:
        cookie.serialize("secret" * 1000)
    error = raised.value
    assert (error.name, error.limit) == ("name", MAX_COOKIE)
    assert error.size > MAX_COOKIE
    assert "secret" not in str(error)
    assert "FileStorage" in str(error)


def test_a_cookie_of_4096_bytes_fits() -> None:
    """The limit is the last size that works."""
    cookie = Cookie("name")
    room = MAX_COOKIE - len(cookie.serialize("x")) + 1
    assert len(cookie.serialize("x" * room)) == MAX_COOKIE
    with pytest.raises(CookieTooLarge):
        cookie.serialize("x" * (room + 1))


def test_a_short_secret_warns() -> None:
    """It works, and says how to make a better one."""
    with pytest.warns(CoatcheckWarning, match="token_urlsafe"):
        Cookie("name", secrets=["short"])


def test_a_long_secret_is_quiet() -> None:
    """Sixteen random bytes as hex are enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cookie("name", secrets=["0123456789abcdef" * 2])


def upside_down(text: str) -> str:
    return text[::-1]


@kinds
def test_an_encoding_of_ones_own_is_used(kind: Kind) -> None:
    """encode comes before the seal, decode after it."""
    cookie = Cookie("name", encode=upside_down, decode=upside_down, **kind)
    assert cookie.parse(pair(cookie.serialize("abc"))) == "abc"
    if not cookie.encrypted:
        assert cookie.serialize("abc").startswith("name=cba")


@kinds
def test_an_encoding_must_be_cookie_safe(kind: Kind) -> None:
    """What encode returns cannot break out of the header."""
    cookie = Cookie("name", encode=lambda text: text + ";", decode=str, **kind)
    with pytest.raises(ConfigurationError):
        cookie.serialize("value")


@kinds
def test_a_decoding_that_fails_reads_as_no_cookie(kind: Kind) -> None:
    """A ValueError of decode is the client's doing."""

    def refuse(text: str) -> str:
        raise ValueError(text)

    cookie = Cookie("name", encode=str, decode=refuse, **kind)
    assert cookie.parse(pair(cookie.serialize("value"))) is None


def test_a_plain_cookie_that_spells_no_text_reads_as_none() -> None:
    """An escape that is no UTF-8 is refused, never an exception."""
    assert Cookie("name").parse("name=%ff") is None


@kinds
def test_a_repr_shows_no_secret(kind: Kind) -> None:
    """A cookie in a log says its name and attributes."""
    shown = repr(Cookie("name", max_age=60, **kind))
    assert "name" in shown
    assert "Max-Age=60" in shown
    assert NEW not in shown


def test_every_cookie_of_the_name_is_a_candidate() -> None:
    """Whose seal is ours, in the order of the header: which one leads to a session is not seen."""
    cookie, other = Cookie("name", secrets=["s" * 32]), Cookie("name", secrets=["x" * 32])
    one, two = (cookie.serialize(value).partition(";")[0] for value in ("one", "two"))
    forged = other.serialize("forged").partition(";")[0]
    for header, found in (
        ("", []),
        (forged, []),
        (one, ["one"]),
        (f"{one}; {forged}; {two}", ["one", "two"]),
        (f"{two}; {one}; {one}", ["two", "one", "one"]),
        (f"{forged}; {forged}", []),
    ):
        for _ in range(2):  # remembered or not
            assert [opened.text for opened in cookie.candidates(header)] == found
