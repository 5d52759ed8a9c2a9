"""The texts that cookies are made of: one spelling each, and no more bytes than a session has."""

import zlib

import pytest

from coatcheck.adopt import texts
from coatcheck.adopt.refused import Refused


@pytest.mark.parametrize("text", ["AA", "AB==", "AA=", "AA==\n", "A-==", "====", "é", "\x00\x00=="])
def test_base64_has_one_spelling(text: str) -> None:
    """Padding, unused bits, another alphabet and skipped characters are refused."""
    with pytest.raises(Refused):
        texts.from_base64(text)
    assert texts.from_base64("AA==") == b"\0"


@pytest.mark.parametrize("text", ["%", "%4", "a%4g", "%ff", "%%41"])
def test_a_percent_sign_stands_before_two_digits(text: str) -> None:
    """And for ASCII alone."""
    with pytest.raises(Refused):
        texts.from_percent(text)
    assert texts.from_percent("s%3Aa%2F") == "s:a/"


def test_inflation_is_bounded() -> None:
    """20 kB that would become 20 MB are refused; so is a stream that is cut or goes on."""
    packed = zlib.compress(b"x" * 20_000_000)
    with pytest.raises(Refused, match="too_large"):
        texts.inflated(packed)
    small = zlib.compress(b"hello")
    assert texts.inflated(small) == b"hello"
    for wrong in (small[:-1], small + b"x", b"hello", b""):
        with pytest.raises(Refused, match="damaged"):
            texts.inflated(wrong)


@pytest.mark.parametrize("data", ["[" * 100_000, '{"a":', "[]", "nul", '"\\ud800"', "1"])
def test_json_is_an_object_of_bounded_depth(data: str) -> None:
    """A list of pairs would turn into a dict elsewhere."""
    with pytest.raises(Refused):
        texts.json_object(data)


def test_json_of_a_megabyte_is_refused() -> None:
    """Before it is read."""
    with pytest.raises(Refused, match="too_large"):
        texts.from_json(b" " * 1_000_001)


@pytest.mark.parametrize("value", [True, "1", None, -1, 1e300, float("nan")])
def test_a_time_is_a_number_of_seconds(value: object) -> None:
    """From 1970 to the year 9999."""
    with pytest.raises(Refused):
        texts.as_time(value)


def test_a_value_may_be_in_double_quotes() -> None:
    """As some packages write it; a value that is too long, or no ASCII, is refused."""
    assert texts.bare('"a"') == "a"
    assert texts.bare('"') == '"'
    for wrong in ("é", "x" * 70_000):
        with pytest.raises(Refused):
            texts.bare(wrong)
