"""
Plans that keep the changes of a session.

`save` is a plan: it swaps the record that was read for a newer one. If another request was faster,
the changes of this request are replayed on what that one left, and the swap is tried again.

Three rules settle the races. A write that finds the session ended is discarded, so a late request
cannot undo a sign-out. A write that finds a marker goes on under the new id only where `moves` lets
it. And a request that goes on with an id of its own keeps only what it wrote, under keys that the
session it read did not hold, so nothing of an ended session returns.

Pure: no clock, no storage; the clock is an argument.
"""

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.draft import (
    Carried,
    Draft,
    Foreign,
    Found,
    Lapsed,
    Lost,
    Moved,
    Unread,
)
from coatcheck._session.events import log_losses
from coatcheck._session.ids import new_id, tag_of
from coatcheck._session.listed import (
    ENDED,
    Entry,
    enter_claim,
    enter_move,
    forget_claim,
    is_due,
    is_late,
    listing_in,
    moved_away,
    refresh,
    signed_in,
    taken_off,
    told_in,
    withdraw,
)
from coatcheck._session.moves import (
    ROTATES,
    Moves,
    adopted,
    closed,
    is_hushed,
    joined_id,
    marker_of,
    rotated_id,
)
from coatcheck._session.next_state import (
    discard,
    ended,
    is_emptied,
    is_long_over,
    logged,
    moved_record,
    new_record,
    next_record,
    note_end,
    note_move,
    note_of,
    note_save,
    only_written,
    reason_of,
    settle,
    usable,
)
from coatcheck._session.plan import Keyspace, Plan, Swap, There, look
from coatcheck._session.record import (
    GRACE,
    Contents,
    Marker,
    Record,
    Refused,
)
from coatcheck._session.session import Session
from coatcheck.errors import SessionConflict

_STAYS = ("stays", "renews")

ATTEMPTS = 200
"""Races that one save may lose before it gives up: in every round, another request wins."""


Result = str | None | Lost
"""The value for the cookie, or the reason why nothing was kept."""


def save(session: Session, space: Keyspace) -> Plan[str | None]:
    """
    Keep what a request did, and return what its cookie is to carry.

    Returns:
        An id; None changes nothing, "" removes the cookie.

    Raises:
        SessionConflict: Other requests kept winning the race.
        UnstorableValue, RecordTooLarge: Nothing was written.
    """
    write = first_write(session, space)
    if write is None:
        return (yield from save_in_steps(session, space))
    refused: Refused | None = yield Swap(write.key, write.version, write.data, write.ttl)
    if refused is None:
        return written(session, write)
    return (yield from write_again(session, write, refused, space))


class FirstWrite(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    The swap that keeps a session, if no other request was faster.

    Args:
        key, version, data, ttl: See `Swap`.
        record: What it writes.
        now: When it was made.
        steps: How many changes of the log it carries.
    """

    key: str
    version: object
    data: bytes
    ttl: float
    record: Record
    now: float
    steps: int


def first_write(session: Session, space: Keyspace) -> FirstWrite | None:
    """
    Return the one write that most saves need: the record that was read, with the changes.

    None: the save takes other steps, or none: see `save_in_steps`. A storage that looks here first
    need not drive a plan.
    """
    draft = session._draft
    if draft.touched:
        draft.note_changes_in_place()
    origin, contents = draft.origin, draft.contents
    if type(origin) is not Found or not origin.digest or origin.version is None or origin.handed:
        return None
    base, who = origin.record, origin.record.body.who
    if draft.fate not in _STAYS or (who is not None and who.acts_until is not None):
        return None
    if not contents.values and contents.empty:
        return None
    now = space.clock()
    record = next_record(draft, base, contents, now)
    if record is None or record.expires <= now or base.expires <= now:
        return None
    if draft.terms.rosters is not None and is_due(draft, base, record):
        return None
    key, ttl = space.prefix + origin.digest, record.expires - now + GRACE
    data = space.packed(record, origin.id)
    return FirstWrite(key, origin.version, data, ttl, record, now, len(draft.log))


def written(session: Session, write: FirstWrite) -> str | None:
    """Note that the first write was done, and return what the cookie is to carry."""
    draft = session._draft
    origin = draft.origin
    assert type(origin) is Found  # noqa: S101 - `first_write` has looked
    due = draft.fate == "renews" or write.record.expires != origin.record.expires
    settle(draft, write.record, origin.id, write.now, write.steps)
    return origin.id if due else None


def write_again(
    session: Session, write: FirstWrite, refused: Refused, space: Keyspace
) -> Plan[str | None]:
    """Keep what a request did, after another one was faster."""
    draft = session._draft
    assert draft.found is not None  # noqa: S101 - `first_write` has looked
    there = space.there(refused.stored, write.key, draft.found.id)
    return kept(draft, (yield from _write(draft, there, space, first=False, lost=1)))


def save_in_steps(session: Session, space: Keyspace) -> Plan[str | None]:
    """Keep what a request did, for all that `first_write` does not do."""
    draft = session._draft
    plan = _plan_of(draft, space)
    return kept(draft, plan if isinstance(plan, Lost) else (yield from plan))


def kept(draft: Draft, result: Result) -> str | None:
    """Return what the cookie is to carry; if nothing was kept, drop the changes."""
    if isinstance(result, Lost):
        discard(draft, result.why)
        result = None
    if draft.events and not draft.terms.reports:
        log_losses(draft)
    return result


def _plan_of(draft: Draft, space: Keyspace) -> Plan[Result] | Lost:
    """Return the plan that keeps what a request did, or why it cannot be kept."""
    origin = draft.origin
    if draft.fate == "ends":
        return _end(draft, space)
    if isinstance(origin, Found):
        there = at(origin, space)
        if there is None or is_long_over(origin.record, space.clock()):
            return _kept_again(draft, origin, space)
        return _kept(draft, there, space, first=there.version is not None)
    if type(origin) is Moved:
        return _after_move(draft, origin, space)
    if type(origin) is Foreign:
        return _adopt(draft, origin, space)
    if type(origin) is Lost:
        return origin
    if type(origin) is Unread:
        return Lost("it could not be read")
    return _begin(draft, draft.contents, space)


def _kept(draft: Draft, there: There, space: Keyspace, *, first: bool) -> Plan[Result]:
    """Return the plan that keeps a session which is stored; *first*: see `_write`."""
    if type(draft.fate) is Moves and not is_emptied(draft, draft.contents):
        return _move(draft, draft.fate, there, space)
    return _write(draft, there, space, first=first)


def _kept_again(draft: Draft, origin: Found, space: Keyspace) -> Plan[Result]:
    """Keep what a request did after it saved, or very late: another may have written since."""
    there = yield from look_at(origin, space)
    return (yield from _kept(draft, there, space, first=False))


def _begin(draft: Draft, contents: Contents, space: Keyspace) -> Plan[Result]:
    """Claim an id for a session that was not stored; if it holds nothing, no server is asked."""
    if contents.empty and not draft.terms.keeps_empty:
        return None
    record = new_record(draft, contents, space.clock())
    steps = len(draft.log)
    claim = yield from _claim_new(draft, record, space)
    if isinstance(claim, Lost):
        return claim
    id, entry = claim
    if entry is not None:
        yield from signed_in(draft, entry)
    if type(draft.origin) is Lapsed and type(draft.fate) is Moves:
        yield from _shut(draft.origin, draft, space)
    fate = draft.fate
    settle(draft, record, id, space.clock(), steps)
    note_of(draft, "started")
    if type(fate) is Moves and fate.by in ("sign_in", "act_as"):
        note_move(draft, fate)
    return id


def _write(
    draft: Draft, there: There, space: Keyspace, *, first: bool, lost: int = 0
) -> Plan[Result]:
    """
    Write the session under the id that it has.

    Args:
        first: Whether *there* is what the request read, so that nothing need be replayed.
        lost: Rounds that the save has lost before.
    """
    steps, origin = len(draft.log), draft.origin
    for attempt in range(ATTEMPTS):
        followed = type(there.kept) is Marker
        if followed:
            there, followed = yield from where_rotated(there, space)
        now = space.clock()
        base = usable(draft, there, now)
        if base is None:
            return reason_of(draft, there, now)
        contents = draft.contents if first and not followed else logged(draft, base.body.copy())
        first = False
        handed = followed or (isinstance(origin, Found) and origin.handed)
        newer = next_record(draft, base, contents, now)
        if newer is None:
            return (yield from _still_leads(draft, there, space)) if handed else None
        if newer.expires <= now:
            return Lost("it reached the end of its lifetime")
        emptied = is_emptied(draft, contents)
        if type(draft.fate) is Moves and not emptied:
            return (yield from _move(draft, draft.fate, there, space))
        if draft.terms.rosters is not None and not emptied and is_due(draft, base, newer):
            found = yield from refresh(draft, there, newer, space)
            if found is None:
                return ENDED
            if found is not there:
                there = found
                continue
        refused: Refused | None = yield (
            space.bury(there, now, draft.terms.idle) if emptied else space.write(there, newer, now)
        )
        if refused is None and emptied:
            yield from taken_off(draft, base, [there.key], space)
            return ended(draft, steps, now)
        if refused is None:
            due = handed or newer.expires != base.expires or draft.fate == "renews"
            due = due or type(origin) is Carried
            settle(draft, newer, there.id, now, steps)
            note_save(draft, attempt + 1 + lost, steps)
            return there.id if due else None
        there = space.there(refused.stored, there.key, there.id)
    raise SessionConflict(ATTEMPTS)


def _still_leads(draft: Draft, there: There, space: Keyspace) -> Plan[Result]:
    """Return the id that a rotation led to, if it leads to the session now, else None."""
    found = yield from look(space, there.key, there.id)
    return there.id if usable(draft, found, space.clock()) else None


def _move(draft: Draft, move: Moves, there: There, space: Keyspace) -> Plan[Result]:
    """Give the session another id: claim that, then leave a marker under the old one."""
    steps = len(draft.log)
    for attempt in range(ATTEMPTS):
        followed = type(there.kept) is Marker
        if followed:
            there, followed = yield from where_rotated(there, space)
        now = space.clock()
        base = usable(draft, there, now)
        if base is None:
            return (yield from _after_lost_move(draft, move, there, space))
        if followed and move.by == "rotate":  # another request was faster
            draft.fate = "renews"  # the client is to get the cookie of the new id
            return (yield from _write(draft, there, space, first=False))
        newer = moved_record(draft, move, base, now)
        if newer.expires <= now:
            return Lost("it reached the end of its lifetime")
        if is_emptied(draft, newer.body):  # what was left, another request removed
            buried: Refused | None = yield space.bury(there, now, draft.terms.idle)
            if buried is None:
                yield from taken_off(draft, base, [there.key], space)
                return ended(draft, steps, now)
            there = space.there(buried.stored, there.key, there.id)
            continue
        id = draft.id or new_id()
        entry = yield from enter_move(draft, there, newer, id, space)
        if isinstance(entry, Lost):
            return entry
        if isinstance(entry, There):
            there = entry
            continue
        if not (yield from _claim(draft, newer, id, entry, space)):
            there = yield from look(space, there.key, there.id)
            continue
        marker = marker_for(move, base, there, id, space)
        marker = told_in(marker, draft, base, there.id, space)
        refused: Refused | None = yield space.mark(there, marker, now, draft.terms.idle)
        if refused is None:
            yield from moved_away(draft, there, base, entry, space)
            settle(draft, newer, id, now, steps)
            note_move(draft, move)
            note_save(draft, attempt + 1, steps)
            return id
        yield from withdraw(entry, space.key(id))
        draft.id = None  # an id that was withdrawn is never claimed again
        there = space.there(refused.stored, there.key, there.id)
    raise SessionConflict(ATTEMPTS)


def marker_for(move: Moves, base: Record, there: There, id: str, space: Keyspace) -> Marker:
    """Return what is to replace a session that goes on under another id."""
    return marker_of(
        move,
        base.body,
        old=there.id,
        old_key=there.key.removeprefix(space.prefix),
        new=id,
        new_key=space.key(id).removeprefix(space.prefix),
        now=space.clock(),
    )


def _after_move(draft: Draft, origin: Moved, space: Keyspace) -> Plan[Result]:
    """Decide for a request that read a marker: it had no session."""
    there = There(origin.id, space.key(origin.id), origin.marker, None)
    fate = draft.fate
    if type(fate) is Moves and (
        fate.by == "sign_in" or (fate.by == "regenerate" and origin.marker.kind == "visitor")
    ):
        return (yield from _after_lost_move(draft, fate, there, space))
    if is_hushed(origin.marker, origin.read_at):
        return reason_of(draft, there, space.clock())
    return (yield from _begin(draft, draft.contents, space))


def _after_lost_move(draft: Draft, move: Moves, there: There, space: Keyspace) -> Plan[Result]:
    """Decide for a move that found no session under the old id: join, begin one, or give up."""
    marker = there.kept if isinstance(there.kept, Marker) else None
    if marker and (id := joined_id(marker, there.id, move)):
        joined = yield from look(space, space.key(id), id)
        if isinstance(joined.kept, Record):
            draft.fate = "renews"  # the client is to get the cookie of the new id
            result = yield from _write(draft, joined, space, first=False)
            if not isinstance(result, Lost):
                note_move(draft, move, "joined")
                return result
            draft.fate = move
    if marker and move.by in ("leave", "stop_acting"):
        yield from end_at(there, draft, space)
    from_visitor = marker is not None and marker.kind == "visitor"
    if move.by in ("sign_in", "leave") or (move.by == "regenerate" and from_visitor):
        return (yield from _begin(draft, only_written(draft, move), space))
    return reason_of(draft, there, space.clock())


def _adopt(draft: Draft, origin: Foreign, space: Keyspace) -> Plan[Result]:
    """
    Keep a session of another package as a new one, then leave a marker for its cookie.

    Of several first requests one wins; the others withdraw, and go on under its id.
    """
    steps, now = len(draft.log), space.clock()
    if draft.contents.empty and not draft.terms.keeps_empty:  # the handler took everything out
        yield from _shut_adopted(draft, origin, space)
        return ended(draft, steps, space.clock())
    record = new_record(draft, draft.contents, now)
    if record.expires <= now:
        return Lost("it reached the end of its lifetime")
    claim = yield from _claim_new(draft, record, space)
    if isinstance(claim, Lost):
        return claim
    id, entry = claim
    there = There(origin.id, space.key(origin.id), None, None)
    marker = _marker_of_adopted(draft, origin, there, id, space)
    marker = told_in(marker, draft, record, origin.id, space)
    refused: Refused | None = yield space.mark(there, marker, now, draft.terms.idle)
    if refused is None:
        if entry is not None:
            yield from signed_in(draft, entry)
        fate = draft.fate
        settle(draft, record, id, now, steps)
        note_of(draft, "adopted", origin.package)
        if type(fate) is Moves and fate.by in ("sign_in", "act_as"):
            note_move(draft, fate)
        return id
    yield from withdraw(entry, space.key(id))
    draft.id = None  # an id that was withdrawn is never claimed again
    there = space.there(refused.stored, there.key, there.id)
    there, followed = yield from where_rotated(there, space)
    fate = draft.fate
    if not followed or type(there.kept) is not Record:
        if type(fate) is Moves:
            return (yield from _after_lost_move(draft, fate, there, space))
        return reason_of(draft, there, space.clock())
    if type(fate) is not Moves or _is_done(fate, there.kept):
        draft.fate = "renews"  # the client is to get the cookie of the new id
    return (yield from _kept(draft, there, space, first=False))


def _is_done(move: Moves, record: Record) -> bool:
    """Tell whether the request that adopted a session has signed the same user in."""
    who = record.body.who
    return (
        move.by == "sign_in"
        and who is not None
        and move.who is not None
        and ((who.user, who.account) == (move.who.user, move.who.account))
    )


def _shut_adopted(draft: Draft, origin: Foreign, space: Keyspace) -> Plan[bool]:
    """Let the cookie of another package lead nowhere; True: another user goes on with it."""
    there, now = There(origin.id, space.key(origin.id), None, None), space.clock()
    marker = _marker_of_adopted(draft, origin, there, "", space)
    refused: Refused | None = yield space.mark(there, marker, now, draft.terms.idle)
    if refused is None:
        return False
    return (yield from end_at(space.there(refused.stored, there.key, origin.id), draft, space))


def _marker_of_adopted(
    draft: Draft, origin: Foreign, there: There, id: str, space: Keyspace
) -> Marker:
    return adopted(
        draft.fate if type(draft.fate) is Moves else ROTATES,
        origin.body,
        old=origin.id,
        old_key=there.key.removeprefix(space.prefix),
        new=id,
        new_key=space.key(id).removeprefix(space.prefix) if id else "",
        now=space.clock(),
        lives_until=origin.lives_until,
    )


def _end(draft: Draft, space: Keyspace) -> Plan[str | None]:
    """End the session, also if its id was changed meanwhile."""
    origin = draft.origin
    if isinstance(origin, Found):
        there = at(origin, space) or (yield from look_at(origin, space))
    elif type(origin) is Moved:
        there = There(origin.id, space.key(origin.id), origin.marker, None)
    elif type(origin) is Foreign:
        anothers = yield from _shut_adopted(draft, origin, space)
        draft.origin = Lost("it was destroyed")
        return None if anothers else ""
    elif type(origin) is Lapsed:  # a request that read it in time could still renew it
        there = yield from look(space, space.key(origin.id), origin.id)
    else:
        return None
    anothers = yield from end_at(there, draft, space)
    note_end(draft, space.clock())
    draft.origin = Lost("it was destroyed")
    return None if anothers else ""


def end_at(there: There, draft: Draft, space: Keyspace) -> Plan[bool]:
    """End what is under a key, or under those that its markers name; True: it is another user's."""
    keys, told = [there.key], None
    for _ in range(ATTEMPTS):
        if isinstance(there.kept, Marker):
            if not there.kept.next_key:
                return True
            told = told or listing_in(there.kept, draft, there.id, space)
            key = space.prefix + there.kept.next_key
            if key == there.key:  # only the cookie has it
                return False
            keys.append(key)
            there = yield from look(space, key)
        elif isinstance(there.kept, Record) or (
            there.kept is None and there.version is None and type(draft.origin) is Carried
        ):
            refused: Refused | None = yield space.bury(there, space.clock(), draft.terms.idle)
            if refused is None:
                break
            there = space.there(refused.stored, there.key, there.id)
        else:
            break
    else:
        raise SessionConflict(ATTEMPTS)
    yield from taken_off(draft, there.kept, keys, space, told)
    return False


def _shut(origin: Lapsed, draft: Draft, space: Keyspace) -> Plan[None]:
    """Put a marker on an expired id: a late request of the former visitor cannot renew it."""
    key, version = space.key(origin.id), origin.version
    for _ in range(ATTEMPTS):
        now = space.clock()
        there = There(origin.id, key, None, version)
        refused: Refused | None = yield space.mark(there, closed(key, now), now, draft.terms.idle)
        if refused is None or refused.stored is None:
            return
        if not isinstance(space.unpacked(refused.stored.record, tag_of(key), ""), Record):
            return
        version = refused.stored.version


def _claim_new(
    draft: Draft, record: Record, space: Keyspace
) -> Plan[tuple[str, Entry | None] | Lost]:
    """Put a record under an id that no session has; return the id, and its entry on a roster."""
    for _ in range(ATTEMPTS):
        id = draft.id or new_id()
        entry = (yield from enter_claim(draft, record, id, space)) if draft.terms.rosters else None
        if isinstance(entry, Lost):
            return entry
        if (yield from _claim(draft, record, id, entry, space)):
            return id, entry
    raise SessionConflict(ATTEMPTS)


def _claim(
    draft: Draft, record: Record, id: str, entry: Entry | None, space: Keyspace
) -> Plan[bool]:
    """
    Put a record under an id that no session has; False: that id is lost, and another is to be made.

    Args:
        entry: On a roster; a request that ends the session may have left a tombstone for the claim.
    """
    key = space.key(id)
    refused: Refused | None = yield space.write(There(id, key, None, None), record, record.issued)
    if refused is None and not is_late(entry, space):
        return True
    draft.id = None
    yield from (withdraw(entry, key) if refused is None else forget_claim(entry, key))
    return False


def at(origin: Found, space: Keyspace) -> There | None:
    """Return what is under the session's id, as it was read; None: it was saved since."""
    if type(origin) is Found and origin.version is None:
        return None
    key = space.prefix + origin.digest if origin.digest else space.key(origin.id)
    return There(origin.id, key, origin.record, origin.version)


def look_at(origin: Found, space: Keyspace) -> Plan[There]:
    """Return what is under the session's id now."""
    return (yield from look(space, space.key(origin.id), origin.id))


def where_rotated(there: There, space: Keyspace) -> Plan[tuple[There, bool]]:
    """Return what is under the id that rotations led to, and whether there were any."""
    followed = False
    while isinstance(there.kept, Marker) and (
        id := rotated_id(there.kept, there.id, space.clock())
    ):
        there, followed = (yield from look(space, space.key(id), id)), True
    return there, followed
