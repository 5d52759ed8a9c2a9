"""
The roster's part of a save: the calls before and after those for the record.

    sign-in         enter it ─ claim its id ─ mark the old id ─ take that off ─ hold to the limit
    another new id  put it beside the old one ─ claim ─ mark ─ take the old one off
    refresh         note the new deadline ─ write the record
    sign-out        bury the record ─ take its keys off

Each function does nothing if no rosters are kept, or no user is signed in.

Pure: no clock, no storage; the clock is an argument.
"""

from collections.abc import Collection
from typing import NamedTuple

from msgspec.structs import replace

from coatcheck._session.draft import Carried, Draft, Foreign, Found, Lost, Moved
from coatcheck._session.events import note
from coatcheck._session.ids import masked
from coatcheck._session.moves import Moves
from coatcheck._session.plan import Delete, Keyspace, Plan, There
from coatcheck._session.record import Marker, Record, Who
from coatcheck._session.roster import Roster, replaced, row_of
from coatcheck._session.roster_plans import (
    PATIENCE,
    Listing,
    account_of,
    change,
    enter,
    extend,
    heal,
    hold_to_limit,
    take_off,
)

REFUSED = Lost(
    "the user's sessions were ended after this request began; to sign in later in the request that "
    "ends them, call end_all(user, current=session)"
)

ENDED = Lost("the user's sessions were ended")

LISTED = "roster"
"""The purpose of the seal on a roster's digest in a marker."""


class Entry(NamedTuple):
    """
    An id that is on a roster before its record exists.

    Args:
        key: Of the id.
        roster: As it is with the entry.
        at: When it was entered.
    """

    listing: Listing
    key: str
    roster: Roster
    at: float


def began(draft: Draft, user: str, who: Who) -> float:
    """
    Return when the sign-in of a user began: when the request was read.

    An adopted session began when its package signed or made it.
    """
    if type(draft.origin) is Foreign and not signs_in(draft) and who.handle != draft.spared:
        return who.signed_in_at
    if draft.cleared is not None and draft.cleared[0] == user:
        return draft.cleared[1]
    origin = draft.origin
    return origin.read_at if isinstance(origin, Found | Moved) else draft.began


def listings_of(
    draft: Draft, who: Who | None, space: Keyspace, owner: bytes = b""
) -> list[Listing]:
    """
    Return the rosters that hold a session; the first one is that of today.

    Args:
        owner: Of the record: the session may be listed under a former owner.
    """
    rosters, user = draft.terms.rosters, account_of(who)
    if rosters is None or user is None:
        return []
    owners = [rosters.owners[0]]
    if owner != owners[0] and owner in rosters.owners:
        owners.append(owner)
    return [rosters.of(user, space, each) for each in owners]


def enter_claim(
    draft: Draft, record: Record, id: str, space: Keyspace
) -> Plan[Entry | Lost | None]:
    """Enter a sign-in whose record is about to be claimed; None: there is nothing to enter."""
    listings = listings_of(draft, record.body.who, space)
    if not listings:
        return None
    listing, at, who = listings[0], space.clock(), record.body.who
    assert who is not None  # noqa: S101 - a session that is listed has a user
    since = began(draft, account_of(who) or "", who)
    row = row_of(space.key(id), who, since=since, now=at, expires=record.expires)
    roster = yield from enter(listing, row)
    if roster is None:
        note(draft, "refused", "cut-off", who=who)
        return REFUSED
    return Entry(listing, space.key(id), roster, at)


def enter_move(
    draft: Draft, there: There, record: Record, id: str, space: Keyspace
) -> Plan[Entry | There | Lost | None]:
    """
    Enter a new id: a sign-in at the end, every other in the place of the old one.

    Args:
        there: The session under its old id.
        record: The one to claim.

    Returns:
        None: there is nothing to enter. There: the roster had lost the session, and this is what
        was read after its row was put back.
    """
    listings = listings_of(draft, record.body.who, space)
    if not listings or signs_in(draft):
        return (yield from enter_claim(draft, record, id, space))
    listing, at, who = listings[0], space.clock(), record.body.who
    assert who is not None  # noqa: S101 - a session that is listed has a user
    row = row_of(space.key(id), who, since=at, now=at, expires=record.expires)
    roster = yield from change(listing, lambda roster: replaced(roster, there.key, row))
    if roster is not None:
        return Entry(listing, space.key(id), roster, at)
    return (yield from heal(listing, there, record)) or ENDED


def signs_in(draft: Draft) -> bool:
    """Tell whether the session gets a new id by a sign-in."""
    return isinstance(draft.fate, Moves) and draft.fate.by == "sign_in"


def is_late(entry: Entry | None, space: Keyspace) -> bool:
    """Tell whether a claim was answered so late that the end of the session may have missed it."""
    return entry is not None and space.clock() - entry.at > PATIENCE


def withdraw(entry: Entry | None, key: str) -> Plan[None]:
    """Take back a record that was claimed; its id is never claimed again."""
    yield Delete(key)
    if entry is not None:
        yield from take_off(entry.listing, (key,))


def forget_claim(entry: Entry | None, key: str) -> Plan[None]:
    """Take a key off whose claim was refused."""
    if entry is not None:
        yield from take_off(entry.listing, (key,))


def told_in(marker: Marker, draft: Draft, base: Record, old_id: str, space: Keyspace) -> Marker:
    """
    Return a marker that tells a sign-out with the old id on which roster the session is.

    Where bodies are in clear, the session itself tells its user.
    """
    if space.cipher is None or not marker.next_key:
        return marker
    for listing in listings_of(draft, base.body.who, space)[:1]:
        digest = bytes.fromhex(listing.key[-64:])
        return replace(marker, sealed_roster=masked(digest, under=old_id, purpose=LISTED))
    return marker


def listing_in(marker: Marker, draft: Draft, old_id: str, space: Keyspace) -> Listing | None:
    """Return the roster that a marker tells to a request with the old id; None: it tells none."""
    rosters = draft.terms.rosters
    if rosters is None or not old_id or not marker.sealed_roster:
        return None
    digest = masked(marker.sealed_roster, under=old_id, purpose=LISTED).hex()
    return Listing(rosters, space, (rosters.space or space).prefix + digest)


def moved_away(
    draft: Draft, there: There, base: Record, entry: Entry | None, space: Keyspace
) -> Plan[None]:
    """
    Note that a session has another id: the old one is a marker now.

    Args:
        there: The session under its old id.
    """
    for listing in listings_of(draft, base.body.who, space, base.owner):
        roster = yield from take_off(listing, (there.key,))
        if entry and listing.key == entry.listing.key:
            entry = entry._replace(roster=roster)
    if entry and signs_in(draft):
        yield from signed_in(draft, entry)


def signed_in(draft: Draft, entry: Entry) -> Plan[None]:
    """Apply the limit after a sign-in."""
    ended = yield from hold_to_limit(entry.listing, entry.roster, entry.key)
    note_limit(draft, ended)


def note_limit(draft: Draft, ended: Collection[str]) -> None:
    """Note the sessions that a sign-in ended because there were too many."""
    user = account_of(draft.contents.who)
    for handle in ended:
        note(draft, "ended", "most", who=Who(user, handle))


def is_due(draft: Draft, base: Record, newer: Record) -> bool:
    """Tell whether a write is to be noted on a roster first: a refresh, or a user who is new."""
    if newer.expires != base.expires or type(draft.origin) is Carried:
        return True
    return account_of(newer.body.who) != account_of(base.body.who)


def refresh(draft: Draft, there: There, newer: Record, space: Keyspace) -> Plan[There | None]:
    """
    Note the later deadline of a session, before its record has it.

    Returns:
        *there*, or what was read after a lost row was put back; None: the session is ended.
    """
    for listing in listings_of(draft, newer.body.who, space)[:1]:
        return (yield from extend(listing, there, newer))
    return there


def taken_off(
    draft: Draft, kept: object, keys: list[str], space: Keyspace, told: Listing | None = None
) -> Plan[None]:
    """
    Take the keys of a session that ended off the rosters.

    Args:
        kept: The record that ended; if it tells no user, the one that the request read does.
        told: The roster, if neither does: by `listing_in`.
    """
    record = kept if isinstance(kept, Record) and kept.body.who else None
    if record is None and draft.found is not None:
        record = draft.found.record
    if record is None:
        if told is not None:
            yield from take_off(told, keys)
        return
    for listing in listings_of(draft, record.body.who, space, record.owner):
        yield from take_off(listing, keys)
