"""
Sessions that cookies carry and that can be ended: the calls around a save.

    sign-in         enter it on the roster ─ revoke the sign-in that it replaced ─ hold to the limit
    another new id  ask whether the sign-in is over ─ change the key on the roster, if it is there
    refresh         note the new deadline on the roster; if it is not there, ask, and put it back
    sign-out        revoke the sign-in ─ take it off the roster

A copy of an old cookie is no other session: it has the same handle, and is over with it.

Two clicks on "sign in" send the same cookie twice. Each makes the same new id from it, so the
second one finds the row of the first, and takes its handle.

Pure: no clock, no storage; the clock is an argument.
"""

from msgspec.structs import replace

from coatcheck._cookie.base64url import pack_base64url
from coatcheck._session.draft import Draft, Found, Lost
from coatcheck._session.events import log_losses, note
from coatcheck._session.ids import ID_BYTES, new_id
from coatcheck._session.in_cookie import carry
from coatcheck._session.listed import ENDED, REFUSED, began, listings_of, note_limit
from coatcheck._session.moves import Moves
from coatcheck._session.next_state import discard
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.record import GRACE, Record, Who
from coatcheck._session.roster import (
    Roster,
    entered,
    extended,
    joined,
    put_back,
    rekeyed,
    row_at,
    row_of,
)
from coatcheck._session.roster_plans import (
    Listing,
    account_of,
    change,
    hold_to_limit,
    revocations_of,
    revoke,
    take_off,
)
from coatcheck._session.session import Session


def save(session: Session, space: Keyspace) -> Plan[tuple[str, Record] | str | None]:
    """
    Return the id and the record for a cookie that carries the whole session.

    Returns:
        None changes nothing, "" removes the cookie.

    Raises:
        UnstorableValue: A value was changed in place into what no record holds.
    """
    draft = session._draft
    if draft.touched:
        draft.note_changes_in_place()
    origin = draft.found
    before = origin.record.body.who if origin else None
    after = None if draft.fate == "ends" else draft.contents.who
    lost = yield from _noted(draft, before, after, space)
    kept = None
    if lost is not None:
        discard(draft, lost.why)
    else:
        has_joined = draft.contents.who is not after and after is not None
        kept = carry(session, space.clock(), "joined" if has_joined else "")
    if draft.events and not draft.terms.reports:
        log_losses(draft)
    return kept


def _noted(
    draft: Draft, before: Who | None, after: Who | None, space: Keyspace
) -> Plan[Lost | None]:
    """Note on the rosters what a save is about to do; a `Lost` says that it must not."""
    origin, by = draft.found, draft.fate.by if isinstance(draft.fate, Moves) else ""
    was_in, is_in = account_of(before) is not None, account_of(after) is not None
    if isinstance(draft.fate, Moves) and by == "sign_in" and after is not None:
        refused = yield from _enter(draft, draft.fate, after, space)
        if refused is not None:
            return refused
    if origin is not None and before is not None and was_in:
        if draft.fate == "ends" or by in ("sign_in", "leave"):
            yield from _sign_out(draft, origin, before, space)
            return None
        if by and after is not None:
            return (yield from _move(draft, origin, after, space))
    if after is not None and is_in and not by and _is_due(draft, before, after):
        return (yield from _refresh(draft, after, space))
    return None


def _is_due(draft: Draft, before: Who | None, after: Who) -> bool:
    """Tell whether the cookie is to be refreshed, or has a user who is not listed yet."""
    origin = draft.found
    if origin is None or account_of(before) != account_of(after):
        return True
    return draft.fate == "renews" or draft.terms.renews(origin.record, origin.read_at)


def _enter(draft: Draft, move: Moves, who: Who, space: Keyspace) -> Plan[Lost | None]:
    """Enter a sign-in, or join the one that another click of this browser made."""
    listing, expires = _listing(draft, who, space)
    draft.id = draft.id or _id_of_clicks(draft, who)
    since = began(draft, account_of(who) or "", who)
    row = row_of(space.key(draft.id), who, since=since, now=listing.now, expires=expires)

    def edit(roster: Roster) -> Roster | None:
        nonlocal row
        both = joined(roster, row)
        if both is None and row_at(roster, row.key.hex()) is not None:  # it is no click of today
            draft.id = new_id()
            row = replace(row, key=bytes.fromhex(space.key(draft.id)[-64:]))
        return both or entered(roster, row)

    roster = yield from change(listing, edit)
    if roster is None:
        note(draft, "refused", "cut-off", who=who)
        return REFUSED
    there = row_at(roster, row.key.hex())
    if there is not None and there.handle != who.handle:
        first = replace(who, handle=there.handle, signed_in_at=there.signed_in_at)
        draft.fate, draft.contents.who = replace(move, who=first), first
    note_limit(draft, (yield from hold_to_limit(listing, roster, row.key.hex())))
    return None


def _id_of_clicks(draft: Draft, who: Who) -> str:
    """Return the id that a sign-in of this user gets from the session that the request read."""
    pins, old_id = draft.terms.pins, draft.issued
    if pins is None or old_id is None:
        return new_id()
    return pack_base64url(pins.mark(f"{old_id} {account_of(who)}")[:ID_BYTES])


def _sign_out(draft: Draft, origin: Found, who: Who, space: Keyspace) -> Plan[None]:
    """End the sign-in that the request came with."""
    listing, expires = _listing(draft, who, space)
    yield from revoke(listing, {who.handle: max(origin.record.expires, expires) + GRACE})
    yield from take_off(listing, (space.key(origin.id),))


def _move(draft: Draft, origin: Found, who: Who, space: Keyspace) -> Plan[Lost | None]:
    """Change the id of a sign-in that goes on; a row that was lost is not put back."""
    listing, expires = _listing(draft, who, space)
    if (yield from revocations_of(listing)).is_over(_digest(listing), who.handle, who.signed_in_at):
        return ENDED
    draft.id = draft.id or new_id()
    now, old_key = listing.now, space.key(origin.id)
    row = row_of(space.key(draft.id), who, since=now, now=now, expires=expires)
    yield from change(listing, lambda roster: rekeyed(roster, old_key, row))
    return None


def _refresh(draft: Draft, who: Who, space: Keyspace) -> Plan[Lost | None]:
    listing, expires = _listing(draft, who, space)
    id = draft.issued or draft.id or new_id()
    draft.id = None if draft.issued else id
    now, key = listing.now, space.key(id)
    if (yield from change(listing, lambda roster: extended(roster, key, now, expires))):
        return None
    over, digest = (yield from revocations_of(listing)), _digest(listing)
    if over.is_over(digest, who.handle, who.signed_in_at):
        return ENDED
    since = over.since(digest, who.handle, who.signed_in_at)
    row = row_of(key, who, since=since, now=now, expires=expires)
    done = yield from change(listing, lambda roster: put_back(roster, row))
    return ENDED if done is None else None


def _listing(draft: Draft, who: Who, space: Keyspace) -> tuple[Listing, float]:
    """Return the roster of a user, and when a cookie expires that is sent now."""
    idle = draft.terms.idle if who.idle is None else who.idle
    return listings_of(draft, who, space)[0], space.clock() + idle


def _digest(listing: Listing) -> str:
    return listing.key[-64:]
