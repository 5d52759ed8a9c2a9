"""Cookies of Flask's own sessions."""

import zlib
from base64 import urlsafe_b64encode

import pytest

from coatcheck import adopt
from coatcheck.adopt.flask import by_category
from tests.adopt.formats import VECTORS, look, read, reason

itsdangerous = pytest.importorskip("itsdangerous")

SECRET = "coatcheck-test-secret-0123456789abcdef"
VECTOR = VECTORS["flask/flashes_permanent"]
READER = adopt.Flask(secrets=[SECRET])


def test_a_framework_that_keeps_flasks_keys_gets_them() -> None:
    """Our interface for Flask reads `_flashes` and `_permanent` itself."""
    found = READER.look(VECTOR["cookies"], VECTOR["now"], {"_flashes", "_permanent"})
    assert isinstance(found, adopt.Adopted)
    assert found.values == {"_flashes": [["message", "hi"]], "_permanent": True, "user_id": 42}
    assert found.flashes == {}


def test_messages_of_one_category_become_a_list() -> None:
    """One message is the flash itself; what is no pair is none."""
    pairs = [["a", 1], ["b", 2], ["a", 3], ["x"], 5, [6, 7]]
    assert by_category(pairs) == {"a": [1, 3], "b": 2}
    assert by_category("x") == {}


def test_a_bomb_that_the_secret_signed_is_refused() -> None:
    """20 kB that become 20 MB."""
    signer = itsdangerous.TimestampSigner(SECRET, salt="cookie-session", key_derivation="hmac")
    packed = urlsafe_b64encode(zlib.compress(b" " * 20_000_000, 9)).rstrip(b"=")
    cookies = {"session": signer.sign(b"." + packed).decode()}
    assert reason(READER, cookies, signer.get_timestamp()) == "too_large"


def test_a_tag_of_the_wrong_type_is_refused() -> None:
    """As everything that Flask would not have written."""
    signer = itsdangerous.TimestampSigner(SECRET, salt="cookie-session", key_derivation="hmac")
    for data in (b'{"a": {" u": "x"}}', b'{" t": []}', b'{"a": {" d": "?"}}'):
        cookies = {"session": signer.sign(urlsafe_b64encode(data).rstrip(b"=")).decode()}
        assert reason(READER, cookies, signer.get_timestamp()) == "damaged"


def test_the_age_counts_from_the_signature() -> None:
    """PERMANENT_SESSION_LIFETIME, whether or not the session is permanent."""
    at = VECTOR["signed_at"]
    assert (
        read(adopt.Flask(secrets=[SECRET], max_age=100), VECTOR["cookies"], at + 99).created == at
    )
    assert look(adopt.Flask(secrets=[SECRET], max_age=100), {}, at) is None
    assert reason(adopt.Flask(secrets=[SECRET], max_age=100), VECTOR["cookies"], at + 100)
