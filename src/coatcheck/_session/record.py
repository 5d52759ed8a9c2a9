"""
A session as bytes, with its own deadline inside.

    0x01 + [values, flashes, created, expires, owner]    a session, in MessagePack
    0x02 + expires                                       a moved session: see `lifecycle`

The first byte is the version of the format, and below 64. Times are seconds since 1970. The owner
tells which cookie the session belongs to. Values stay encoded until a handler asks for them, and
travel from the old record into the new one as they are.

Pure: no clock; *now* is an argument.
"""

import hashlib
from typing import Annotated

import msgspec

from coatcheck._session.values import CORRUPT, Encoded
from coatcheck.errors import RecordTooLarge

LIMIT = 1_000_000
"""Bytes that a record may have: what every backend takes, and one request can bear to read."""

NOBODY = b""
"""The owner of a session that was made without a cookie's name: every cookie may carry it."""

_SESSION, _MOVED = b"\x01", b"\x02"

Time = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]  # up to the year 9999


class Unreadable(ValueError):
    """Bytes that are no record of ours, or no longer."""


def reveal_nothing(value: object) -> str:
    """Return a repr for what may end up in a log: the name of its type alone."""
    return f"<{type(value).__name__}>"


class Contents(msgspec.Struct, array_like=True, gc=False):
    """
    What a session holds, by key: values, and flashes that wait to be read.

    Like all that is read and thrown away with a request, it is nothing the garbage collector need
    look at: it holds no reference back, so counting references frees it.
    """

    __repr__ = reveal_nothing

    values: dict[str, Encoded] = {}
    flashes: dict[str, Encoded] = {}

    @property
    def empty(self) -> bool:
        return not (self.values or self.flashes)

    def copy(self) -> "Contents":
        """Return contents of their own, which may be changed."""
        return Contents(self.values.copy(), self.flashes.copy())


class Record(Contents, array_like=True, gc=False, kw_only=True):
    """
    A session at rest: contents with a time and an owner.

    A request reads it in place, and copies the contents before the first change: a record that was
    read may serve another request too.
    """

    created: Time
    expires: Time
    owner: bytes


class Moved(msgspec.Struct, gc=False):
    """What lies under a regenerated id until *expires*; it says nothing of the new one."""

    expires: Time


class Stored(msgspec.Struct, frozen=True, gc=False):
    """
    A record as it lies in a storage, and what tells this state of it from any other.

    A version is anything but None that equals itself; only what made it can read it.
    """

    __repr__ = reveal_nothing

    record: bytes
    version: object


class Terms(msgspec.Struct, frozen=True):
    """
    What a middleware wants of its sessions: whose they are, and how long they live.

    Args:
        owner: From `owner_of`, or `NOBODY`.
        idle: Seconds that an unused session lives.
        lifetime: Seconds that any session lives, used or not; None: no limit.
        refresh: The share of *idle*, from 0 to 1, after which a session in use is renewed.
    """

    owner: bytes = NOBODY
    idle: float = 14 * 24 * 3600
    lifetime: float | None = None
    refresh: float = 0.1

    def deadline(self, created: float, now: float) -> float:
        """Return when a session dies that is used now, and then no more."""
        idle = now + self.idle
        return idle if self.lifetime is None else min(idle, created + self.lifetime)

    def renews(self, created: float, expires: float, now: float) -> bool:
        """Tell whether a deadline is so far from where it would be now that it is to be moved."""
        off = (
            now + self.idle - expires
            if self.lifetime is None
            else (self.deadline(created, now) - expires)
        )
        slack = self.refresh * self.idle
        return not -slack < off < slack and off != 0


DEFAULT_TERMS = Terms()


def owner_of(cookie_name: str) -> bytes:
    """Return the mark that keeps the sessions of one cookie apart from those of another."""
    return hashlib.sha256(cookie_name.encode()).digest()[:8]


def pack(record: Record | Moved) -> bytes:
    """
    Return the bytes to keep.

    Raises:
        RecordTooLarge: They are more than `LIMIT`.
    """
    if isinstance(record, Moved):
        return _MOVED + _encoder.encode(record.expires)
    data = _SESSION + _encoder.encode(record)
    if len(data) > LIMIT:
        raise RecordTooLarge(len(data), LIMIT)
    return data


def unpack(data: bytes, start: int = 0) -> Record | Moved:
    """
    Return what `pack` made *data* from, but for the bytes before *start*.

    Raises:
        Unreadable: It is truncated, damaged, too large, or of a format this version does not know.
    """
    body_at = start + 1
    kind, body = data[start:body_at], data[body_at:]  # for a record, a copy is faster than a view
    try:
        if kind == _SESSION and len(data) <= LIMIT:
            return _record_decoder.decode(body)
        if kind == _MOVED:
            return Moved(_time_decoder.decode(body))
    except CORRUPT as damage:
        raise Unreadable("a record is damaged") from damage
    raise Unreadable(f"a record of {len(data)} bytes has no format known here")


_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(Record)
_time_decoder = msgspec.msgpack.Decoder(Time)
