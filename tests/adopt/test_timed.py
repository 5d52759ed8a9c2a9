"""What itsdangerous and Django signed with a time."""

import pytest

from coatcheck.adopt import timed
from coatcheck.adopt.refused import Refused

itsdangerous = pytest.importorskip("itsdangerous")


def test_a_real_signer_is_verified() -> None:
    """By its default derivation, and by "hmac"."""
    value = itsdangerous.TimestampSigner("k").sign("payload").decode()
    found = timed.opened(value, timed.sha1_keys([b"k"], b"itsdangerous.Signer"))
    assert found.payload == "payload"
    signer = itsdangerous.Signer("k", salt="s", key_derivation="hmac")
    assert timed.unsigned(signer.sign("id").decode(), timed.hmac_keys([b"k"], b"s")) == "id"


def test_a_signature_without_a_time_is_refused() -> None:
    """A `Signer` of the same key signs other things."""
    value = itsdangerous.Signer("k").sign("payload").decode()
    keys = timed.sha1_keys([b"k"], b"itsdangerous.Signer")
    for wrong in (value, itsdangerous.Signer("k").sign("p.AAAAAAAAAAAAAAAA").decode()):
        with pytest.raises(Refused, match="damaged"):
            timed.opened(wrong, keys)


@pytest.mark.parametrize("text", ["", "-", "x-", "é", "0" * 9, "1 "])
def test_a_time_in_base62_has_few_digits(text: str) -> None:
    """Others are damaged; a minus sign is possible."""
    with pytest.raises(Refused):
        timed._from_base62(text)
    assert timed._from_base62("-1z") == -(62 + 61)
