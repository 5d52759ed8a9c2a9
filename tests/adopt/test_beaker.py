"""Sessions of Beaker."""

import hmac
import json
import pickle
import zlib
from base64 import b64encode

import pytest

from coatcheck import adopt
from tests.adopt.formats import VECTORS, Records, read, reason

COOKIE, REDIS = VECTORS["beaker/cookie_json"], VECTORS["beaker/redis_json"]
SECRET = COOKIE["secrets"][0]
TIMES = {"_creation_time": 1000.0, "_accessed_time": 1100.0}
ID = "5ed2137f27aa48e396d3117c86980103"


def packed(values: object) -> bytes:
    """Return values as Beaker packs them."""
    return b64encode(zlib.compress(json.dumps(values).encode()))


def signed(rest: bytes) -> dict[str, str]:
    """Return a cookie that the real key signed."""
    mac = hmac.digest(SECRET.encode(), rest, "sha1").hex()
    return {"beaker.session.id": mac + rest.decode()}


def test_a_session_ends_after_its_last_use() -> None:
    """`timeout` counts from `_accessed_time`."""
    reader = adopt.Beaker(secrets=[SECRET], max_age=50)
    cookies = signed(packed({"a": 1, **TIMES}))
    found = read(reader, cookies, 1149.0)
    assert (found.values, found.created, found.expires) == ({"a": 1}, 1000.0, 1150.0)
    assert reason(reader, cookies, 1150.0) == "expired"
    assert reason(reader, cookies, 1000.0) == "future"


@pytest.mark.parametrize(
    "rest",
    [
        packed([1]),
        packed({"a": 1}),
        packed({"a": 1, **TIMES, "_accessed_time": "x"}),
        b64encode(zlib.compress(pickle.dumps({"a": 1}))),
        b64encode(b"{}"),
        b"AAAA",
        b"",
    ],
)
def test_what_is_signed_but_is_no_session_is_refused(rest: bytes) -> None:
    """With a pickle inside, as Beaker's default is, it is not read."""
    assert reason(adopt.Beaker(secrets=[SECRET]), signed(rest), 1000.0) == "damaged"


def test_a_bomb_that_the_key_signed_is_refused() -> None:
    """20 kB that become 20 MB."""
    rest = b64encode(zlib.compress(b" " * 20_000_000, 9))
    assert reason(adopt.Beaker(secrets=[SECRET]), signed(rest), 1000.0) == "too_large"


def test_the_signature_has_one_spelling() -> None:
    """Hexadecimal digits in lower case."""
    value = COOKIE["cookies"]["beaker.session.id"]
    upper = {"beaker.session.id": value[:40].upper() + value[40:]}
    assert reason(adopt.Beaker(secrets=[SECRET]), upper, COOKIE["now"]) == "seal"


def test_without_a_secret_the_cookie_is_the_id() -> None:
    """`session.secret` is optional on a server."""
    record = pickle.dumps(packed({"a": 1, **TIMES}))
    client = Records({f"beaker_cache:{ID}:session": record}, ttl=None)
    found = read(adopt.Beaker(client), {"beaker.session.id": ID}, 1000_000.0)
    assert (found.values, found.expires) == ({"a": 1}, None)
    assert reason(adopt.Beaker(client), {"beaker.session.id": "x y"}, 0.0) == "damaged"


@pytest.mark.parametrize("record", [{"session": {}}, 5, None])
def test_a_record_that_is_no_text_is_refused(record: object) -> None:
    """Beaker with `data_serializer = json` pickles one text."""
    client = Records({f"beaker_cache:{ID}:session": pickle.dumps(record)})
    assert reason(adopt.Beaker(client), {"beaker.session.id": ID}, 0.0) == "unsupported"
