"""Unpadded base64url, of which exactly one spelling is read."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._cookie.base64url import pack_base64url, unpack_base64url


@given(data=st.binary())
def test_bytes_come_back(data: bytes) -> None:
    """As the standard library writes them, without the padding."""
    text = pack_base64url(data)
    assert text == urlsafe_b64encode(data).decode().rstrip("=")
    assert unpack_base64url(text) == data


@given(text=st.text(alphabet="ABQgwx_-+/= \n\\u0é", max_size=12) | st.text())
def test_every_other_spelling_is_none(text: str) -> None:
    """What is read is what would be written: no text stands for the bytes of another."""
    data = unpack_base64url(text)
    assert data is None or pack_base64url(data) == text


@pytest.mark.parametrize(
    "text",
    ["QQ==", "QQ=", "QR", "QUJ", "Q", "QUJDR", "a+b_", "a/b_", "QUJD\n", " QUJD", "QUJD ",
     "\\u0051QUJ", 'QUJ"', "QUJé", "\ud800QUJ", "QU.J"],
)  # fmt: skip
def test_a_forgiving_decoder_would_read_this(text: str) -> None:
    """Padding, unused bits, the other alphabet, white space, escapes and half a group."""
    assert unpack_base64url(text) is None


@pytest.mark.parametrize("size", [1, 2])
def test_of_a_last_group_one_spelling_in_so_many_is_read(size: int) -> None:
    """A last character has 4 or 2 unused bits: of 16 or 4 texts with the same bytes, one is it."""
    start, unused = "QUJD"[:size], {1: 16, 2: 4}[size]
    texts = [start + last for last in map(pack_last, range(64))]
    read = [text for text in texts if unpack_base64url(text) is not None]
    assert len(read) == 64 // unused
    assert len({urlsafe_b64decode(text + "=" * (3 - size)) for text in texts}) == 64 // unused


def pack_last(number: int) -> str:
    """Return the character of base64url that stands for six bits."""
    return pack_base64url(bytes([number << 2]))[0]
