"""A session as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._session.record import (
    LIMIT,
    Contents,
    Moved,
    Record,
    Stored,
    Terms,
    Unreadable,
    owner_of,
    pack,
    unpack,
)
from coatcheck._session.values import encode
from coatcheck.errors import RecordTooLarge

times = st.floats(min_value=0, max_value=253_402_300_799)


def contents(**values: object) -> Contents:
    return Contents(values={key: encode(key, value) for key, value in values.items()})


def record_of(contents: Contents) -> Record:
    return Record(contents.values, contents.flashes, created=1, expires=2, owner=owner_of("a"))


@given(created=times, expires=times, keys=st.dictionaries(st.text(), st.integers(0, 9)))
def test_a_record_comes_back(created: float, expires: float, keys: dict[str, int]) -> None:
    """Times, owner, values and flashes."""
    held = {key: encode(key, value) for key, value in keys.items()}
    record = Record(held, held, created=created, expires=expires, owner=owner_of("a"))
    assert unpack(pack(record)) == record


@given(expires=times)
def test_a_moved_session_comes_back(expires: float) -> None:
    """A marker has a deadline, and nothing else."""
    assert unpack(pack(Moved(expires))) == Moved(expires)


def test_the_first_byte_is_the_version_of_the_format() -> None:
    """A format that is not known reads as unreadable, so that it can change."""
    data = pack(record_of(Contents()))
    assert data[0] == 1
    with pytest.raises(Unreadable):
        unpack(b"\x07" + data[1:])


@given(data=st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """A record that somebody damaged is unreadable, and no crash."""
    for damaged in (data, b"\x01" + data, b"\x02" + data):
        try:
            unpack(damaged)
        except Unreadable:
            continue


def test_every_truncation_is_unreadable() -> None:
    """Half a record is none."""
    data = pack(record_of(contents(user=1, cart=[1, 2, {"a": "b"}])))
    for length in range(len(data)):
        with pytest.raises(Unreadable):
            unpack(data[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 200_000,
        b"\x94\x01\x02\xc4\x00\x92\x81\xa1a" + b"\x91" * 200_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x94\xcb\x7f\xf8" + b"\0" * 6 + b"\x02\xc4\x00\x92\x80\x80",
        b"\x94\xff\x02\xc4\x00\x92\x80\x80",
    ],
    ids=["deep", "deep inside", "huge length", "not a number", "negative time"],
)
def test_a_bomb_is_unreadable(body: bytes) -> None:
    """Depth, length and times are bounded, whatever the bytes promise."""
    with pytest.raises(Unreadable):
        unpack(b"\x01" + body)


def test_a_record_has_a_limit() -> None:
    """More is not written; the error tells how much it is. More is not read either."""
    with pytest.raises(RecordTooLarge) as raised:
        pack(record_of(contents(filler="x" * LIMIT)))
    assert raised.value.limit == LIMIT
    assert raised.value.size > LIMIT
    with pytest.raises(Unreadable):
        unpack(b"\x01" + b"x" * LIMIT)


def test_owners_differ_by_the_cookies_name() -> None:
    """Two cookies' sessions are never taken for each other's."""
    assert owner_of("a") != owner_of("b")
    assert owner_of("a") == owner_of("a")


def test_a_deadline_is_the_nearer_of_idle_and_lifetime() -> None:
    """Use moves the first, and nothing moves the second."""
    assert Terms(idle=10).deadline(created=0, now=100) == 110
    assert Terms(idle=10, lifetime=105).deadline(created=0, now=100) == 105


def test_a_repr_shows_nothing() -> None:
    """What lies in a record is nobody's business in a log."""
    record = record_of(contents(password="hunter2"))
    for value in (record, contents(password="hunter2"), Stored(pack(record), version=pack(record))):
        assert "hunter2" not in repr(value)
        assert repr(value).startswith("<")


@pytest.mark.parametrize(
    ("refresh", "now", "due"),
    [
        (0.0, 0.0, False),  # nothing has changed yet
        (0.0, 0.5, True),
        (0.1, 0.5, False),
        (0.1, 1.0, True),
        (0.1, -1.0, True),  # the terms are others now, or the clock was set back
        (1.0, 9.5, False),
        (1.0, 10.0, True),
    ],
)
def test_a_deadline_moves_when_it_is_off_by_the_share_to_refresh_at(
    refresh: float, now: float, *, due: bool
) -> None:
    """Of a session that was saved at 0 and lives for 10 seconds; with no share, by any use."""
    terms = Terms(idle=10.0, refresh=refresh)
    assert terms.renews(created=0.0, expires=10.0, now=now) is due


def test_a_deadline_at_the_end_of_a_lifetime_does_not_move() -> None:
    """However often the session is used."""
    terms = Terms(idle=10.0, lifetime=10.0, refresh=0.0)
    assert not terms.renews(created=0.0, expires=10.0, now=5.0)
