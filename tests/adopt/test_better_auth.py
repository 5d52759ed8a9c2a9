"""Cookies of better-auth."""

import json
from typing import Any

from coatcheck import adopt
from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from tests.adopt.formats import VECTORS, read, reason

VECTOR = VECTORS["better_auth"]
TOKEN, DATA = VECTOR["cookies"]
READER = adopt.BetterAuth(secrets=VECTOR["secrets"])
CACHED = json.loads(unpack_base64url(VECTOR["cookies"][DATA]) or b"")


def test_data_without_its_token_is_no_session() -> None:
    """It would outlive a sign-out."""
    assert READER.read({DATA: VECTOR["cookies"][DATA]}, VECTOR["now"]) is None
    alone = {TOKEN: VECTOR["cookies"][TOKEN]}
    assert reason(READER, alone, VECTOR["now"]) == "gone"


def test_the_data_ends_after_minutes() -> None:
    """`expiresAt` in the data counts."""
    assert reason(READER, VECTOR["cookies"], CACHED["expiresAt"] / 1000) == "expired"
    found = read(READER, VECTOR["cookies"], VECTOR["now"])
    assert found.expires == VECTOR["expires_at"]
    assert READER.names(["x", TOKEN, DATA]) == [TOKEN, DATA]


def test_data_that_was_changed_is_refused() -> None:
    """Its signature covers every key, and the end."""
    changes: list[dict[str, Any]] = [
        {"expiresAt": 9e15},
        {"session": {}},
        {"signature": None},
        {"session": []},
    ]
    for change in changes:
        data = pack_base64url(json.dumps(CACHED | change).encode())
        cookies = VECTOR["cookies"] | {DATA: data}
        assert reason(READER, cookies, VECTOR["now"]) in ("seal", "damaged")


def test_data_of_another_token_is_refused() -> None:
    """Each may be genuine."""
    token = READER._keys[0]
    import hmac
    from base64 import b64encode
    from urllib.parse import quote

    mac = b64encode(hmac.digest(token, b"another", "sha256")).decode()
    cookies = VECTOR["cookies"] | {TOKEN: quote(f"another.{mac}", safe="")}
    assert reason(READER, cookies, VECTOR["now"]) == "seal"
