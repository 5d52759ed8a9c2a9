"""Seals: signed or encrypted, for one purpose, by several secrets."""

import hashlib
import hmac
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import CoatcheckWarning, ConfigurationError
from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._cookie.sealing import (
    MAX_SEALED,
    Encrypter,
    Opened,
    Seal,
    Signer,
    checked_secrets,
)

OLD, NEW = "o" * 32, "n" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Make = Callable[..., Seal]

both = pytest.mark.parametrize("make", [Signer, Encrypter])


@both
def test_what_was_sealed_opens(make: Make) -> None:
    """A seal gives back the text it was given."""
    seal = make([NEW], purpose="a")
    assert seal.open(seal.seal("text")) == Opened("text", stale=False)


@both
def test_every_secret_opens_and_the_first_seals(make: Make) -> None:
    """An older secret's seal opens, marked as due anew; new seals open with the newest alone."""
    old, new, rotated = (make(keys, purpose="a") for keys in ([OLD], [NEW], [NEW, OLD]))
    assert rotated.open(old.seal("text")) == Opened("text", stale=True)
    assert new.open(rotated.seal("text")) == Opened("text", stale=False)
    assert old.open(rotated.seal("text")) is None


@both
def test_a_seal_for_one_purpose_opens_for_no_other(make: Make) -> None:
    """The same secret seals for many uses, and none is taken for another."""
    assert make([NEW], purpose="b").open(make([NEW], purpose="a").seal("text")) is None


def test_signed_and_encrypted_are_never_mixed_up() -> None:
    """A signature under one secret is no encryption under it, and the other way round."""
    signer, encrypter = Signer([NEW], purpose="a"), Encrypter([NEW], purpose="a")
    assert encrypter.open(signer.seal("text")) is None
    assert signer.open(encrypter.seal("text")) is None


@both
def test_every_changed_character_is_noticed(make: Make) -> None:
    """Each character replaced by others, also those that differ in the spare bits alone."""
    seal = make([NEW], purpose="a")
    sealed = seal.seal("some-text")
    for place, character in enumerate(sealed):
        for other in {character.swapcase(), "A", "B", "-", "_", ".", "=", "\0", "é"} - {character}:
            assert seal.open(sealed[:place] + other + sealed[place + 1 :]) is None
    for other in set(ALPHABET) - {sealed[-1]}:
        assert seal.open(sealed[:-1] + other) is None


@both
def test_every_other_length_is_noticed(make: Make) -> None:
    """Truncated at either end, extended, padded, doubled: refused."""
    seal = make([NEW], purpose="a")
    sealed = seal.seal("some-text")
    for length in range(len(sealed)):
        assert seal.open(sealed[:length]) is None
        assert seal.open(sealed[length + 1 :]) is None
    for extended in (sealed + "=", sealed + "A", " " + sealed, sealed + "\n", sealed + sealed):
        assert seal.open(extended) is None


@both
@given(text=st.text())
def test_no_text_raises_and_none_opens(make: Make, text: str) -> None:
    """What a client sends is refused, never an exception."""
    assert make([NEW], purpose="a").open(text) is None
    assert make([NEW], purpose="a").open(f"{text}.{'A' * 43}") is None


@given(text=st.text())
def test_an_encrypter_takes_any_text(text: str) -> None:
    """All text that can be written down comes back."""
    seal = Encrypter([NEW], purpose="a")
    assert seal.open(seal.seal(text)) == Opened(text, stale=False)


def test_a_signature_is_hmac_sha256() -> None:
    """The copied hash states give what the standard library's HMAC gives."""
    key = hmac.digest(NEW.encode(), b"coatcheck 1 sign a", "sha256")
    for text in ("", "a", "b" * 55, "c" * 56, "d" * 500):
        expected = pack_base64url(hmac.digest(key, text.encode(), hashlib.sha256))
        assert Signer([NEW], purpose="a").seal(text) == f"{text}.{expected}"


def test_signed_text_travels_as_it_is() -> None:
    """A signature adds 44 characters, and changes nothing."""
    assert len(Signer([NEW], purpose="a").seal("x" * 100)) == 144


def test_nothing_is_base64_encoded_twice() -> None:
    """Encrypted base64url takes its bytes, 29 more, and one base64 encoding of that."""
    sealed = Encrypter([NEW], purpose="a").seal(pack_base64url(bytes(300)))
    assert len(sealed) == -(-(300 + 29) * 4 // 3)


def test_two_encryptions_of_one_text_differ() -> None:
    """A nonce is used once, so equal values do not show as equal."""
    seal = Encrypter([NEW], purpose="a")
    assert seal.seal("text") != seal.seal("text")
    assert "text" not in seal.seal("text")


@both
def test_length_is_checked_before_any_cryptography(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no browser keeps costs nothing to refuse."""
    seal = make([NEW], purpose="a")

    def fail(*_: object) -> str:
        raise AssertionError("cryptography was asked")

    monkeypatch.setattr("coatcheck._cookie.sealing._signature", fail)
    monkeypatch.setattr("coatcheck._cookie.sealing.unpack_base64url", fail)
    assert seal.open("A" * (MAX_SEALED + 1)) is None


def test_comparison_is_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """hmac.compare_digest decides, and nothing else does."""
    asked = []

    def compare(a: str, b: str) -> bool:
        asked.append((a, b))
        return False

    seal = Signer([NEW], purpose="a")
    monkeypatch.setattr("hmac.compare_digest", compare)
    assert seal.open(seal.seal("text")) is None
    assert len(asked) == 1


@given(data=st.binary())
def test_base64url_comes_back(data: bytes) -> None:
    """Bytes to text and back; the text has no padding."""
    text = pack_base64url(data)
    assert unpack_base64url(text) == data
    assert set(text) <= set(ALPHABET)


@given(text=st.text(alphabet=ALPHABET + "+/= \né", max_size=12))
def test_only_one_spelling_of_base64url_counts(text: str) -> None:
    """What is not exactly what the encoder writes is refused."""
    data = unpack_base64url(text)
    assert data is None or pack_base64url(data) == text


def test_encryption_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'coatcheck\[encrypt\]'"):
        Encrypter([NEW], purpose="a")


@both
def test_a_repr_shows_no_secret(make: Make) -> None:
    """A seal in a log says nothing."""
    assert NEW not in repr(make([NEW], purpose="a"))


def test_secrets_can_seal() -> None:
    """They come back in their order; none is fine: the cookie is not sealed."""
    assert checked_secrets(["a" * 32, "b" * 32]) == ("a" * 32, "b" * 32)
    assert checked_secrets([]) == ()


@pytest.mark.parametrize("secrets", ["a" * 32, b"a" * 32, ["a" * 32, ""], [None], [b"a" * 32]])
def test_what_is_no_list_of_secrets_is_refused(secrets: Any) -> None:
    """One text would be a secret for each letter; the message shows none of them."""
    with pytest.raises(ConfigurationError, match="secret") as raised:
        checked_secrets(secrets)
    assert "aaa" not in str(raised.value)


def test_a_short_secret_warns() -> None:
    """It works, and can be guessed; the message says how to make a longer one."""
    with pytest.warns(CoatcheckWarning, match=r"8 characters.*token_urlsafe") as warned:
        checked_secrets(["hunter22"])
    assert "hunter22" not in str(warned[0].message)


def test_what_was_opened_shows_nothing() -> None:
    """A value may be an id."""
    assert repr(Opened("hunter2", stale=True)) == "<Opened stale=True>"
