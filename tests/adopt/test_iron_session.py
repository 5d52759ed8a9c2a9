"""Cookies of iron-session."""

import hmac
from datetime import date

import pytest

from coatcheck import adopt
from coatcheck._cookie.base64url import pack_base64url
from coatcheck.adopt.iron_session import _key
from tests.adopt.formats import PLAIN, VECTORS, read, reason

VECTOR = VECTORS["iron-session"]
(SECRET,) = VECTOR["secrets"]
VALUE = VECTOR["cookies"]["session"]
READER = adopt.IronSession(secrets=[SECRET])


def resealed(**changes: str) -> dict[str, str]:
    """Return the vector's cookie with other parts, signed with the real password."""
    names = ["prefix", "id", "salt", "iv", "data", "expiry"]
    parts = dict(zip(names, VALUE.split("*"), strict=False)) | changes
    signed = "*".join(parts[name] for name in names)
    mac = hmac.digest(_key(SECRET.encode(), "salt"), signed.encode(), "sha256")
    return {"session": f"{signed}*salt*{pack_base64url(mac)}~2"}


def test_a_minute_after_its_end_a_seal_is_still_taken() -> None:
    """As the package does."""
    assert read(READER, VECTOR["cookies"], VECTOR["expires_at"] + 59).values == PLAIN
    assert reason(READER, VECTOR["cookies"], VECTOR["expires_at"] + 61) == "expired"


@pytest.mark.parametrize(
    "changes",
    [{"prefix": "Fe26.1"}, {"expiry": "soon"}, {"expiry": "9" * 30}, {"iv": "AAAA"},
     {"data": "AAAA"}, {"data": "!"}, {"salt": "x" * 200}, {"id": "1*2"}],
)  # fmt: skip
def test_a_seal_of_something_else_is_refused(changes: dict[str, str]) -> None:
    """Also if the password signed it."""
    assert reason(READER, resealed(**changes), VECTOR["now"]) == "damaged"


def test_without_an_end_until_is_needed() -> None:
    """`ttl: 0` makes such seals."""
    cookies = resealed(expiry="")
    assert reason(READER, cookies, VECTOR["now"]) == "unsupported"
    reader = adopt.IronSession(secrets=[SECRET], until=date(2099, 1, 1))
    assert read(reader, cookies, VECTOR["now"]).expires is None


def test_without_its_version_the_session_is_under_persistent() -> None:
    """As older versions wrote it."""
    cookies = {"session": VALUE.removesuffix("~2")}
    assert reason(READER, cookies, VECTOR["now"]) == "damaged"
