"""The calls that keep a session's changes, and the keys that they are for."""

import logging

import pytest

from coatcheck import BackendError
from coatcheck._session.body_cipher import BodyCipher
from coatcheck._session.ids import key_of, names_of, new_id, tag_of
from coatcheck._session.moves import closed
from coatcheck._session.plan import Delete, Get, Keyspace, Swap, There, look
from coatcheck._session.record import (
    GRACE,
    Contents,
    Marker,
    Record,
    Stored,
    Tombstone,
    pack,
    unpack,
)
from coatcheck._session.values import encode

ID = new_id()
KEY = key_of(ID, "shop:")
NOW, IDLE = 1000.0, 60.0
SPACE = Keyspace(lambda: NOW, "shop:", "the server")
COPIES = Keyspace(lambda: NOW, "shop:", "the server", copies=True)


def record(expires: float = 2000.0) -> Record:
    return Record(tag_of(KEY), b"", 1.0, 1.0, expires, Contents())


def there(kept: Record | Marker | None = None, version: object = 7) -> There:
    return There(ID, KEY, kept, version)


def test_a_key_is_the_prefix_and_the_digest() -> None:
    """The tag is made of the digest alone, so it is the same under any prefix."""
    assert SPACE.key(ID) == KEY
    assert names_of(ID) == (key_of(ID), tag_of(key_of(ID)))


def test_what_a_backend_answers_is_read() -> None:
    """The record, with the version for a swap; nothing, if nothing is there."""
    assert SPACE.there(None, KEY, ID) == There(ID, KEY, None, None)
    assert SPACE.there(Stored(pack(record()), 7), KEY, ID) == There(ID, KEY, record(), 7)


def test_a_damaged_record_counts_as_absent(caplog: pytest.LogCaptureFixture) -> None:
    """Its version stays, so that a swap can replace it; a warning says so, and shows no data."""
    assert SPACE.there(Stored(b"hunter2", 7), KEY, ID) == There(ID, KEY, None, 7)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "counts as absent" in line.getMessage()
    assert "hunter2" not in line.getMessage()


def test_the_record_of_another_key_is_an_error_of_the_backend() -> None:
    """It is never a session, and the error names the server."""
    with pytest.raises(BackendError, match=r"the server.*another key") as raised:
        SPACE.there(Stored(pack(record()), 7), key_of(new_id()), ID)
    assert raised.value.__cause__ is None


def test_looking_asks_once() -> None:
    """A plan yields a call, and decides by the answer."""
    plan = look(SPACE, KEY, ID)
    call = next(plan)
    assert isinstance(call, Get)
    assert call.key == KEY
    with pytest.raises(StopIteration) as done:
        plan.send(Stored(pack(record()), 7))
    assert done.value.value == There(ID, KEY, record(), 7)


def test_a_write_carries_the_tag_of_its_key() -> None:
    """The backend may drop it after its deadline and the grace; an expired one, after the grace."""
    call = SPACE.write(there(), record(expires=NOW + 50), NOW)
    assert (call.key, call.version, call.ttl) == (KEY, 7, 50 + GRACE)
    assert unpack(call.record, tag_of(KEY)) == record(expires=NOW + 50)
    assert SPACE.write(there(), record(expires=NOW - 50), NOW).ttl == GRACE


def test_a_rewrite_takes_the_tag_that_was_read() -> None:
    """The read has compared it with the key, so it need not be made again."""
    assert SPACE.packed(record(), ID) == SPACE.write(there(), record(), NOW).record


SECRET = Keyspace(lambda: NOW, "shop:", "the server", cipher=BodyCipher())
MOVING = Keyspace(lambda: NOW, "shop:", "the server", cipher=BodyCipher(), accepts_clear=True)


def test_a_body_is_encrypted_under_the_id() -> None:
    """What is written comes back with it; without the id, the body stays closed."""
    full = record()
    full.body = Contents({"a": encode("a", "hunter2")})
    call = SECRET.write(there(), full, NOW)
    assert b"hunter2" not in call.record
    assert SECRET.there(Stored(call.record, 8), KEY, ID) == There(ID, KEY, full, 8)
    assert SECRET.there(Stored(call.record, 8), KEY).kept == record()
    assert MOVING.there(Stored(call.record, 8), KEY, ID).kept == full


def test_a_body_in_clear_is_read_only_while_sessions_move_here() -> None:
    """A server that could write in clear could write a session of its own."""
    clear = Stored(pack(record()), 7)
    assert SECRET.there(clear, KEY, ID) == There(ID, KEY, None, 7)
    assert MOVING.there(clear, KEY, ID) == There(ID, KEY, record(), 7)


def test_a_tombstone_stays_for_the_grace() -> None:
    """As long as a request may be under way that read the session."""
    call = SPACE.bury(there(record()), NOW, IDLE)
    assert (call.key, call.version, call.ttl) == (KEY, 7, GRACE)
    assert unpack(call.record, tag_of(KEY)) == Tombstone(tag_of(KEY), NOW + GRACE)


def test_a_marker_stays_for_the_grace() -> None:
    """Or for as long as it says itself."""
    marker = closed(KEY, NOW)
    call = SPACE.mark(there(record()), marker, NOW, IDLE)
    assert (call.version, call.ttl) == (7, GRACE)
    assert unpack(call.record, tag_of(KEY)) == marker
    marker.expires = NOW + 10 * GRACE
    assert SPACE.mark(there(record()), marker, NOW, IDLE).ttl == 10 * GRACE


@pytest.mark.parametrize(
    ("kept", "seconds"),
    [
        (record(expires=NOW + 500), 500),
        (record(expires=NOW + 5), IDLE),
        (record(expires=NOW - 5), IDLE),
        (None, IDLE),
    ],
)
def test_where_cookies_carry_sessions_an_end_is_remembered_longer(
    kept: Record | None, seconds: float
) -> None:
    """A copy of the cookie lives until its deadline, and may have been refreshed just now."""
    assert COPIES.stays(there(kept), NOW, IDLE) == seconds + GRACE
    assert COPIES.bury(there(kept), NOW, IDLE).ttl == seconds + GRACE
    assert COPIES.mark(there(kept), closed(KEY, NOW), NOW, IDLE).ttl == seconds + GRACE


def test_no_repr_shows_a_key_or_a_record() -> None:
    """Plans may end up in a traceback, and an id is a credential."""
    shown = [Get("hunter2"), Swap("hunter2", "hunter2", b"hunter2", 1), Delete("hunter2")]
    for value in (*shown, There("hunter2", "hunter2", record(), "hunter2")):
        assert "hunter2" not in repr(value)
        assert repr(value) == f"<{type(value).__name__}>"
