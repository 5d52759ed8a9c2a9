"""Bodies of records are encrypted with keys that no server sees."""

import sys

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import ConfigurationError
from coatcheck._session.body_cipher import OVERHEAD, BodyCipher, key_of_body
from coatcheck._session.ids import new_id

ID, BEFORE = "A" * 40, b"all that stands before"
CIPHER = BodyCipher()


@given(body=st.binary(max_size=100))
def test_a_body_comes_back(body: bytes) -> None:
    """With the same id and the same bytes before it."""
    sealed = CIPHER.encrypt(body, id=ID, before=BEFORE)
    assert CIPHER.decrypt(sealed, id=ID, before=BEFORE) == body
    assert len(sealed) == len(body) + OVERHEAD


@given(place=st.integers(0, 60), bit=st.integers(0, 7))
def test_a_changed_bit_is_found(place: int, bit: int) -> None:
    """Nonce, ciphertext and tag are authenticated."""
    sealed = bytearray(CIPHER.encrypt(b"x" * 33, id=ID, before=BEFORE))
    sealed[place] ^= 1 << bit
    assert CIPHER.decrypt(bytes(sealed), id=ID, before=BEFORE) is None


def test_another_id_or_another_header_opens_nothing() -> None:
    """So no deadline, owner or time before the body can be changed."""
    sealed = CIPHER.encrypt(b"body", id=ID, before=BEFORE)
    assert CIPHER.decrypt(sealed, id=new_id(), before=BEFORE) is None
    assert CIPHER.decrypt(sealed, id=ID, before=BEFORE[:-1]) is None


@pytest.mark.parametrize("sealed", [b"", b"short", b"x" * 27])
def test_bytes_that_are_too_short_open_nothing(sealed: bytes) -> None:
    """They come from a server, and raise nothing."""
    assert CIPHER.decrypt(sealed, id=ID, before=BEFORE) is None


def test_each_encryption_takes_a_fresh_nonce() -> None:
    """A refresh of the same body shows no server that nothing changed."""
    sealed = {CIPHER.encrypt(b"body", id=ID, before=BEFORE) for _ in range(50)}
    assert len({each[:12] for each in sealed}) == 50


def test_the_key_is_hkdf_as_rfc_5869_has_it() -> None:
    """Compared with the implementation of cryptography."""
    derived = HKDF(SHA256(), 32, salt=None, info=b"coatcheck 1 record body").derive(ID.encode())
    assert key_of_body(ID) == derived


def test_without_cryptography_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"coatcheck\[encrypt\]"):
        BodyCipher()
