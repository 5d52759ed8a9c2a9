"""
Text that was signed together with the time: itsdangerous, and Django's own signing.

    starlette, flask    payload . base64url(time) . base64url(HMAC-SHA1)
    django              payload : base62(time) : base64url(HMAC-SHA256)

Pure: values in, values out.

Source: https://github.com/pallets/itsdangerous/blob/main/src/itsdangerous/timed.py and
https://github.com/django/django/blob/main/django/core/signing.py
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from string import ascii_lowercase, ascii_uppercase, digits
from typing import NamedTuple

from coatcheck.adopt.refused import Refused
from coatcheck.adopt.texts import bare, check_mac, from_base64url, inflated

_BASE62 = digits + ascii_uppercase + ascii_lowercase

_LONGEST_TIME = 8
"""Characters of a time: there is none beyond the year 9999."""


class Timed(NamedTuple):
    """The signed parts: the payload, the Unix time, and both as the signature covers them."""

    payload: str
    signed_at: float
    signed: bytes

    def __repr__(self) -> str:
        return "<Timed>"


def sha1_keys(secrets: Iterable[bytes], salt: bytes) -> list[bytes]:
    """Return itsdangerous' keys by its default derivation, "django-concat"."""
    return [_sha1(salt + b"signer" + secret) for secret in secrets]


def hmac_keys(secrets: Iterable[bytes], salt: bytes) -> list[bytes]:
    """Return itsdangerous' keys by the derivation "hmac"."""
    return [hmac.digest(secret, salt, "sha1") for secret in secrets]


def django_keys(secrets: Iterable[bytes], salt: bytes) -> list[bytes]:
    """Return the keys of Django's `TimestampSigner`."""
    return [hashlib.sha256(salt + b"signer" + secret).digest() for secret in secrets]


def opened(value: str, keys: Sequence[bytes]) -> Timed:
    """
    Return what itsdangerous' `TimestampSigner` signed.

    Raises:
        Refused: No key verifies it.
    """
    text = bare(value)
    signed, _, mac = text.rpartition(".")
    check_mac(keys, signed.encode(), from_base64url(mac), "sha1")
    payload, _, stamp = signed.rpartition(".")
    time = from_base64url(stamp)
    if not time or len(time) > _LONGEST_TIME:
        raise Refused("damaged")
    return Timed(payload, float(int.from_bytes(time, "big")), signed.encode())


def django_opened(value: str, keys: Sequence[bytes]) -> Timed:
    """
    Return what Django's `TimestampSigner` signed.

    Raises:
        Refused: No key verifies it.
    """
    text = bare(value)
    signed, _, mac = text.rpartition(":")
    check_mac(keys, signed.encode(), from_base64url(mac), "sha256")
    payload, _, stamp = signed.rpartition(":")
    return Timed(payload, float(_from_base62(stamp)), signed.encode())


def payload_bytes(payload: str) -> bytes:
    """Return the bytes of a payload, inflated if it begins with a dot."""
    if payload.startswith("."):
        return inflated(from_base64url(payload[1:]))
    return from_base64url(payload)


def unsigned(value: str, keys: Sequence[bytes]) -> str:
    """
    Return what itsdangerous' `Signer` signed, without a time.

    Raises:
        Refused: No key verifies it.
    """
    text, _, mac = bare(value).rpartition(".")
    check_mac(keys, text.encode(), from_base64url(mac), "sha1")
    return text


def _from_base62(text: str) -> int:
    number = 0
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    if not text or len(text) > _LONGEST_TIME or any(digit not in _BASE62 for digit in text):
        raise Refused("damaged")
    for digit in text:
        number = number * len(_BASE62) + _BASE62.index(digit)
    return sign * number


def _sha1(data: bytes) -> bytes:
    """Return the digest by which itsdangerous makes keys; it protects nothing by itself."""
    return hashlib.sha1(data, usedforsecurity=False).digest()
