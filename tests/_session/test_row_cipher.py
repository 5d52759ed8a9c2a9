"""Rows of a roster under the secrets of a cookie."""

import sys

import pytest

from coatcheck import ConfigurationError
from coatcheck._session.row_cipher import RowCipher

OLD, NEW = "an old secret of thirty-two characters", "a new secret of thirty-two characters"
TAG = b"12345678"


def test_a_row_opens_under_every_secret_and_is_sealed_by_the_first() -> None:
    """A secret is rotated without losing a list."""
    sealed = RowCipher([OLD]).encrypt(b"row", tag=TAG)
    assert b"row" not in sealed
    assert RowCipher([NEW, OLD]).decrypt(sealed, tag=TAG) == b"row"
    newer = RowCipher([NEW, OLD]).encrypt(b"row", tag=TAG)
    assert RowCipher([OLD]).decrypt(newer, tag=TAG) is None


def test_a_row_of_another_roster_does_not_open() -> None:
    """A server cannot move a device to the list of another user."""
    cipher = RowCipher([OLD])
    assert cipher.decrypt(cipher.encrypt(b"row", tag=TAG), tag=b"87654321") is None


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 60])
def test_damaged_bytes_do_not_open(damaged: bytes) -> None:
    """They are an answer, not an error."""
    assert RowCipher([OLD]).decrypt(damaged, tag=TAG) is None


def test_the_same_row_never_looks_the_same() -> None:
    """Each gets a nonce of its own; the repr shows no secret."""
    cipher = RowCipher([OLD])
    assert cipher.encrypt(b"row", tag=TAG) != cipher.encrypt(b"row", tag=TAG)
    assert repr(cipher) == "<RowCipher under 1 secrets>"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is set up, not when the first user signs in."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'coatcheck\[encrypt\]'"):
        RowCipher([OLD])
