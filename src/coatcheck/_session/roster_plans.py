"""
Plans that list and end the sessions of a user: one call of a backend after another.

A roster is one record for each user, changed by `swap`. These rules carry it:

1. A key is on the roster before its record exists, and stays there until the record is gone.
2. To end a session, its record is swapped for a tombstone, also where there is none yet: a late
   claim finds it. A marker is left alone: that session has another row by now.
3. An id that was withdrawn is never claimed again.
4. A new id takes the place of the old one in the order, and its time. A row that is there is judged
   by its own time; the time of the sign-in counts only when a row is put back.
5. A limit is applied at the end of a sign-in, again until the swap that takes rows off shows that
   nothing is over it, and never to the row of the sign-in itself.
6. A session is named by its handle: "end" finds every row that has it, "end all others" spares
   them.
7. A refresh or a new id whose key is not on the roster puts it back, and reads the record again.
   If the cut-off forbids it, the session is ended.
8. A claim whose answer came too late is withdrawn.

`tests/protocol` runs these plans in every order, with a crash before every call.

Pure: no clock, no storage; the clock is an argument.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from coatcheck._session.ids import tag_of
from coatcheck._session.plan import (
    Beside,
    Call,
    Get,
    GetMany,
    Keyspace,
    Plan,
    Swap,
    There,
    WarnOfEviction,
    look,
)
from coatcheck._session.record import (
    ANY_OWNER,
    GRACE,
    Marker,
    Record,
    Refused,
    Stored,
    Tombstone,
    Unreadable,
    Who,
    WrongKey,
)
from coatcheck._session.revocations import (
    NONE,
    Revocations,
    cut,
    is_crowded,
    pack_revocations,
    place_of,
    revoked,
    unpack_revocations,
)
from coatcheck._session.roster import (
    EMPTY,
    Roster,
    Row,
    cut_off,
    entered,
    extended,
    over,
    pack_roster,
    put_back,
    roster_digest,
    row_of,
    settled,
    unpack_roster,
    without,
)
from coatcheck._session.row_cipher import RowCipher
from coatcheck.errors import BackendError, SessionConflict

ATTEMPTS = 200
"""Races that one change of a roster may lose before it gives up."""

PATIENCE = GRACE / 3
"""
Seconds from the entry on the roster to the answer of the claim. A tombstone that forbids the claim
stays for the grace, so a later claim might succeed after the session was ended.
"""

_logger = logging.getLogger("coatcheck")


class Rosters(msgspec.Struct, frozen=True):
    """
    The storage and the rules for the lists of one cookie's sessions.

    Args:
        owners: Marks of the records of this cookie; the first one is current.
        limit: Sessions that a user may have.
        lasts: Seconds for which a cut-off stays.
        space: The keys of the storage that keeps the rosters; None: that of the sessions.
        place: That storage; None: that of the sessions.
        cipher: Encrypts the rows; None: they are kept in clear.
        revocations: Digests of the records that say which sign-ins are over, where cookies carry
            the sessions; (): sessions are records.
        unwarned: Is emptied when the server was asked whether it may evict the lists.
    """

    owners: tuple[bytes, ...]
    limit: int
    lasts: float
    space: Keyspace | None = None
    place: Any = None
    cipher: RowCipher | None = None
    revocations: tuple[str, ...] = ()
    unwarned: set[str] = msgspec.field(default_factory=set)

    def of(self, user: str, sessions: Keyspace, owner: bytes | None = None) -> "Listing":
        """
        Return the roster of a user, to be used in plans.

        Args:
            sessions: The keys of the sessions' storage.
            owner: One of `owners`; None: the current one.
        """
        digest = roster_digest(owner or self.owners[0], user)
        return Listing(self, sessions, (self.space or sessions).prefix + digest)

    def ask(self, call: Get | Swap | WarnOfEviction) -> Call:
        """Return the call that asks the backend of the rosters."""
        return call if self.place is None else Beside(call, self.place)


class Listing(NamedTuple):
    """
    The roster of one user.

    Args:
        sessions: The keys of the sessions' storage.
        key: Of the roster.
    """

    rosters: Rosters
    sessions: Keyspace
    key: str

    @property
    def now(self) -> float:
        """The time by the clock of the sessions' storage."""
        return self.sessions.clock()

    def opened(self, stored: Stored | None) -> Roster:
        """
        Return the roster that a backend answered; a damaged one counts as empty.

        Raises:
            BackendError: It answered with the record of another key.
        """
        if stored is None:
            return EMPTY
        try:
            return unpack_roster(stored.record, tag_of(self.key), self.rosters.cipher)
        except Unreadable as damage:
            _logger.warning("the list of a user's sessions counts as empty: %s", damage)
            return EMPTY
        except WrongKey:
            server = (self.rosters.space or self.sessions).server
            raise BackendError(
                server, "read", "it answered with the record of another key"
            ) from None

    @property
    def revocations_key(self) -> str:
        """The key of the record that says which sign-ins of the user are over."""
        digests = self.rosters.revocations
        return self.sessions.prefix + digests[place_of(self.key[-64:])]

    def key_of(self, row: Row) -> str:
        """Return the key of a session, as the sessions' storage knows it."""
        return self.sessions.prefix + row.key.hex()


# ---- the roster


def read(listing: Listing) -> Plan[Roster]:
    """Return the roster as it is now."""
    return listing.opened((yield listing.rosters.ask(Get(listing.key))))


def change(listing: Listing, edit: Callable[[Roster], Roster | None]) -> Plan[Roster | None]:
    """
    Change the roster by swap until that works, and return the new one.

    Args:
        edit: Returns the next roster; the same one: nothing is to change; None: give up.

    Raises:
        SessionConflict: Other requests kept winning the race.
    """
    rosters = listing.rosters
    if rosters.unwarned:
        rosters.unwarned.clear()
        yield rosters.ask(WarnOfEviction())
    stored: Stored | None = yield rosters.ask(Get(listing.key))
    for _ in range(ATTEMPTS):
        there = listing.opened(stored)
        newer = edit(there)
        if newer is None or newer is there:
            return newer
        now = listing.now
        newer = settled(newer, now, rosters.lasts)
        data = pack_roster(newer, tag_of(listing.key), rosters.cipher)
        ttl = max(newer.expires - now, 0.0) + GRACE
        version = stored.version if stored else None
        refused: Refused | None = yield rosters.ask(Swap(listing.key, version, data, ttl))
        if refused is None:
            return newer
        stored = refused.stored
    raise SessionConflict(ATTEMPTS)


def enter(listing: Listing, row: Row) -> Plan[Roster | None]:
    """Put a sign-in on the roster; None: it began before the cut-off."""
    return change(listing, lambda roster: entered(roster, row))


def take_off(listing: Listing, keys: Collection[str]) -> Plan[Roster]:
    """Take keys off the roster, and return it."""
    digests = {bytes.fromhex(key[-64:]) for key in keys}
    return _certain(listing, lambda roster: without(roster, digests))


def extend(listing: Listing, there: There, newer: Record) -> Plan[There | None]:
    """
    Note on the roster that a session is refreshed, before its record is.

    Args:
        newer: The record to come.

    Returns:
        *there*, or what is there after its row was put back; None: the cut-off forbids it, and the
        session is ended.
    """
    now, expires = listing.now, newer.expires
    if (yield from change(listing, lambda roster: extended(roster, there.key, now, expires))):
        return there
    return (yield from heal(listing, there, newer))


def heal(listing: Listing, there: There, newer: Record) -> Plan[There | None]:
    """
    Put back the row of a session that the roster has lost.

    Args:
        newer: The record to come, with the user.

    Returns:
        What is there now: the session may have been ended before. None: the cut-off forbids it, and
        it is ended.
    """
    who = newer.body.who
    assert who is not None  # noqa: S101 - a session that is listed has a user
    now, expires = listing.now, newer.expires
    row = row_of(there.key, who, since=who.signed_in_at, now=now, expires=expires)
    if (yield from change(listing, lambda roster: put_back(roster, row))) is None:
        yield from bury(listing, there.key, expires)
        return None
    again = yield from look(listing.sessions, there.key, there.id)
    if again.kept is None and there.version is None:
        return there  # only the cookie has it
    if isinstance(again.kept, Marker | Tombstone):
        yield from take_off(listing, (there.key,))
    return again


# ---- the end of sessions


def bury(listing: Listing, key: str, expires: float = 0.0) -> Plan[There]:
    """
    Put a tombstone in the place of a session, and return what was there.

    Args:
        expires: Until when a copy of the session may live, where a cookie carries one.
    """
    there = yield from look(listing.sessions, key)
    return (yield from bury_there(listing, there, expires))


def bury_there(listing: Listing, there: There, expires: float = 0.0) -> Plan[There]:
    """Do what `bury` does, to what was read."""
    space = listing.sessions
    for _ in range(ATTEMPTS):
        if isinstance(there.kept, Marker | Tombstone) or is_strange(listing, there):
            return there
        now = listing.now
        refused: Refused | None = yield space.bury(there, now, max(expires - now, 0.0))
        if refused is None:
            return there
        there = space.there(refused.stored, there.key)
    raise SessionConflict(ATTEMPTS)


def bury_all(listing: Listing, rows: Collection[Row]) -> Plan[tuple[set[str], set[str]]]:
    """
    End the sessions of rows.

    Returns:
        The keys to take off the roster, and the handles of the sessions that were alive.
    """
    if listing.rosters.revocations:
        return (yield from revoke_all(listing, rows))
    gone: set[str] = set()
    ended: set[str] = set()
    found = yield from look_at_all(listing, rows)
    for row in rows:
        key = listing.key_of(row)
        there = yield from bury_there(listing, found[key], row.expires)
        if is_strange(listing, there):
            _logger.warning(
                "a row on the list of a user's sessions leads to the session of another cookie, "
                "and is left alone: give each application a prefix of its own"
            )
            continue
        gone.add(key)
        if is_alive(there, listing.now):
            ended.add(row.handle)
    return gone, ended


def revoke_all(listing: Listing, rows: Collection[Row]) -> Plan[tuple[set[str], set[str]]]:
    """Do what `bury_all` does, for sessions that cookies carry."""
    now = listing.now
    before = yield from revocations_of(listing)
    ended = {
        row.handle for row in rows if row.expires > now and not is_revoked(listing, before, row)
    }
    yield from revoke(listing, {row.handle: stays(row, now) for row in rows})
    return {listing.key_of(row) for row in rows}, ended


def stays(row: Row, now: float) -> float:
    """
    Return until when a copy of a session's cookie may live.

    A request may have refreshed the session since the row was read, for as long as it did before.
    """
    return max(row.expires, now + row.expires - row.seen_at) + GRACE


def revocations_of(listing: Listing) -> Plan[Revocations]:
    """Return which sign-ins of the user are over."""
    return opened(listing, (yield Get(listing.revocations_key)))


def opened(listing: Listing, stored: Stored | None) -> Revocations:
    """
    Return the revocations that a backend answered.

    Raises:
        BackendError: It answered with the record of another key.
    """
    if stored is None:
        return NONE
    try:
        return unpack_revocations(stored.record, listing.revocations_key)
    except WrongKey:
        raise BackendError(
            listing.sessions.server, "read", "it answered with the record of another key"
        ) from None


def is_revoked(listing: Listing, found: Revocations, row: Row) -> bool:
    """Tell whether the sign-in of a row is over."""
    return found.is_over(listing.key[-64:], row.handle, row.since)


def revoke(
    listing: Listing,
    handles: Mapping[str, float],
    edit: Callable[[Revocations], Revocations] | None = None,
) -> Plan[None]:
    """
    Enter handles of sign-ins that are over, by swap until that works.

    Where many are entered already, a cut-off of the user takes their place, which spares the other
    sessions on the roster. So one user who signs in and out all day does not fill the record.

    Args:
        handles: Until when each stays.
        edit: Makes a further change.
    """
    key = listing.revocations_key
    stored: Stored | None = yield Get(key)
    for _ in range(ATTEMPTS):
        there = opened(listing, stored)
        newer = revoked(there, handles)
        if newer is not there and is_crowded(there):
            newer = yield from _cut_instead(listing, there, handles)
        newer = newer if edit is None else edit(newer)
        if newer is there:
            return
        data, ttl = pack_revocations(newer, tag_of(key), listing.now)
        refused: Refused | None = yield Swap(key, stored.version if stored else None, data, ttl)
        if refused is None:
            return
        stored = refused.stored
    raise SessionConflict(ATTEMPTS)


def _cut_instead(
    listing: Listing, there: Revocations, handles: Mapping[str, float]
) -> Plan[Revocations]:
    """
    Return the revocations with a cut-off that spares the user's other living sessions.

    A handle that the roster does not have, or that a clock ahead of ours made, is entered itself.
    """
    roster, now = (yield from read(listing)), listing.now
    alive = {row.handle for row in roster.rows if not is_revoked(listing, there, row)}
    reached = {row.handle for row in roster.rows if row.signed_in_at < now}
    until = now + listing.rosters.lasts
    newer = cut(there, listing.key[-64:], now, until, alive.difference(handles))
    return revoked(newer, {each: handles[each] for each in handles if each not in reached})


def look_at_all(listing: Listing, rows: Collection[Row]) -> Plan[dict[str, There]]:
    """Return what is under the keys of rows, by key."""
    keys = tuple(listing.key_of(row) for row in rows)
    found: Mapping[str, Stored] = (yield GetMany(keys)) if keys else {}
    return {key: listing.sessions.there(found.get(key), key) for key in keys}


def is_alive(there: There, now: float) -> bool:
    """Tell whether a request would find a session there."""
    return isinstance(there.kept, Record) and now < there.kept.expires


def is_strange(listing: Listing, there: There) -> bool:
    """Tell whether a session of another cookie is there."""
    owners = (*listing.rosters.owners, ANY_OWNER)
    return isinstance(there.kept, Record) and there.kept.owner not in owners


def hold_to_limit(listing: Listing, roster: Roster, own: str) -> Plan[set[str]]:
    """
    End the sessions that are over the limit; return the handles of those that were alive.

    Args:
        roster: As the sign-in left it.
        own: The key of the sign-in, which stays.
    """
    limit, left, ended = listing.rosters.limit, set[bytes](), set[str]()
    if not over(roster, limit, listing.now, own=own):
        return ended
    roster = yield from read(listing)  # another sign-in may have been withdrawn meanwhile
    while rows := [row for row in over(roster, limit, listing.now, own=own) if row.key not in left]:
        gone, alive = yield from bury_all(listing, rows)
        ended |= alive
        left.update(row.key for row in rows if listing.key_of(row) not in gone)
        roster = yield from take_off(listing, gone)
    return ended


def end_session(listing: Listing, handle: str) -> Plan[set[str]]:
    """End the session with a handle, whatever its id is by then; return that if it was alive."""
    roster, ended, left = (yield from read(listing)), set[str](), set[bytes]()
    _note_closed(roster)
    while rows := [row for row in roster.rows if row.handle == handle and row.key not in left]:
        gone, alive = yield from bury_all(listing, rows)
        ended |= alive
        left.update(row.key for row in rows if listing.key_of(row) not in gone)
        roster = yield from take_off(listing, gone)
    return ended


def end_all(
    listing: Listing, at: float, *, spare: Collection[str] = (), lost: Row | None = None
) -> Plan[set[str]]:
    """
    Set a cut-off, and end every session but those that are spared.

    Args:
        spare: Handles of sessions that stay.
        lost: The row of a spared session, to be put back if the roster has lost it.

    Returns:
        The handles of the sessions that were alive.
    """
    roster = yield from _certain(listing, lambda there: cut_off(there, at, spare=spare, lost=lost))
    _note_closed(roster)
    rows = [row for row in roster.rows if row.handle not in spare]
    gone, ended = yield from bury_all(listing, rows)
    if listing.rosters.revocations:
        until = roster.cutoff + listing.rosters.lasts
        digest = listing.key[-64:]
        yield from revoke(listing, {}, lambda there: cut(there, digest, at, until, spare))
    if gone:
        yield from take_off(listing, gone)
    return ended


def living(listing: Listing) -> Plan[list[tuple[Row, Record | None]]]:
    """Return the sessions that are alive now, each once; the record is None if a cookie has it."""
    roster = yield from read(listing)
    _note_closed(roster)
    now = listing.now
    rows = [row for row in roster.rows if row.expires > now]
    if listing.rosters.revocations:
        over = yield from revocations_of(listing)
        return [(row, None) for row in rows if not is_revoked(listing, over, row)]
    found = yield from look_at_all(listing, rows)
    alive: dict[str, tuple[Row, Record | None]] = {}
    for row in rows:
        there = found[listing.key_of(row)]
        record = there.kept
        if isinstance(record, Record) and is_alive(there, now) and not is_strange(listing, there):
            alive[row.handle] = row, record
    return list(alive.values())


def account_of(who: Who | None) -> str | None:
    """Return the user on whose roster a session is; None: no user is signed in."""
    return who.account if who else None


def _certain(listing: Listing, edit: Callable[[Roster], Roster]) -> Plan[Roster]:
    """Do what `change` does, for an edit that never gives up."""
    roster = yield from change(listing, edit)
    assert roster is not None  # noqa: S101 - the edit returned one
    return roster


def _note_closed(roster: Roster) -> None:
    if roster.closed:
        _logger.warning(
            "%d rows on the list of a user's sessions do not open under the cookie's secrets, and "
            "are left alone: an application with other secrets may share the server; give each "
            "application a prefix of its own",
            len(roster.closed),
        )
