"""What does not open is None."""

import sys

import pytest

from coatcheck import adopt
from coatcheck.adopt import ciphers
from coatcheck.errors import ConfigurationError


def test_what_has_no_length_of_a_sealed_text_does_not_open() -> None:
    """A nonce has 12 bytes, a tag 16, and a block 16."""
    assert ciphers.open_gcm(b"k" * 32, b"n" * 11, b"x" * 40, None) is None
    assert ciphers.open_gcm(b"k" * 32, b"n" * 12, b"x" * 15, None) is None
    assert ciphers.open_cbc(b"k" * 32, b"i" * 15, b"x" * 16) is None
    assert ciphers.open_cbc(b"k" * 32, b"i" * 16, b"x" * 17) is None
    assert ciphers.open_cbc(b"k" * 32, b"i" * 16, b"") is None


def test_padding_is_checked() -> None:
    """PKCS #7: as many bytes as each of them says."""
    assert ciphers.open_cbc(b"k" * 32, b"i" * 16, b"x" * 16) is None


def test_a_missing_package_is_told_when_the_reader_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in the first request."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigurationError, match=r"coatcheck\[encrypt\]"):
        adopt.AuthJs(secrets=["x" * 32])
