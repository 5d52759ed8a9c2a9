"""
A roster: the sessions in which a user is signed in, as bytes and as rows.

    0x06 + [tag, expires, cutoff, rows]
    a row: [key, handle, since, signed_in_at, seen_at, expires, label], or bytes where encrypted

The rows stand in the order of sign-in. A row is for a key, and a handle is for a session: while the
id of a session changes, two rows have its handle. A sign-in that began before the cut-off is
refused. A row that is there is judged by its own time, `since`.

The functions here change a roster in memory: a roster and a row in, the next roster out. Which
calls they need, and in which order, says `roster_plans`.

Pure: no clock; *now* is an argument.
"""

from collections.abc import Collection

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._cookie.sha256 import sha256
from coatcheck._session.record import GRACE, LIMIT, Time, Unreadable, Who, WrongKey
from coatcheck._session.row_cipher import RowCipher
from coatcheck._session.values import CORRUPT
from coatcheck.errors import RecordTooLarge

LABEL = 100
"""Characters of a label that a row keeps, so that a thousand rows fit into a record."""

KIND = b"\x06"


class Row(Hidden, msgspec.Struct, array_like=True, frozen=True, gc=False):
    """
    A session of the user.

    Args:
        key: Of its id, without the prefix, as 32 bytes.
        handle: Its public name, which every later id keeps.
        since: What a cut-off is compared with.
        signed_in_at: When the user signed in.
        seen_at: When the session was last refreshed.
        expires: When its record dies, or later.
        label: What the application calls the device.
    """

    key: bytes
    handle: str
    since: Time
    signed_in_at: Time
    seen_at: Time
    expires: Time
    label: str = ""


class _Kept(Hidden, msgspec.Struct, array_like=True, gc=False):
    """A roster at rest."""

    tag: bytes
    expires: Time
    cutoff: Time
    rows: list[Row | bytes]


class Roster(Hidden, msgspec.Struct, frozen=True):
    """
    The sessions of one user.

    Args:
        cutoff: A sign-in that began before it is refused; 0: there was none.
        rows: In the order of sign-in.
        closed: Rows that do not open under the cookie's secrets: they are left alone.
        expires: Until when the roster that was read stays.
        sealed: Rows as they were encrypted when they were read.
    """

    cutoff: float = 0.0
    rows: tuple[Row, ...] = ()
    closed: tuple[Row | bytes, ...] = ()
    expires: float = 0.0
    sealed: dict[Row, bytes] = {}


EMPTY = Roster()


# ---- bytes


def roster_digest(owner: bytes, user: str) -> str:
    """Return the digest that ends the key of a user's roster."""
    return sha256(owner + user.encode(errors="surrogatepass")).hexdigest()


def pack_roster(roster: Roster, tag: bytes, cipher: RowCipher | None) -> bytes:
    """
    Return the bytes to keep.

    Raises:
        RecordTooLarge: They are more than a record may have.
    """
    rows: list[Row | bytes] = list(roster.rows)
    if cipher is not None:
        rows = [
            roster.sealed.get(row) or cipher.encrypt(_encoder.encode(row), tag=tag)
            for row in roster.rows
        ]
    data = KIND + _encoder.encode(
        _Kept(tag, roster.expires, roster.cutoff, [*roster.closed, *rows])
    )
    if len(data) > LIMIT:
        raise RecordTooLarge(len(data), LIMIT)
    return data


def unpack_roster(data: bytes, tag: bytes, cipher: RowCipher | None) -> Roster:
    """
    Return what `pack_roster` made *data* from.

    Args:
        tag: Of the key under which the data was found.

    Raises:
        WrongKey: It is the record of another key.
        Unreadable: It is damaged, or no roster.
    """
    if data[:1] != KIND:
        raise Unreadable(f"a record of {len(data)} bytes is no roster")
    try:
        kept = _decoder.decode(data[1:])
    except CORRUPT as damage:
        raise Unreadable("a roster is damaged") from damage
    if kept.tag != tag:
        raise WrongKey("a roster carries the tag of another key")
    if cipher is None:
        rows = [row for row in kept.rows if type(row) is Row]
        closed = [row for row in kept.rows if type(row) is bytes]
        return Roster(kept.cutoff, tuple(rows), tuple(closed), kept.expires)
    return _opened(kept, cipher)


def _opened(kept: _Kept, cipher: RowCipher) -> Roster:
    """Return a roster whose rows are encrypted; a row in clear is left alone."""
    closed: list[Row | bytes] = []
    sealed: dict[Row, bytes] = {}
    for row in kept.rows:
        clear = cipher.decrypt(row, tag=kept.tag) if isinstance(row, bytes) else None
        if clear is not None and isinstance(row, bytes):
            sealed[_row_decoder.decode(clear)] = row
        else:
            closed.append(row)
    return Roster(kept.cutoff, tuple(sealed), tuple(closed), kept.expires, sealed)


# ---- the next roster


def row_of(key: str, who: Who, *, since: float, now: float, expires: float) -> Row:
    """Return the row of a session, under a key with or without its prefix."""
    return Row(
        key=bytes.fromhex(key[-64:]),
        handle=who.handle,
        since=since,
        signed_in_at=who.signed_in_at,
        seen_at=now,
        expires=expires,
        label=who.label[:LABEL],
    )


def row_at(roster: Roster, key: str) -> Row | None:
    """Return the row of a key; None: the roster has none."""
    digest = bytes.fromhex(key[-64:])
    return next((row for row in roster.rows if row.key == digest), None)


def entered(roster: Roster, row: Row) -> Roster | None:
    """Return the roster with the row of a sign-in at its end; None: it is before the cut-off."""
    if row.since < roster.cutoff:
        return None
    return _with_rows(roster, (*_others(roster, {row.key}), row))


def joined(roster: Roster, row: Row) -> Roster | None:
    """
    Return the roster with one row for two sign-ins of one session, as two clicks make them.

    The first one keeps its handle and its time. None: there is none that is just made.
    """
    there = row_at(roster, row.key.hex())
    if there is None or there.since < roster.cutoff or there.signed_in_at + GRACE < row.seen_at:
        return None
    expires = max(there.expires, row.expires)
    newer = msgspec.structs.replace(there, seen_at=row.seen_at, expires=expires)
    return _with_rows(roster, tuple(newer if each is there else each for each in roster.rows))


def replaced(roster: Roster, old_key: str, row: Row) -> Roster | None:
    """
    Return the roster with a row right after that of the old id, with its time.

    None: the old id is not on the roster, or before the cut-off.
    """
    old = row_at(roster, old_key)
    if old is None or old.since < roster.cutoff:
        return None
    row = msgspec.structs.replace(row, since=old.since)
    rows: list[Row] = []
    for each in _others(roster, {row.key}):
        rows.append(each)
        if each is old:
            rows.append(row)
    return _with_rows(roster, tuple(rows))


def rekeyed(roster: Roster, old_key: str, row: Row) -> Roster | None:
    """
    Return the roster with another key in a row, where nothing but the cookie has the session.

    None: the old key is not on the roster, or before the cut-off.
    """
    newer = replaced(roster, old_key, row)
    return newer and without(newer, {bytes.fromhex(old_key[-64:])})


def put_back(roster: Roster, row: Row) -> Roster | None:
    """Return the roster with a lost row where its sign-in belongs; None: before the cut-off."""
    there = row_at(roster, row.key.hex())
    if (there or row).since < roster.cutoff:
        return None
    if there is not None:
        return roster
    older = [each for each in roster.rows if each.signed_in_at <= row.signed_in_at]
    at = roster.rows.index(older[-1]) + 1 if older else 0
    return _with_rows(roster, (*roster.rows[:at], row, *roster.rows[at:]))


def extended(roster: Roster, key: str, now: float, expires: float) -> Roster | None:
    """Return the roster with a later deadline for a key; None: it is not on it, or cut off."""
    old = row_at(roster, key)
    if old is None or old.since < roster.cutoff:
        return None
    if old.expires >= expires:
        return roster
    newer = msgspec.structs.replace(old, seen_at=now, expires=expires)
    return _with_rows(roster, tuple(newer if each is old else each for each in roster.rows))


def without(roster: Roster, keys: Collection[bytes]) -> Roster:
    """Return the roster without the rows of these keys."""
    rows = _others(roster, keys)
    return roster if len(rows) == len(roster.rows) else _with_rows(roster, rows)


def cut_off(
    roster: Roster, at: float, *, spare: Collection[str] = (), lost: Row | None = None
) -> Roster:
    """
    Return the roster with a cut-off: no sign-in that began before it is accepted any more.

    Args:
        spare: Handles of sessions that stay: their rows get the time of the cut-off.
        lost: The row to put back if none has its handle.
    """
    cutoff = max(roster.cutoff, at)
    rows = tuple(
        msgspec.structs.replace(row, since=cutoff) if row.handle in spare else row
        for row in roster.rows
    )
    roster = msgspec.structs.replace(roster, cutoff=cutoff, rows=rows)
    if lost is None or any(row.handle == lost.handle for row in rows):
        return roster
    return put_back(roster, msgspec.structs.replace(lost, since=cutoff)) or roster


def over(roster: Roster, limit: int, now: float, *, own: str) -> tuple[Row, ...]:
    """
    Return the rows to take off so that the roster holds to a limit: expired ones, then the oldest.

    Args:
        own: The key of the sign-in that applies the limit. It stays, and no newer one goes in its
            place: two sign-ins at once would end each other.
    """
    count = len(roster.rows) - limit
    if count <= 0:
        return ()
    own_key = bytes.fromhex(own[-64:])
    first = sorted(roster.rows, key=lambda row: row.expires > now)[:count]
    return tuple(row for row in first if row.key != own_key)


def settled(roster: Roster, now: float, lasts: float) -> Roster:
    """
    Return the roster as it is to be kept: without what expired, and with its deadline.

    A row stays for the grace after its deadline, as its record does.

    Args:
        lasts: Seconds for which a cut-off stays.
    """
    rows = tuple(row for row in roster.rows if row.expires + GRACE > now)
    ends = [row.expires for row in rows]
    if roster.cutoff:
        ends.append(roster.cutoff + lasts)
    if roster.closed:
        ends.append(roster.expires)
    return msgspec.structs.replace(roster, rows=rows, expires=max(ends, default=now))


def _others(roster: Roster, keys: Collection[bytes]) -> tuple[Row, ...]:
    return tuple(row for row in roster.rows if row.key not in keys)


def _with_rows(roster: Roster, rows: tuple[Row, ...]) -> Roster:
    return msgspec.structs.replace(roster, rows=rows)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)
_row_decoder = msgspec.msgpack.Decoder(Row)
