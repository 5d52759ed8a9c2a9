"""The records that say which sign-ins in cookies are over."""

import pytest
from msgspec.structs import replace

from coatcheck import RecordTooLarge
from coatcheck._session.ids import tag_of
from coatcheck._session.record import GRACE, WrongKey
from coatcheck._session.revocations import (
    COUNT,
    NONE,
    Cut,
    Revocations,
    cut,
    digests_of,
    is_list,
    pack_revocations,
    place_of,
    revoked,
    unpack_revocations,
)

OWNER, NOW = b"12345678", 1000.0
KEY = "shop:" + digests_of(OWNER)[0]
ADA = "ab" * 32


def test_a_users_record_is_one_of_256() -> None:
    """Chosen by the key of the roster; each cookie has records of its own."""
    assert len(set(digests_of(OWNER))) == COUNT
    assert not set(digests_of(OWNER)) & set(digests_of(b"87654321"))
    assert place_of(ADA) == 0xAB


def test_revocations_come_back_as_they_were() -> None:
    """But for entries that no copy of a cookie can outlive."""
    found = Revocations({"a": 2000.0, "b": NOW}, {ADA: Cut(5.0, 3000.0, {"c": 5.0})})
    data, ttl = pack_revocations(found, tag_of(KEY), NOW)
    assert unpack_revocations(data, KEY) == replace(found, handles={"a": 2000.0})
    assert ttl == 2000.0 + GRACE
    assert is_list(data) and is_list(b"\x06") and not is_list(b"\x03")


def test_what_expired_goes() -> None:
    """Cut-offs, too."""
    data, ttl = pack_revocations(Revocations({}, {ADA: Cut(5.0, NOW)}), tag_of(KEY), NOW)
    assert (unpack_revocations(data, KEY), ttl) == (NONE, GRACE)


def test_the_record_of_another_key_is_caught() -> None:
    """A server, pool or proxy may mix up answers."""
    data, _ = pack_revocations(NONE, b"87654321", NOW)
    with pytest.raises(WrongKey):
        unpack_revocations(data, KEY)


@pytest.mark.parametrize("damaged", [b"", b"\x06", b"\x07", b"\x07\xff"])
def test_damage_is_told(damaged: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The other records are read all the same."""
    assert unpack_revocations(damaged, KEY) == NONE
    assert "damaged" in caplog.text


def test_more_than_a_record_holds_is_refused() -> None:
    """A sign-out that could not be entered is an error."""
    handles = {f"{number:020}": 2000.0 for number in range(40_000)}
    with pytest.raises(RecordTooLarge):
        pack_revocations(Revocations(handles), tag_of(KEY), NOW)


def test_handles_are_entered_until_the_later_time() -> None:
    """If all are there already, nothing changes."""
    found = revoked(NONE, {"a": 5.0})
    assert revoked(found, {"a": 4.0}) is found
    assert revoked(found, {"a": 7.0, "b": 1.0}).handles == {"a": 7.0, "b": 1.0}


def test_a_sign_in_is_over_by_its_handle_or_by_its_time() -> None:
    """A session that was spared counts from the time of that cut-off."""
    found = cut(revoked(NONE, {"a": 5.0}), ADA, 10.0, 99.0, ["spared"])
    assert found.is_over(ADA, "a", 20.0)
    assert found.is_over(ADA, "old", 9.0)
    assert not found.is_over(ADA, "new", 10.0)
    assert not found.is_over(ADA, "spared", 1.0)
    assert not found.is_over("cd" * 32, "old", 9.0)
    assert (found.since(ADA, "spared", 1.0), found.since("cd" * 32, "x", 1.0)) == (10.0, 1.0)


def test_a_later_cut_off_ends_what_an_earlier_one_spared() -> None:
    """Unless it spares it again; an earlier time moves nothing back."""
    found = cut(cut(NONE, ADA, 10.0, 99.0, ["a", "b"]), ADA, 20.0, 50.0, ["b"])
    assert (found.is_over(ADA, "a", 1.0), found.is_over(ADA, "b", 1.0)) == (True, False)
    again = cut(found, ADA, 15.0, 40.0, [])
    assert (again.cuts[ADA].at, again.cuts[ADA].until) == (20.0, 99.0)
