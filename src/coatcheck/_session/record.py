"""
Records: the bytes that are kept under a key, with a deadline inside.

    0x03 + [tag, owner, created, issued, expires, body]    a session
    0x04 + [tag, expires]                                  a tombstone: the session was ended
    0x05 + [tag, expires, kind, new key, sealed id]        a marker: the session has another id
    0x06                                                   a roster: see `roster`

Each is MessagePack behind one byte, which names the format and is below 64. A body is [values,
flashes, who, bound, csrf], or bytes where it is encrypted (see `body_cipher`). Times are seconds
since 1970. The tag is made from the key, and a read compares it: a server that answers with the
record of another key is caught. The owner tells which cookie the session belongs to. Values stay
encoded until a handler asks for them, and travel from one record into the next as they are.

Pure: no clock; *now* is an argument.
"""

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._cookie.pins import Pins
from coatcheck._cookie.sha256 import sha256
from coatcheck._session.body_cipher import OVERHEAD, BodyCipher
from coatcheck._session.values import CORRUPT, Encoded
from coatcheck.errors import RecordTooLarge

if TYPE_CHECKING:
    from coatcheck._session.roster_plans import Rosters

LIMIT = 1_000_000
"""Bytes that a record may have: what every backend takes, and one request can bear to read."""

ANY_OWNER = b""
"""The owner of a session that was made without a cookie's name: every cookie may carry it."""

GRACE = 900.0
"""
Seconds that a request may take. Markers, tombstones and expired records stay as long, because a
request that read the session before may still be under way.
"""

_ACTED = b"coatcheck 1 acted"

_SESSION, _TOMBSTONE, _MARKER = b"\x03", b"\x04", b"\x05"

Time = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]  # up to the year 9999

LONGEST = 100 * 365 * 24 * 3600
"""
Seconds of the longest duration: a longer one means "for ever", and counts as this. So no deadline
is beyond what a record or a server can hold.
"""


class Unreadable(ValueError):
    """Bytes that are no record of ours, or no longer."""


class WrongKey(ValueError):
    """A record that belongs under another key: the server, a pool or a proxy mixed up answers."""


class Who(Hidden, msgspec.Struct, array_like=True, frozen=True, gc=False):
    """
    The signed-in user, and how the user signed in.

    Args:
        user: The application's text for a person; None: no user is signed in any more.
        handle: The public name of the signed-in session.
        signed_in_at: When the user signed in.
        confirmed_at: The time of the user's last proof of identity.
        pin: A salted HMAC of a text that ends this sign-in when it changes; b"": there is none.
        label: What the application calls the device.
        idle: Seconds that this session lives unused; None: as the middleware says.
        max_age: Seconds for the cookie; 0: none, so that it ends with the browser; None: its own.
        actor: The user who acts as this user; None: no user acts.
        acts_until: When the acting ends; `OVER`, without an actor: it is over.
        former: The user of the session before the user was taken away.
    """

    user: str | None = None
    handle: str = ""
    signed_in_at: Time = 0.0
    confirmed_at: Time = 0.0
    pin: bytes = b""
    label: str = ""
    idle: float | None = None
    max_age: int | None = None
    actor: str | None = None
    acts_until: Time | None = None
    former: str | None = None

    @property
    def account(self) -> str | None:
        """The user to whom the session belongs: while somebody acts, the actor."""
        return self.actor or self.user

    @property
    def alone(self) -> "Who":
        """The same sign-in after the acting: the account's own."""
        return msgspec.structs.replace(self, user=self.account, actor=None, acts_until=None)


OVER = 0.0
"""
The end of an acting that ran out. The save that keeps this tells of it: of several requests, the
one whose write wins.
"""

UNBOUND = Encoded(b"\xc0")
"""MessagePack's nil. msgspec reads `Raw | None` as None alone, so nothing is a `Raw`, too."""


class Contents(Hidden, msgspec.Struct, array_like=True, gc=False):
    """
    The contents of a session: values and flashes by key, the signed-in user, the CSRF value.

    Like all that is read and thrown away with a request, it is nothing the garbage collector need
    look at: it holds no reference back, so counting references frees it.
    """

    values: dict[str, Encoded] = {}
    flashes: dict[str, Encoded] = {}
    who: Who | None = None
    bound: Encoded = UNBOUND
    csrf: bytes = b""

    @property
    def empty(self) -> bool:
        return not (self.values or self.flashes or (self.who and self.who.user))

    def copy(self) -> "Contents":
        """Return contents of their own, which may be changed."""
        return Contents(self.values.copy(), self.flashes.copy(), self.who, self.bound, self.csrf)


class Record(Hidden, msgspec.Struct, array_like=True, gc=False):
    """
    A session at rest.

    A request reads the body in place, and copies it before the first change: a record that was read
    may serve another request too.

    Args:
        tag: Of the key; b"" in a cookie, which has none.
        owner: From `owner_of`, or `ANY_OWNER`.
        created: When the session was first saved.
        issued: When its id was made.
        expires: When it dies, unless a request that read it before renews it.
        body: What it holds.
    """

    tag: bytes
    owner: bytes
    created: Time
    issued: Time
    expires: Time
    body: Contents


def as_of(record: Record, now: float) -> Record:
    """
    Return a record as it counts now: when an acting is over, it is the actor's again, emptied.

    The CSRF value is another one then, so that no form of the user's pages does anything of the
    actor's.
    """
    who = record.body.who
    if who is None or who.acts_until is None or now < who.acts_until:
        return record
    if who.actor is None:  # a save told of it already
        body = record.body.copy()
        body.who = who.alone
        return msgspec.structs.replace(record, body=body)
    csrf = record.body.csrf and sha256(_ACTED + record.body.csrf).digest()[: len(record.body.csrf)]
    who = msgspec.structs.replace(who.alone, acts_until=OVER)
    body = Contents(who=who, bound=record.body.bound, csrf=csrf)
    return msgspec.structs.replace(record, body=body)


class Tombstone(Hidden, msgspec.Struct, array_like=True, gc=False):
    """Replaces a session that was ended, until *expires*, so that nothing claims its key."""

    tag: bytes
    expires: Time


Kind = Literal["rotation", "visitor", "other"]
"""The cause of a change of id: a rotation; regenerate_id() of an anonymous session; another."""


class Marker(Hidden, msgspec.Struct, array_like=True, gc=False):
    """
    Replaces a session whose id was changed.

    Args:
        tag: Of the old key.
        expires: Until when it stays.
        kind: What changed the id.
        next_key: Where a sign-out goes on, without the prefix; "": nowhere.
        sealed_id: The next id, sealed with the old one; b"": no request goes on under it.
        sealed_roster: Where bodies are encrypted: the digest of the user's roster, sealed with the
            old id. A sign-out that follows the marker cannot read the user from the session.
    """

    tag: bytes
    expires: Time
    kind: Kind
    next_key: str = ""
    sealed_id: bytes = b""
    sealed_roster: bytes = b""


Kept = Record | Tombstone | Marker


class Stored(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    A record as a backend keeps it, and what tells this state of it from any other.

    A version is anything but None that equals itself; only the backend that made it can read it.
    """

    record: bytes
    version: object


class Refused(Hidden, msgspec.Struct, frozen=True):
    """A swap that changed nothing, and what is there instead; None: nothing is."""

    stored: Stored | None


class Terms(msgspec.Struct, frozen=True):
    """
    The terms of a middleware's sessions: their owner, and how long they live.

    Args:
        owner: From `owner_of`, or `ANY_OWNER`.
        idle: Seconds that an unused session lives.
        lifetime: Seconds that any session lives, used or not; None: no limit.
        refresh: The share of *idle*, from 0 to 1, after which a session in use is renewed.
        rotate: Seconds after which the id of a session in use is renewed; None: never.
        clock: Returns the seconds since 1970; None: times are set when the session is saved.
        max_age: Of the cookie, in seconds; None: it has none.
        pins: Keeps and recognizes the pins of sign-ins; None: there are no secrets to do it.
        keeps_empty: A session that holds nothing is kept too, instead of none.
        user_key: The key under which the application keeps the signed-in user; None: it signs in.
        reports: Somebody listens to what happens to sessions.
        middleware: By which a session of these terms is saved during a request; None: by none.
        bound: Whether a sign-in offers to bind the session to a device; "required": only sessions
            that are bound pass `require_bound`.
        rosters: Where the sessions of each user are listed; None: nowhere.
    """

    owner: bytes = ANY_OWNER
    idle: float = 14 * 24 * 3600
    lifetime: float | None = None
    refresh: float = 0.1
    rotate: float | None = None
    clock: Callable[[], float] | None = None
    max_age: int | None = None
    pins: Pins | None = None
    keeps_empty: bool = False
    user_key: str | None = None
    reports: bool = False
    middleware: object = None
    bound: Literal["no", "offered", "required"] = "no"
    rosters: "Rosters | None" = None

    def deadline(self, record: Record, now: float) -> float:
        """
        Return when a session dies that is used now, and then no more.

        A session that was made in the future, by a clock that was ahead, counts as made now.
        """
        who = record.body.who
        idle = now + (self.idle if who is None or who.idle is None else who.idle)
        if self.lifetime is None:
            return idle
        return min(idle, min(record.created, now) + self.lifetime)

    def renews(self, record: Record, now: float) -> bool:
        """Tell whether a deadline is far from where it would be now, or that an acting is over."""
        who, idle = record.body.who, self.idle
        if who is not None:
            if who.acts_until == OVER:
                return True
            idle = idle if who.idle is None else who.idle
        deadline = now + idle if self.lifetime is None else self.deadline(record, now)
        off = deadline - record.expires
        slack = self.refresh * idle
        return not -slack < off < slack and off != 0


DEFAULT_TERMS = Terms()


def owner_of(cookie_name: str) -> bytes:
    """Return the mark that keeps the sessions of one cookie apart from those of another."""
    return hashlib.sha256(cookie_name.encode()).digest()[:8]


def pack(kept: Kept) -> bytes:
    """
    Return the bytes to keep.

    Raises:
        RecordTooLarge: They are more than `LIMIT`.
    """
    if type(kept) is Record:
        data = _SESSION + _encoder.encode(kept)
        if len(data) > LIMIT:
            raise RecordTooLarge(len(data), LIMIT)
        return data
    return (_TOMBSTONE if type(kept) is Tombstone else _MARKER) + _encoder.encode(kept)


def unpack(data: bytes, tag: bytes, start: int = 0) -> Kept:
    """
    Return what `pack` made *data* from, but for the bytes before *start*.

    Args:
        tag: Of the key under which the data was found.

    Raises:
        WrongKey: It is a record of another key.
        Unreadable: It is truncated, damaged, too large, or of a format this version does not know.
    """
    body_at = start + 1
    kind, body = data[start:body_at], data[body_at:]  # for a record, a copy is faster than a view
    kept: Kept
    try:
        if kind == _SESSION and len(data) <= LIMIT:
            kept = _record_decoder.decode(body)
        elif kind == _TOMBSTONE:
            kept = _tombstone_decoder.decode(body)
        elif kind == _MARKER:
            kept = _marker_decoder.decode(body)
        else:
            raise Unreadable(f"a record of {len(data)} bytes has no format known here")
    except CORRUPT as damage:
        if isinstance(damage, Unreadable):
            raise
        raise Unreadable("a record is damaged") from damage
    if kept.tag != tag:
        raise WrongKey("a record carries the tag of another key")
    return kept


def first_key(data: bytes) -> bytes:
    """
    Return the key of the first value of a session, without decoding the rest.

    b"": there is no value, the key is longer than 31 bytes, or the record is of another form than
    a middleware's: `contents_of` tells more.
    """
    found = _match_first_key(data)
    if found is None:
        return b""
    at = found.end()
    return data[at : at + data[at - 1] - _TEXT]


def contents_of(data: bytes) -> Contents | None:
    """
    Return the contents of a record, without a look at its key; a tombstone holds nothing.

    None: it is a marker, encrypted, or no record.
    """
    if data[:1] == _TOMBSTONE:
        return Contents()
    if data[:1] != _SESSION:
        return None
    try:
        return _record_decoder.decode(data[1:]).body
    except CORRUPT:
        return None


def pack_encrypted(record: Record, cipher: BodyCipher, id: str) -> bytes:
    """
    Return the bytes to keep of a session whose body is encrypted.

    Raises:
        RecordTooLarge: They are more than `LIMIT`.
    """
    body = _encoder.encode(record.body)
    place = bytes(len(body) + OVERHEAD)
    header = [record.tag, record.owner, record.created, record.issued, record.expires, place]
    before = _SESSION + _encoder.encode(header)[: -len(place)]
    data = before + cipher.encrypt(body, id=id, before=before)
    if len(data) > LIMIT:
        raise RecordTooLarge(len(data), LIMIT)
    return data


def unpack_encrypted(data: bytes, tag: bytes, cipher: BodyCipher, id: str) -> Kept:
    """
    Return what `pack` or `pack_encrypted` made *data* from.

    Args:
        id: Of the session; "": the body stays closed, and the record holds nothing.

    Raises:
        WrongKey: It is a record of another key.
        Unreadable: It is damaged, or a session whose body is in clear.
    """
    if data[:1] != _SESSION:
        return unpack(data, tag)
    try:
        sealed = _sealed_decoder.decode(data[1:])
    except CORRUPT as damage:
        raise Unreadable("a record is damaged, or its body is in clear") from damage
    if sealed.tag != tag:
        raise WrongKey("a record carries the tag of another key")
    body = Contents()
    if id:
        clear = cipher.decrypt(sealed.body, id=id, before=data[: -len(sealed.body)])
        if clear is None:
            raise Unreadable("the body of a record does not open")
        body = _body_decoder.decode(clear)
    return Record(sealed.tag, sealed.owner, sealed.created, sealed.issued, sealed.expires, body)


def is_encrypted(data: bytes) -> bool:
    """Tell whether *data* is a session whose body is encrypted."""
    try:
        _sealed_decoder.decode(data[1:])
    except CORRUPT:
        return False
    return data[:1] == _SESSION


class _Sealed(Hidden, msgspec.Struct, array_like=True, gc=False):
    """A `Record` whose body is encrypted."""

    tag: bytes
    owner: bytes
    created: Time
    issued: Time
    expires: Time
    body: bytes


_TEXT = 0xA0
"""MessagePack's first byte of a text, less its length, which is up to 31."""

_match_first_key = re.compile(
    rb"\x03\x96\xc4\x08.{8}\xc4\x08.{8}\xcb.{8}\xcb.{8}\xcb.{8}\x95"  # all before the body
    rb"(?:[\x81-\x8f]|\xde..)[\xa1-\xbf]",  # how many values, and how long the first key is
    re.DOTALL,
).match

_encoder = msgspec.msgpack.Encoder()
_sealed_decoder = msgspec.msgpack.Decoder(_Sealed)
_body_decoder = msgspec.msgpack.Decoder(Contents)
_record_decoder = msgspec.msgpack.Decoder(Record)
_tombstone_decoder = msgspec.msgpack.Decoder(Tombstone)
_marker_decoder = msgspec.msgpack.Decoder(Marker)
