"""Cookies of Starlette's middleware."""

import base64
import pickle
import zlib

import pytest

from coatcheck import adopt
from tests.adopt.formats import VECTORS, read, reason

itsdangerous = pytest.importorskip("itsdangerous")

SECRET = "coatcheck-test-secret-0123456789abcdef"
VECTOR = VECTORS["starlette"]
READER = adopt.Starlette(secrets=[SECRET])


def signed(payload: bytes, salt: str = "itsdangerous.Signer") -> dict[str, str]:
    """Return a cookie with a payload that the real secret signed."""
    signer = itsdangerous.TimestampSigner(SECRET, salt=salt)
    return {"session": signer.sign(payload).decode()}


@pytest.mark.parametrize(
    "inside",
    [b"[]", b'[["user_id", 1]]', b"null", pickle.dumps({}), zlib.compress(b"{}"), b"\x04\x08{\x00",
     b"[" * 3000, b'{"a": 99999999999999999999}'],
)  # fmt: skip
def test_what_is_signed_but_is_no_object_is_refused(inside: bytes) -> None:
    """A signature says where bytes come from, not what they are."""
    now = itsdangerous.TimestampSigner(SECRET).get_timestamp()
    assert reason(READER, signed(base64.b64encode(inside)), now) in ("damaged", "unsupported")


def test_another_salt_of_the_same_secret_is_refused() -> None:
    """Other parts of an application sign with the same secret: tokens, mails, Flask's sessions."""
    now = itsdangerous.TimestampSigner(SECRET).get_timestamp()
    payload = base64.b64encode(b"{}")
    assert reason(READER, signed(payload, salt="mail"), now) == "seal"
    assert reason(READER, VECTORS["flask/plain"]["cookies"], VECTOR["now"]) == "seal"
    assert reason(adopt.Flask(secrets=[SECRET]), VECTOR["cookies"], VECTOR["now"]) == "seal"


def test_a_digest_is_of_what_was_signed() -> None:
    """A cookie that was signed anew is another; readers of one construction agree."""
    now = VECTOR["now"]
    found = read(READER, VECTOR["cookies"], now)
    quoted = {"session": f'"{VECTOR["cookies"]["session"]}"'}
    assert read(READER, quoted, now).digest == found.digest
    assert read(adopt.Starsessions(secrets=[SECRET]), VECTOR["cookies"], now).digest == found.digest


def test_no_maximum_age_is_no_end() -> None:
    """`max_age=None` in Starlette; a session middleware then wants `until`."""
    reader = adopt.Starlette(secrets=[SECRET], max_age=None)
    assert read(reader, VECTOR["cookies"], VECTOR["now"] + 10**9).expires is None
