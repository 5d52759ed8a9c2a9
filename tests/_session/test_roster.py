"""A roster in memory: its bytes, and each way to change it."""

from typing import Any

import msgspec
import pytest

from coatcheck import RecordTooLarge
from coatcheck._session.ids import key_of
from coatcheck._session.record import GRACE, LIMIT, Unreadable, Who, WrongKey
from coatcheck._session.roster import (
    KIND,
    LABEL,
    Roster,
    Row,
    cut_off,
    entered,
    extended,
    joined,
    over,
    pack_roster,
    put_back,
    replaced,
    roster_digest,
    row_of,
    settled,
    unpack_roster,
    without,
)
from coatcheck._session.row_cipher import RowCipher

TAG, NOW = b"12345678", 1000.0
CIPHER = RowCipher(["a secret of more than thirty-two characters"])


def row(
    name: str, *, since: float = 1.0, signed_in_at: float = 1.0, expires: float = 2000.0
) -> Row:
    return Row(name.encode() * 32, name, since, signed_in_at, 1.0, expires, "Firefox")


A, B, C, Z = row("a"), row("b", signed_in_at=2.0), row("c", signed_in_at=3.0), row("z")
AB = Roster(0.0, (A, B), expires=2000.0)


def handles(roster: Roster | None) -> str:
    assert roster is not None
    return "".join(each.handle for each in roster.rows)


def key(name: str) -> str:
    return "prefix:" + (name.encode() * 32).hex()


# Bytes


def test_the_key_is_made_of_the_owner_and_the_user() -> None:
    """No secret of the cookie is in it, so changing one loses no list; every text is a user."""
    assert roster_digest(b"12345678", "42") == key_of("1234567842")
    assert roster_digest(b"87654321", "42") != roster_digest(b"12345678", "42")
    assert len(roster_digest(b"", "\ud800")) == 64


def test_a_roster_comes_back_as_it_was() -> None:
    """The format is one byte and MessagePack, as for every record."""
    data = pack_roster(AB, TAG, None)
    assert msgspec.msgpack.decode(data[1:])[:3] == [TAG, 2000.0, 0.0]
    assert data[:1] == KIND == b"\x06"
    assert unpack_roster(data, TAG, None) == AB


def test_encrypted_rows_show_nothing_and_stay_as_they_are() -> None:
    """A row that does not change is not encrypted again."""
    data = pack_roster(AB, TAG, CIPHER)
    assert b"Firefox" not in data
    read = unpack_roster(data, TAG, CIPHER)
    assert read.rows == AB.rows
    assert pack_roster(read, TAG, CIPHER) == data


def test_rows_that_do_not_open_are_left_alone() -> None:
    """Those under other secrets, and rows in clear where rows are encrypted; and the reverse."""
    other = RowCipher(["another secret of more than thirty-two"])
    for cipher, reader in ((other, CIPHER), (None, CIPHER), (CIPHER, None)):
        read = unpack_roster(pack_roster(AB, TAG, cipher), TAG, reader)
        assert (read.rows, len(read.closed)) == ((), 2)
        again = unpack_roster(pack_roster(read, TAG, reader), TAG, cipher)
        assert again.rows == AB.rows
        assert settled(read, NOW, 0.0).expires == 2000.0


def test_a_roster_of_another_key_is_caught() -> None:
    """Nobody gets a list of a stranger's devices."""
    with pytest.raises(WrongKey):
        unpack_roster(pack_roster(AB, TAG, None), b"87654321", None)


@pytest.mark.parametrize("damaged", [b"", b"\x03", b"\x06", b"\x06\x91\x01", b"\x06\xff"])
def test_what_is_no_roster_cannot_be_read(damaged: bytes) -> None:
    """The caller decides what that means."""
    with pytest.raises(Unreadable):
        unpack_roster(damaged, TAG, None)


def test_a_thousand_rows_fit_and_what_is_larger_is_refused() -> None:
    """Labels are cut, so that the longest list of the longest labels is no larger than a record."""
    who = Who(user="u", handle="h" * 20, signed_in_at=NOW, label="\U0001f600" * 1000)
    long = row_of(key("a"), who, since=NOW, now=NOW, expires=NOW)
    assert len(long.label) == LABEL
    rows = (long,) * 1000
    for cipher in (None, CIPHER):
        assert len(pack_roster(Roster(rows=rows), TAG, cipher)) < LIMIT
    with pytest.raises(RecordTooLarge):
        pack_roster(Roster(rows=rows * 3), TAG, None)


# The next roster


def test_a_sign_in_goes_to_the_end() -> None:
    """The order is that of sign-in; the row of the same key is replaced."""
    assert handles(entered(AB, C)) == "abc"
    assert handles(entered(AB, A)) == "ba"


def test_a_sign_in_before_the_cut_off_is_refused() -> None:
    """At the same instant it is accepted: the clock of a test may stand still."""
    cut = cut_off(AB, 5.0)
    assert entered(cut, row("c", since=4.9)) is None
    assert handles(entered(cut, row("c", since=5.0))) == "abc"


def test_a_new_id_takes_the_place_and_the_time_of_the_old_one() -> None:
    """The old one stays until its record is gone."""
    newer = replaced(AB, key("a"), row("c", since=9.0))
    assert handles(newer) == "acb"
    assert newer and newer.rows[1].since == A.since


def test_a_new_id_of_a_lost_or_revoked_session_is_refused() -> None:
    """A row that is there is judged by its own time."""
    assert replaced(AB, key("z"), C) is None
    assert replaced(cut_off(AB, 5.0), key("a"), C) is None
    assert replaced(cut_off(AB, 5.0, spare={"a"}), key("a"), C) is not None


def test_a_lost_row_goes_where_its_sign_in_belongs() -> None:
    """At the end, a limit would end a newer session in its place."""
    assert handles(put_back(Roster(rows=(B,)), A)) == "ab"
    assert handles(put_back(Roster(rows=(A, C)), B)) == "abc"
    assert put_back(AB, A) is AB


def test_a_lost_row_before_the_cut_off_is_refused() -> None:
    """Also one that is there, and was not spared."""
    assert put_back(cut_off(Roster(), 5.0), A) is None
    assert put_back(cut_off(AB, 5.0), A) is None
    assert put_back(cut_off(AB, 5.0, spare={"a"}), A) is not None


def test_a_refresh_moves_the_deadline_of_its_row() -> None:
    """Never back; a row that is missing or cut off is told."""
    newer = extended(AB, key("a"), NOW, 3000.0)
    assert newer and (newer.rows[0].seen_at, newer.rows[0].expires) == (NOW, 3000.0)
    assert newer.rows[0].since == A.since
    assert extended(AB, key("a"), NOW, 1500.0) is AB
    assert extended(AB, key("z"), NOW, 3000.0) is None
    assert extended(cut_off(AB, 5.0), key("a"), NOW, 3000.0) is None


def test_rows_are_taken_off_by_key() -> None:
    """If none of them is there, nothing changes."""
    assert handles(without(AB, {A.key})) == "b"
    assert without(AB, {Z.key}) is AB


def test_a_cut_off_spares_every_row_of_a_handle() -> None:
    """Their time is that of the cut-off; others keep theirs. An earlier cut-off changes nothing."""
    second = msgspec.structs.replace(C, handle="a")
    cut = cut_off(Roster(rows=(A, B, second)), 5.0, spare={"a"})
    assert [each.since for each in cut.rows] == [5.0, 1.0, 5.0]
    assert cut_off(cut, 4.0).cutoff == 5.0


def test_a_cut_off_puts_a_lost_row_back() -> None:
    """Only if no row has its handle."""
    cut = cut_off(Roster(rows=(B,)), 5.0, spare={"a"}, lost=A)
    assert [(each.handle, each.since) for each in cut.rows] == [("a", 5.0), ("b", 1.0)]
    assert handles(cut_off(AB, 5.0, spare={"a"}, lost=A)) == "ab"


def test_the_oldest_are_over_the_limit() -> None:
    """Expired ones first. The own sign-in stays, and no newer one goes in its place."""
    rows = (A, B, C)
    three = Roster(rows=rows)
    assert over(three, 3, NOW, own=key("c")) == ()
    assert over(three, 1, NOW, own=key("c")) == (A, B)
    assert over(three, 2, NOW, own=key("a")) == ()
    expired = msgspec.structs.replace(B, expires=NOW)
    assert over(Roster(rows=(A, expired, C)), 2, NOW, own=key("c")) == (expired,)


@pytest.mark.parametrize(
    ("change", "expires"),
    [({}, 2000.0), ({"rows": ()}, NOW), ({"cutoff": 900.0}, 5900.0), ({"cutoff": 1.0}, 5001.0)],
)
def test_a_roster_expires_with_its_last_session(change: dict[str, Any], expires: float) -> None:
    """But a cut-off stays for as long as any session could live."""
    roster = msgspec.structs.replace(AB, **change)
    assert settled(roster, NOW, 5000.0).expires == expires


def test_a_row_stays_for_the_grace() -> None:
    """A request that read the session in time may still renew it."""
    late = Roster(rows=(row("a", expires=NOW - GRACE), row("b", expires=NOW - GRACE + 1)))
    assert handles(settled(late, NOW, 0.0)) == "b"


def test_two_sign_ins_with_one_key_are_one_row() -> None:
    """The first one keeps its handle and times; the later deadline counts."""
    second = Row(A.key, "another", 5.0, 5.0, 5.0, 3000.0, "Chrome")
    both = joined(AB, second)
    assert both and handles(both) == "ab"
    assert both.rows[0] == msgspec.structs.replace(A, seen_at=5.0, expires=3000.0)
    sooner = joined(AB, msgspec.structs.replace(second, expires=9.0))
    assert sooner and sooner.rows[0].expires == A.expires


@pytest.mark.parametrize(
    ("roster", "seen_at"), [(Roster(), 5.0), (AB, 1.0 + GRACE + 1.0), (cut_off(AB, 2.0), 5.0)]
)
def test_a_sign_in_that_is_not_just_made_is_not_joined(roster: Roster, seen_at: float) -> None:
    """There is none, it is older than a request may take, or it is before the cut-off."""
    assert joined(roster, Row(A.key, "another", 5.0, 5.0, seen_at, 3000.0)) is None
