"""What is kept under a key, as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._session.body_cipher import BodyCipher
from coatcheck._session.ids import TAG_BYTES, new_id
from coatcheck._session.record import (
    LIMIT,
    Contents,
    Kept,
    Marker,
    Record,
    Refused,
    Stored,
    Terms,
    Tombstone,
    Unreadable,
    Who,
    WrongKey,
    contents_of,
    first_key,
    is_encrypted,
    owner_of,
    pack,
    pack_encrypted,
    unpack,
    unpack_encrypted,
)
from coatcheck._session.values import encode
from coatcheck.errors import RecordTooLarge

TAG = b"8 bytes."

times = st.floats(min_value=0, max_value=253_402_300_799)
tags = st.binary(min_size=TAG_BYTES, max_size=TAG_BYTES)
encoded = st.integers(0, 9).map(lambda number: encode("key", number))
values = st.dictionaries(st.text(max_size=9), encoded, max_size=3)
optional_text = st.none() | st.text()
whos = st.builds(
    Who,
    user=optional_text,
    handle=st.text(),
    signed_in_at=times,
    confirmed_at=times,
    pin=st.binary(),
    label=st.text(),
    idle=st.none() | times,
    max_age=st.none() | st.integers(0, 400 * 24 * 3600),
    actor=optional_text,
    acts_until=st.none() | times,
    former=optional_text,
)
bodies = st.builds(
    Contents,
    values=values,
    flashes=values,
    who=st.none() | whos,
    bound=st.sampled_from([None, [1, b"x"], {"a": 1}]).map(lambda value: encode("key", value)),
    csrf=st.binary(),
)
records: st.SearchStrategy[Kept] = st.builds(
    Record, tag=tags, owner=st.binary(), created=times, issued=times, expires=times, body=bodies
)
tombstones: st.SearchStrategy[Kept] = st.builds(Tombstone, tag=tags, expires=times)
markers: st.SearchStrategy[Kept] = st.builds(
    Marker,
    tag=tags,
    expires=times,
    kind=st.sampled_from(["rotation", "visitor", "other"]),
    next_key=st.text(),
    sealed_id=st.binary(),
)
kinds = records | tombstones | markers


def contents(**values: object) -> Contents:
    return Contents(values={key: encode(key, value) for key, value in values.items()})


def record_of(
    contents: Contents, *, created: float = 1, issued: float = 1, expires: float = 2
) -> Record:
    return Record(TAG, owner_of("a"), created, issued, expires, contents)


@given(kept=kinds, prefix=st.binary())
def test_a_record_comes_back(kept: Kept, prefix: bytes) -> None:
    """Of every kind, with all that it holds, also behind other bytes."""
    assert unpack(pack(kept), kept.tag) == kept
    assert unpack(prefix + pack(kept), kept.tag, len(prefix)) == kept


@given(kept=kinds, tag=tags)
def test_a_record_of_another_key_is_caught(kept: Kept, tag: bytes) -> None:
    """Every kind carries the tag of its key, and a read compares it."""
    if tag != kept.tag:
        with pytest.raises(WrongKey):
            unpack(pack(kept), tag)


def test_the_first_byte_is_the_version_of_the_format() -> None:
    """A format that is not known reads as unreadable, so that it can change."""
    kept: list[Kept] = [record_of(Contents()), Tombstone(TAG, 1), Marker(TAG, 1, "other")]
    assert [pack(each)[0] for each in kept] == [3, 4, 5]
    for unknown in (0x01, 0x02, 0x06, 0x07):
        with pytest.raises(Unreadable):
            unpack(bytes([unknown]) + pack(kept[0])[1:], TAG)


@given(data=st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """A record that somebody damaged is unreadable, and no crash."""
    for damaged in (data, b"\x03" + data, b"\x04" + data, b"\x05" + data):
        try:
            unpack(damaged, TAG)
        except (Unreadable, WrongKey):
            continue


def test_every_truncation_is_unreadable() -> None:
    """Half a record is none."""
    record = record_of(contents(user=1, cart=[1, 2, {"a": "b"}]))
    kept: list[Kept] = [record, Tombstone(TAG, 1), Marker(TAG, 1, "rotation", "key", b"sealed")]
    for data in map(pack, kept):
        for length in range(len(data)):
            with pytest.raises(Unreadable):
                unpack(data[:length], TAG)


EMPTY_BODY = b"\x95\x80\x80\xc0\xc0\xc4\x00"


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 200_000,
        b"\x96\xc4\x00\xc4\x00\x01\x01\x02\x95\x81\xa1a" + b"\x91" * 200_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x96\xc4\x00\xc4\x00\xcb\x7f\xf8" + b"\0" * 6 + b"\x01\x02" + EMPTY_BODY,
        b"\x96\xc4\x00\xc4\x00\xff\x01\x02" + EMPTY_BODY,
    ],
    ids=["deep", "deep inside", "huge length", "not a number", "negative time"],
)
def test_a_bomb_is_unreadable(body: bytes) -> None:
    """Depth, length and times are bounded, whatever the bytes promise."""
    assert unpack(b"\x03\x96\xc4\x00\xc4\x00\x01\x01\x02" + EMPTY_BODY, b"")
    with pytest.raises(Unreadable):
        unpack(b"\x03" + body, b"")


def test_a_record_has_a_limit() -> None:
    """More is not written; the error tells how much it is. More is not read either."""
    with pytest.raises(RecordTooLarge) as raised:
        pack(record_of(contents(filler="x" * LIMIT)))
    assert raised.value.limit == LIMIT
    assert raised.value.size > LIMIT
    with pytest.raises(Unreadable):
        unpack(b"\x03" + b"x" * LIMIT, TAG)


def test_owners_differ_by_the_cookies_name() -> None:
    """Two cookies' sessions are never taken for each other's."""
    assert owner_of("a") != owner_of("b")
    assert owner_of("a") == owner_of("a")


def test_contents_are_empty_without_values_flashes_and_a_user() -> None:
    """A session in which somebody is signed in is one, whatever it holds."""
    assert Contents().empty
    assert Contents(who=Who(former="ada"), csrf=b"csrf").empty
    for held in (contents(a=1), Contents(flashes={"a": encode("a", 1)}), Contents(who=Who("ada"))):
        assert not held.empty


def test_a_copy_may_be_changed() -> None:
    """What was read serves other requests, too, and stays as it is."""
    read = contents(a=1)
    copy = read.copy()
    copy.values["a"] = copy.flashes["b"] = encode("a", 2)
    assert read == contents(a=1)
    who = Contents(who=Who("ada"), bound=encode("key", 1), csrf=b"csrf")
    assert who.copy() == who


def test_while_somebody_acts_the_session_is_the_actors() -> None:
    """Otherwise it is the user's."""
    assert Who(user="ada").account == "ada"
    assert Who(user="ada", actor="support").account == "support"


def test_a_deadline_is_the_nearer_of_idle_and_lifetime() -> None:
    """Use moves the first, and nothing moves the second."""
    record = record_of(Contents(), created=0)
    assert Terms(idle=10).deadline(record, 100) == 110
    assert Terms(idle=10, lifetime=105).deadline(record, 100) == 105


def test_a_sign_in_may_have_an_idle_time_of_its_own() -> None:
    """It counts in place of the middleware's, for the deadline and for the refresh."""
    record = record_of(Contents(who=Who("ada", idle=1000)), created=0, expires=1000)
    assert Terms(idle=10).deadline(record, 100) == 1100
    assert Terms(idle=10, lifetime=105).deadline(record, 100) == 105
    assert not Terms(idle=10).renews(record, 50)
    assert Terms(idle=10).renews(record, 100)


def test_a_repr_shows_nothing() -> None:
    """What lies in a record is nobody's business in a log."""
    record = record_of(contents(password="hunter2"))
    for value in (
        record,
        contents(password="hunter2"),
        Who("hunter2", pin=b"hunter2"),
        Marker(b"hunter2!", 1, "other", "hunter2", b"hunter2"),
        Tombstone(b"hunter2!", 1),
        Stored(pack(record), version=pack(record)),
        Refused(Stored(pack(record), version=1)),
    ):
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
    assert terms.renews(record_of(Contents(), created=0.0, expires=10.0), now) is due


def test_a_deadline_at_the_end_of_a_lifetime_does_not_move() -> None:
    """However often the session is used."""
    terms = Terms(idle=10.0, lifetime=10.0, refresh=0.0)
    assert not terms.renews(record_of(Contents(), created=0.0, expires=10.0), 5.0)


# Bodies that are encrypted


CIPHER, ID = BodyCipher(), new_id()


@given(kept=kinds)
def test_an_encrypted_record_comes_back(kept: Kept) -> None:
    """With the id alone; a tombstone and a marker hold nothing that is to be hidden."""
    data = pack_encrypted(kept, CIPHER, ID) if isinstance(kept, Record) else pack(kept)
    assert unpack_encrypted(data, kept.tag, CIPHER, ID) == kept
    assert is_encrypted(data) is isinstance(kept, Record)


def test_without_the_id_a_body_stays_closed() -> None:
    """Who reads the database sees deadlines; with another id it is damaged."""
    record = record_of(contents(password="hunter2"))
    data = pack_encrypted(record, CIPHER, ID)
    assert b"hunter2" not in data
    assert unpack_encrypted(data, TAG, CIPHER, "") == record_of(Contents())
    with pytest.raises(Unreadable, match="does not open"):
        unpack_encrypted(data, TAG, CIPHER, new_id())


def test_every_byte_of_an_encrypted_record_counts() -> None:
    """A server cannot change a deadline, an owner or a time either."""
    data = pack_encrypted(record_of(contents(user=1)), CIPHER, ID)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((Unreadable, WrongKey)):
            unpack_encrypted(changed, TAG, CIPHER, ID)


def test_a_body_in_clear_is_refused() -> None:
    """So is the record of another key, and what is no record."""
    record = record_of(contents(user=1))
    assert not is_encrypted(pack(record))
    for data in (pack(record), b"\x03", b"\x07", b""):
        with pytest.raises(Unreadable):
            unpack_encrypted(data, TAG, CIPHER, ID)
    with pytest.raises(WrongKey):
        unpack_encrypted(pack_encrypted(record, CIPHER, ID), b"another.", CIPHER, ID)


def test_an_encrypted_record_has_a_limit() -> None:
    """The same as one in clear."""
    with pytest.raises(RecordTooLarge):
        pack_encrypted(record_of(contents(filler="x" * LIMIT)), CIPHER, ID)


def test_the_first_key_is_read_alone() -> None:
    """The record of a middleware, with one value or with many; without values it has none."""
    full = Record(TAG, owner_of("session"), 1.0, 2.0, 3.0, Contents())
    assert first_key(pack(full)) == b""
    for many in (1, 15, 16, 300):
        full.body.values = {f"key{number}": encode("n", number) for number in range(many)}
        assert first_key(pack(full)) == b"key0"
    full.body.values = {"a key of more than 31 characters is not read": encode("n", 1)}
    assert first_key(pack(full)) == b""


@given(bodies)
def test_the_first_key_is_that_of_the_contents(body: Contents) -> None:
    """Whatever a session holds; and other bytes, or another form, have none."""
    data = pack(Record(TAG, owner_of("session"), 1.0, 2.0, 3.0, body))
    read = contents_of(data)
    assert read is not None
    assert first_key(data) in (b"", next(iter(read.values), "").encode())
    assert first_key(b"\x04" + data[1:]) == b""
