"""
The calls that keep a session's changes: what a backend is asked, one call after another.

`lifecycle` plans. Its plans are generators: each yields a call, is sent the answer, and decides
what follows. So a decision is written once, for plain and for awaited backends, and every order of
the calls of several requests can be run in a test.

    Get(key)                            answered by what is there, or None
    Swap(key, version, record, ttl)     answered by None if it was done, else by what is there
    Delete(key)                         answered by None
    GetMany(keys)                       answered by a mapping of what is there
    WarnOfEviction()                    answered by None, after a log line if lists may be evicted
    Beside(call, place)                 one of these, for the backend of another storage

Pure: no I/O. The clock is handed in.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.body_cipher import BodyCipher
from coatcheck._session.ids import key_of, tag_of
from coatcheck._session.record import (
    GRACE,
    Kept,
    Marker,
    Record,
    Refused,
    Stored,
    Tombstone,
    Unreadable,
    WrongKey,
    as_of,
    is_encrypted,
    pack,
    pack_encrypted,
    unpack,
    unpack_encrypted,
)
from coatcheck.errors import BackendError

T = TypeVar("T")

_logger = logging.getLogger("coatcheck")


class Get(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Ask what is there."""

    key: str


class Swap(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Replace what is there if it is that version; None: if nothing is there."""

    key: str
    version: object
    record: bytes
    ttl: float


class Delete(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Remove what is there."""

    key: str


class GetMany(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Ask what is there, under several keys, none of which comes twice."""

    keys: tuple[str, ...]


class WarnOfEviction(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Log whether the server may drop a record before it expires."""


class Beside(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    A call for the backend of another storage than that of the sessions.

    Args:
        place: That storage, as the one who carries out the plan knows it.
    """

    call: Get | Swap | Delete | GetMany | WarnOfEviction
    place: Any


Call = Get | Swap | Delete | GetMany | WarnOfEviction | Beside

Answer = Stored | Refused | Mapping[str, Stored] | None

Plan = Generator[Call, Any, T]
"""Yields calls, is sent their answers (`Stored`, `Refused`, None, a mapping), returns a result."""


class There(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    The record under an id.

    Args:
        id: The id; "" where a key alone is known.
        key: Its key.
        kept: What is there; None: nothing, or nothing readable.
        version: For a swap; None: nothing is there.
    """

    id: str
    key: str
    kept: Kept | None
    version: object


class Keyspace(msgspec.Struct, frozen=True):
    """
    The keys of one storage in its backend.

    Args:
        clock: Returns the seconds since 1970.
        prefix: Goes before every key.
        server: What an error calls the backend.
        cipher: Encrypts the bodies of sessions; None: they are kept in clear.
        accepts_clear: Whether a body in clear is read although bodies are encrypted: while the
            sessions of another storage move here.
        copies: Whether cookies may be about that carry a whole session: then markers and tombstones
            stay for as long as such a copy could live.
    """

    clock: Callable[[], float]
    prefix: str = ""
    server: str = "the backend"
    copies: bool = False
    cipher: BodyCipher | None = None
    accepts_clear: bool = False

    def key(self, id: str) -> str:
        """Return the key of an id."""
        return key_of(id, self.prefix)

    def there(self, stored: Stored | None, key: str, id: str = "") -> There:
        """
        Return what a backend answered for a key.

        Raises:
            BackendError: It answered with the record of another key.
        """
        if stored is None:
            return There(id, key, None, None)
        return There(id, key, self.unpacked(stored.record, tag_of(key), id), stored.version)

    def unpacked(self, data: bytes, tag: bytes, id: str) -> Kept | None:
        """
        Return the record that *data* is, expired or not; None if it is damaged.

        Args:
            id: Under which it was found; "": its body stays closed, if that is encrypted.

        Raises:
            BackendError: It is the record of another key.
        """
        try:
            if self.cipher is None or (self.accepts_clear and not is_encrypted(data)):
                kept = unpack(data, tag)
            else:
                kept = unpack_encrypted(data, tag, self.cipher, id)
        except Unreadable as damage:
            _logger.warning("a session counts as absent: %s", damage)
            return None
        except WrongKey:
            raise BackendError(
                self.server, "read", "it answered with the record of another key"
            ) from None
        if type(kept) is Record:
            who = kept.body.who
            if who is not None and who.acts_until is not None:
                return as_of(kept, self.clock())
        return kept

    def write(self, there: There, record: Record, now: float) -> Swap:
        """Return the call that keeps a session: its backend may drop it after the grace."""
        record.tag = tag_of(there.key)
        ttl = (record.expires - now if record.expires > now else 0.0) + GRACE
        return Swap(there.key, there.version, self.packed(record, there.id), ttl)

    def packed(self, record: Record, id: str) -> bytes:
        """Return the bytes to keep of a session, whose tag is that of its key already."""
        if self.cipher is None:
            return pack(record)
        return pack_encrypted(record, self.cipher, id)

    def bury(self, there: There, now: float, idle: float) -> Swap:
        """Return the call that replaces a session by a tombstone."""
        ttl = self.stays(there, now, idle)
        tomb = Tombstone(tag_of(there.key), now + ttl)
        return Swap(there.key, there.version, pack(tomb), ttl)

    def mark(self, there: There, marker: Marker, now: float, idle: float) -> Swap:
        """Return the call that replaces a session by a marker."""
        ttl = max(self.stays(there, now, idle), marker.expires - now)
        return Swap(there.key, there.version, pack(marker), ttl)

    def stays(self, there: There, now: float, idle: float) -> float:
        """Return the seconds for which the end of a session is remembered."""
        if not self.copies:
            return GRACE
        # Another copy may have been refreshed later than this one: until now, at the latest.
        left = there.kept.expires - now if isinstance(there.kept, Record) else 0.0
        return max(left, idle, 0.0) + GRACE


def look(space: Keyspace, key: str, id: str = "") -> Plan[There]:
    """Return what is under a key now."""
    stored: Stored | None = yield Get(key)
    return space.there(stored, key, id)
