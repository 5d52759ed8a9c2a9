"""Proofs of a device: what Chromium sent, and what is refused."""

import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from coatcheck import ConfigurationError
from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._session.proof import Proof, Proofs, mark_of
from tests.devices import Key, number, rsa_key

PROOFS = Proofs()

REGISTRATION = (
    "eyJhbGciOiJFUzI1NiIsImp3ayI6eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6Ikp0MGF3V25Xc3F1QVlUcmtY"
    "WUhKaG9mZ1ZGUzVZa1kyemdIS01xQnRsaTQiLCJ5IjoidzBuWHRsbDFNTFRxaGQxQ0V2dktwemFmRUJwLU4tanZpcVhj"
    "TFJHeHpwVSJ9LCJ0eXAiOiJkYnNjK2p3dCJ9.eyJhdXRob3JpemF0aW9uIjoiYXV0aC0xIiwianRpIjoiVDZ4RUNEQjd"
    "KTGV0c0JCWjd6b1JLQSJ9.a9WPkvWox-gMhScAUIM3nlPlFwLwda4Y06t_DUr1KrURxVzFexDrgQ11T6XlO-4dO35NvR"
    "Fh5kv5hsYyV8MaFw"
)
REFRESHES = {
    "pu6YTDxgHbKrwotokfjvvg": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.eyJqdGkiOiJwdTZZVER4Z0h"
    "iS3J3b3Rva2ZqdnZnIn0.mVDvIOn3dIeAuFzPRXAzGE5R3G3jmLW18C0j24QNIaVg2j3pekwgwUu_Bd549L7FwwSg6rYu"
    "mBln-VJrNrbx4Q",
    "ovAQGPhlPEDUGWdbEuFSbQ": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.eyJqdGkiOiJvdkFRR1BobFB"
    "FRFVHV2RiRXVGU2JRIn0.BRi6NgpoFauLKNjSD2Hrr4XwDgJPBCfQBONTQzb8lAtv5CEX76kJytHXg63pUvP5UgIgeeZ_"
    "10uqjuMNWQhR-w",
    "tTNG5zvtUzjms_5cQtvP2g": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.eyJqdGkiOiJ0VE5HNXp2dFV"
    "6am1zXzVjUXR2UDJnIn0.grhiGUyCaILNsyYBv3NsI-i7upfka-roigOZq9uXNe7Dt8CKbqC6HFmYWUcW7AhdQTfex-3"
    "j9pNbkL81W-vp0w",
}
"""What Chromium 156 sent: a registration, and three refreshes by their challenges."""


@pytest.fixture(scope="module")
def curve() -> Key:
    return Key()


@pytest.fixture(scope="module")
def rsa() -> Key:
    return rsa_key()


def test_what_chromium_sent_is_accepted() -> None:
    """The key of the registration verifies each later proof."""
    first = PROOFS.registering(REGISTRATION)
    assert isinstance(first, Proof)
    assert (first.challenge, first.authorization) == ("T6xECDB7JLetsBBZ7zoRKA", "auth-1")
    for challenge, jws in REFRESHES.items():
        assert PROOFS.holding(jws, first.key) == Proof(first.key, challenge, "")


@pytest.mark.parametrize("kind", ["curve", "rsa"])
def test_both_kinds_of_keys_are_known(kind: str, request: pytest.FixtureRequest) -> None:
    """ES256 on P-256, and RS256."""
    key: Key = request.getfixturevalue(kind)
    first = PROOFS.registering(key.registers("c", "a"))
    assert isinstance(first, Proof)
    assert (first.challenge, first.authorization) == ("c", "a")
    assert PROOFS.holding(key.refreshes("d"), first.key) == Proof(first.key, "d", "")


def test_proofs_of_one_challenge_have_marks_of_their_own(curve: Key) -> None:
    """Of two tabs that sign the same challenge, each counts once."""
    assert mark_of(curve.refreshes("d")) != mark_of(curve.refreshes("d"))


def known(key: Key) -> bytes:
    """Return the key that a registration brought."""
    proof = PROOFS.registering(key.registers("c", "a"))
    assert isinstance(proof, Proof)
    return proof.key


@pytest.mark.parametrize(
    ("header", "flaw"),
    [
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "RS256"}, "algorithm"),
        ({"typ": "JWT"}, "type"),
        ({"jwk": None}, "malformed"),
        ({"crit": ["exp"]}, "malformed"),
        ({"alg": 1}, "malformed"),
    ],
)
def test_another_header_is_refused(curve: Key, header: dict[str, Any], flaw: str) -> None:
    """At a registration and at a refresh; the key decides the algorithm, not the header."""
    assert PROOFS.registering(curve.registers("c", "a", **header)) == flaw
    assert PROOFS.holding(curve.refreshes("c", **header), known(curve)) == flaw


def test_a_key_belongs_to_a_registration_alone(curve: Key) -> None:
    """There it must be; at a refresh it is refused, also if it is the right one."""
    assert PROOFS.registering(curve.refreshes("c")) == "key"
    assert PROOFS.holding(curve.refreshes("c", jwk=curve.jwk), known(curve)) == "key"


def test_the_signature_of_another_key_is_refused(curve: Key, rsa: Key) -> None:
    """Of either kind, and a header that names another key than the one that signed."""
    assert PROOFS.holding(Key().refreshes("c"), known(curve)) == "signature"
    assert PROOFS.holding(rsa.refreshes("c"), known(curve)) == "algorithm"
    assert PROOFS.holding(rsa.refreshes("c", alg="ES256"), known(curve)) == "signature"
    assert PROOFS.holding(curve.refreshes("c", alg="RS256"), known(rsa)) == "signature"
    assert PROOFS.registering(curve.registers("c", "a", jwk=Key().jwk)) == "signature"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_was_changed_after_it_was_signed_is_refused(curve: Key, part: int) -> None:
    """A bit of any part."""
    parts = curve.refreshes("challenge").split(".")
    data = bytearray(unpack_base64url(parts[part]) or b"")
    data[-4] ^= 1
    parts[part] = pack_base64url(bytes(data))
    assert PROOFS.holding(".".join(parts), known(curve)) in ("signature", "malformed", "type")


def swapped(jwk: dict[str, str], **other: str) -> dict[str, str]:
    return {**jwk, **other}


def test_a_key_that_is_none_or_weak_is_refused(curve: Key, rsa: Key) -> None:
    """Off the curve, of another curve, too short, too small, with another exponent."""
    off = swapped(curve.jwk, y=curve.jwk["x"])
    short = swapped(curve.jwk, x=number(1))
    other = swapped(curve.jwk, crv="P-384")
    untrue = swapped(curve.jwk, x="not base64url!")
    for jwk in (off, short, other, untrue, {"kty": "oct"}, {"kty": "EC"}):
        assert PROOFS.registering(curve.registers("c", "a", jwk=jwk)) == "key"
    small = rsa_key(1024)
    assert PROOFS.registering(small.registers("c", "a")) == "key"
    huge = swapped(rsa.jwk, n=number((1 << 4097) + 1))
    even = swapped(rsa.jwk, n=number((1 << 2047) + 2))
    for jwk in (swapped(rsa.jwk, e=number(3)), huge, swapped(rsa.jwk, n="?")):
        assert PROOFS.registering(rsa.registers("c", "a", jwk=jwk)) == "key"
    assert PROOFS.registering(rsa.registers("c", "a", jwk=even)) in ("key", "signature")


def test_a_signature_of_another_length_is_refused(curve: Key) -> None:
    """ES256 has r and s, 32 bytes each: DER is not accepted (RFC 7518, 3.4)."""
    first, second, _ = curve.refreshes("c").split(".")
    der = curve.private.sign(f"{first}.{second}".encode(), ec.ECDSA(PROOFS._sha256))
    assert PROOFS.holding(f"{first}.{second}.{pack_base64url(der)}", known(curve)) == "signature"
    assert PROOFS.holding(f"{first}.{second}.{'A' * 86}", known(curve)) == "signature"


@pytest.mark.parametrize(
    "jws",
    [
        "",
        "a",
        "..",
        "a.b.c",
        "a.b.c.d",
        "é.é.é",
        f"{pack_base64url(b'{')}.e30.AAAA",
        f"{pack_base64url(b'[]')}.e30.AAAA",
        f"{pack_base64url(b'[' * 3000)}.e30.AAAA",
        f"{pack_base64url(bytes([255, 254]))}.e30.AAAA",
        "e30.e30.AAAA",
        f"{'A' * 4096}.e30.AAAA",
        REGISTRATION + "=",
        REGISTRATION.replace(".", " .", 1),
        REGISTRATION.rpartition(".")[0] + ".",
    ],
)
def test_what_is_no_proof_is_refused(jws: str) -> None:
    """Malformed, oversized, in another spelling: an answer, never an exception."""
    assert PROOFS.registering(jws) == "malformed"
    assert PROOFS.holding(jws, b"") == "malformed"


def test_a_proof_shows_nothing_in_a_log(curve: Key) -> None:
    """No challenge and no key."""
    proof = PROOFS.registering(curve.registers("the challenge", "a"))
    assert repr(proof) == "<Proof>"


def test_the_package_that_verifies_is_named_if_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And how to install it."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"coatcheck\[bound\]"):
        Proofs()
