"""Sessions of aiohttp-session."""

import json

import pytest

from coatcheck import adopt
from coatcheck.errors import ConfigurationError
from tests.adopt.formats import PLAIN, VECTORS, Records, read, reason, secrets_of

fernet = pytest.importorskip("cryptography.fernet")

COOKIE, REDIS = VECTORS["aiohttp-session/fernet"], VECTORS["aiohttp-session/redis"]
(KEY,) = secrets_of(COOKIE)
TEXT = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def sealed(inside: bytes, at: int = 1000) -> dict[str, str]:
    """Return a cookie that the real key sealed."""
    token = fernet.Fernet(TEXT).encrypt_at_time(inside, at).decode()
    return {"AIOHTTP_SESSION": f'"{token}"' if token.endswith("=") else token}


@pytest.mark.parametrize("key", [KEY, TEXT, TEXT.encode()])
def test_a_key_is_raw_bytes_or_fernets_text(key: str | bytes) -> None:
    """As the package takes both."""
    reader = adopt.AiohttpSession(secrets=["x" * 32, key])
    assert read(reader, COOKIE["cookies"], COOKIE["now"]).values == PLAIN


@pytest.mark.parametrize("key", ["short", b"\xff" * 33, "é" * 20])
def test_another_key_is_told(key: str | bytes) -> None:
    """When the reader is made."""
    with pytest.raises(ConfigurationError, match="must have 32 bytes"):
        adopt.AiohttpSession(secrets=[key])


@pytest.mark.parametrize(
    "inside", [b"x", b"[]", b'{"created": 1000}', b'{"created": 1000, "session": [["a", 1]]}',
               b'{"session": {}, "created": "x"}', b'{"session": {}}', b"\x80\x04}."],
)  # fmt: skip
def test_a_token_of_something_else_is_refused(inside: bytes) -> None:
    """The same key may seal other things."""
    assert reason(adopt.AiohttpSession(secrets=[KEY]), sealed(inside), 1000.0) == "damaged"


def test_the_older_of_both_times_counts() -> None:
    """A token is refused that is older than the maximum age, and so is what was created before."""
    reader = adopt.AiohttpSession(secrets=[KEY], max_age=100)
    cookies = sealed(json.dumps({"created": 950, "session": {"a": 1}}).encode())
    assert read(reader, cookies, 1049.0).expires == 1050.0
    assert reason(reader, cookies, 1050.0) == "expired"
    assert reason(reader, sealed(b'{"created": 1, "session": {}}', 2000), 1000.0) == "future"


def test_a_token_has_its_own_padding() -> None:
    """More or less of it is another spelling."""
    (token,) = sealed(b'{"created": 1000, "session": {"a": 1}}').values()
    bare = token.strip('"').rstrip("=")
    reader = adopt.AiohttpSession(secrets=[KEY])
    for padding in range(1, 5):
        if (len(bare) + padding) % 4:
            assert reason(reader, {reader.name: bare + "=" * padding}, 1000.0) == "damaged"


def test_in_redis_both_deadlines_count() -> None:
    """The server's time to live, and `max_age` after the last change."""
    id = REDIS["cookies"]["AIOHTTP_SESSION"]
    record = b'{"created": 1000, "session": {"a": 1}}'
    client = Records({f"AIOHTTP_SESSION_{id}": record})
    assert read(adopt.AiohttpSession(client), REDIS["cookies"], 1000.0).expires == 4600.0
    soon = adopt.AiohttpSession(client, max_age=10)
    assert read(soon, REDIS["cookies"], 1000.0).expires == 1010.0
    assert reason(soon, {"AIOHTTP_SESSION": "x"}, 1000.0) == "damaged"
