"""The encrypted session cookie of Rails."""

import hashlib
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from coatcheck import adopt
from tests.adopt.formats import VECTORS, read, reason

aead = pytest.importorskip("cryptography.hazmat.primitives.ciphers.aead")

VECTOR = VECTORS["rails/sha256"]
READER = adopt.Rails(secrets=VECTOR["secrets"], name="_app_session")


def sealed(
    given: bytes, *, digest: str = "sha256", tag: int = 16, **envelope: Any
) -> dict[str, str]:
    """Return a cookie that the real secret sealed."""
    salt = b"authenticated encrypted cookie"
    key = hashlib.pbkdf2_hmac(digest, VECTOR["secrets"][0].encode(), salt, 1000, 32)
    inside = {"message": b64encode(given).decode(), "exp": None, "pur": "cookie._app_session"}
    clear = json.dumps({"_rails": inside | envelope}).encode()
    data = aead.AESGCM(key).encrypt(b"n" * 12, clear, None)
    parts = (data[:-16], b"n" * 12, data[-16:][:tag])
    return {"_app_session": quote("--".join(b64encode(part).decode() for part in parts), safe="")}


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_both_derivations_of_the_key_are_read(digest: str) -> None:
    """Rails 5.2 to 6.1 took SHA-1."""
    assert read(READER, sealed(b'{"a": 1}', digest=digest), 0.0).values == {"a": 1}


def test_marshal_is_refused() -> None:
    """It names classes, and Ruby builds them."""
    assert reason(READER, sealed(b"\x04\x08{\x06I"), 0.0) == "unsupported"


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        ({"pur": "cookie.other"}, "seal"),
        ({"pur": None}, "seal"),
        ({"exp": "2020-01-01T00:00:00.000Z"}, "expired"),
        ({"exp": "2020-01-01T00:00:00"}, "damaged"),
        ({"exp": "soon"}, "damaged"),
        ({"message": None}, "damaged"),
        ({"message": "e"}, "damaged"),
    ],
)
def test_another_purpose_or_a_past_end_is_refused(envelope: dict[str, Any], why: str) -> None:
    """The same secret seals every encrypted cookie of the application."""
    assert reason(READER, sealed(b"{}", **envelope), 2e9) == why


def test_a_short_tag_is_refused() -> None:
    """GCM would take one of 4 bytes, which can be guessed."""
    assert reason(READER, sealed(b"{}", tag=4), 0.0) == "damaged"
    assert reason(READER, {"_app_session": "AAAA--AAAA"}, 0.0) == "damaged"


def test_a_cookie_of_a_session_has_no_end() -> None:
    """So a session middleware wants `until`."""
    assert READER.is_endless
