"""Session cookies of Auth.js."""

import json

import pytest

from coatcheck import adopt
from coatcheck._cookie.base64url import pack_base64url
from tests.adopt.formats import VECTORS, read, reason

VECTOR = VECTORS["auth_js_jwe"]
NAME = "authjs.session-token"
VALUE = VECTOR["cookies"][NAME]
READER = adopt.AuthJs(secrets=VECTOR["secrets"])


@pytest.mark.parametrize(
    "header",
    [{"alg": "none", "enc": "A256CBC-HS512"}, {"alg": "dir", "enc": "A256GCM"}, {"alg": "dir"}, {}],
)
def test_another_algorithm_is_refused(header: dict[str, str]) -> None:
    """The header is a client's word until the tag verifies."""
    value = pack_base64url(json.dumps(header).encode()) + VALUE[VALUE.index(".") :]
    assert reason(READER, {NAME: value}, VECTOR["now"]) == "unsupported"


@pytest.mark.parametrize("value", ["", "a.b", VALUE + ".x", VALUE.replace("..", ".AAAA."), "....."])
def test_what_is_no_token_is_refused(value: str) -> None:
    """Five parts, the second of them empty."""
    assert reason(READER, {NAME: value}, VECTOR["now"]) == "damaged"


def test_the_parts_of_a_long_cookie_are_joined() -> None:
    """NAME.0, NAME.1, …"""
    cookies = {f"{NAME}.{at}": VALUE[at * 50 : at * 50 + 50] for at in range(12)}
    assert read(READER, dict(reversed(cookies.items())), VECTOR["now"]).values["sub"] == "42"
    assert READER.names(["x", f"{NAME}.x", *cookies]) == list(cookies)


def test_the_name_is_part_of_the_key() -> None:
    """With "__Secure-" before it, it is another key."""
    reader = adopt.AuthJs(secrets=VECTOR["secrets"], name=f"__Secure-{NAME}")
    assert reason(reader, {f"__Secure-{NAME}": VALUE}, VECTOR["now"]) == "seal"
