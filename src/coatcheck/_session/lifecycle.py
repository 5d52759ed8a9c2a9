"""
Every decision about a session: which one a request reads, and how its changes are kept.

    value ─ read ─▶ session ─ admit ─▶ handler ─ is_pending ─ save ─▶ value for the cookie

`read` and `save` are plans: they yield calls for a backend and decide by the answers (see `plan`).
A save swaps the record that was read for a newer one. If another request was faster, the changes of
this request are replayed on what that one left, and the swap is tried again.

Three rules settle the races. A write that finds the session ended is discarded, so a late request
cannot undo a sign-out. A write that finds a marker goes on under the new id only where `moves` lets
it. And a request that goes on with an id of its own keeps only what it wrote, under keys that the
session it read did not hold, so nothing of an ended session returns.

Pure: no clock, no storage; *now* is an argument, and so is the clock.
"""

import logging
from collections.abc import Callable

from coatcheck._session.changes import Consume
from coatcheck._session.draft import (
    Carried,
    Draft,
    Found,
    Lapsed,
    Lost,
    Moved,
    Unread,
    Visitor,
)
from coatcheck._session.ids import new_csrf, new_id, tag_of
from coatcheck._session.moves import (
    Moves,
    carried_away,
    closed,
    is_hushed,
    joined_id,
    marker_of,
    moved,
    rotated_id,
)
from coatcheck._session.plan import Delete, Keyspace, Plan, There, look
from coatcheck._session.record import (
    ANY_OWNER,
    DEFAULT_TERMS,
    Contents,
    Marker,
    Record,
    Refused,
    Terms,
)
from coatcheck._session.session import Session
from coatcheck._session.sign_in import dated
from coatcheck.errors import SessionConflict

ATTEMPTS = 200
"""Races that one save may lose before it gives up: in every round, another request wins."""

FOLLOWED = 3
"""Rotations of an id that a request follows: with at least 300 seconds between two, 15 minutes."""

_logger = logging.getLogger("coatcheck")


# ---- reading


def read(id: str, space: Keyspace) -> Plan[Session]:
    """
    Return the session under *id*, or a new one if there is none.

    Args:
        id: From a client; it is adopted only with a record.
    """
    there = yield from look(space, space.key(id), id)
    return (yield from follow(there, space))


def follow(there: There, space: Keyspace) -> Plan[Session]:
    """Return the session that is *there*, or where rotations of its id lead; else a new one."""
    handed = False
    for _ in range(FOLLOWED):
        marker = there.kept
        if not isinstance(marker, Marker) or marker.expires <= space.clock():
            break
        next_id = rotated_id(marker, there.id)
        if next_id is None:
            break
        there, handed = (yield from look(space, space.key(next_id), next_id)), True
    return restore(there, space.clock(), handed=handed)


def restore(there: There, now: float, *, handed: bool = False) -> Session:
    """Return the session that is *there*, or a new one."""
    kept = there.kept
    if isinstance(kept, Record):
        if now < kept.expires:
            return found(Found(kept, there.id, there.version, now, handed))
        return Session._of(Draft(origin=Lapsed(there.id, there.version)))
    if isinstance(kept, Marker) and now < kept.expires:
        return Session._of(Draft(origin=Moved(kept, there.id, now)))
    return Session()


def found(origin: Found) -> Session:
    """Return the session that was stored."""
    body = origin.record.body
    # By position, which is faster: this runs on every request.
    return Session._of(Draft(body, DEFAULT_TERMS, origin, "stays", "client", None, body.flashes))


def admit(session: Session, terms: Terms, *, visitor: Visitor) -> Session:
    """
    Return *session* under the middleware's terms, or a new one if it breaks them.

    Args:
        visitor: The draft of a session that holds nothing, under these terms.
    """
    draft = session._draft
    if draft.shared:
        session._draft = visitor
        return session
    origin = draft.origin
    if isinstance(origin, Found):
        record = origin.record
        if record.owner not in (terms.owner, ANY_OWNER) or (
            terms.lifetime is not None and origin.read_at >= record.created + terms.lifetime
        ):
            session._draft = visitor
            return session
    draft.terms = terms
    return session


# ---- is there anything to do?


def is_changed(session: Session) -> bool:
    """Tell whether the request did anything that is to be saved."""
    draft = session._draft
    draft.note_changes_in_place()
    if draft.fate == "ends":
        return draft.issued is not None or type(draft.origin) is Moved
    return draft.changed and type(draft.origin) is not Unread


def is_pending(session: Session) -> bool:
    """Tell whether there is anything to save or to tell the client: if not, no server is asked."""
    draft = session._draft
    if draft.touched and is_changed(session):
        return True
    origin = draft.origin
    if not isinstance(origin, Found):
        return False
    return (
        origin.handed or draft.fate == "renews" or draft.terms.renews(origin.record, origin.read_at)
    )


def is_on_server(session: Session) -> bool:
    """Tell whether a backend keeps something under the id that the request brought."""
    return type(session._draft.origin) in (Found, Moved, Lapsed, Lost)


def rotates(session: Session) -> bool:
    """Tell whether the session's id is due for a new one, if the request writes anyway."""
    draft = session._draft
    origin = draft.origin
    every = draft.terms.rotate
    if every is None or type(origin) is not Found or draft.fate not in ("stays", "renews"):
        return False
    writes = draft.log or draft.fate == "renews" or _is_due(draft, origin)
    return bool(writes) and origin.read_at >= origin.record.issued + every


def _is_due(draft: Draft, origin: Found) -> bool:
    return draft.terms.renews(origin.record, origin.read_at)


# ---- saving


def save(session: Session, space: Keyspace) -> Plan[str | None]:
    """
    Keep what a request did, and return what its cookie is to carry.

    Returns:
        An id; None changes nothing, "" removes the cookie.

    Raises:
        SessionConflict: Other requests kept winning the race.
        UnstorableValue, RecordTooLarge: Nothing was written.
    """
    draft = session._draft
    if draft.touched:
        draft.note_changes_in_place()
    result = yield from _saved(draft, space)
    if isinstance(result, Lost):
        discard(draft, result.why)
        return None
    return result


Result = str | None | Lost
"""What the cookie is to carry, or why nothing was kept."""


def _saved(draft: Draft, space: Keyspace) -> Plan[Result]:
    origin, fate = draft.origin, draft.fate
    if fate == "ends":
        return (yield from _end(draft, space))
    if isinstance(origin, Found):
        there = yield from _at(origin, space)
        if type(fate) is Moves and not _is_emptied(draft, draft.contents):
            return (yield from _move(draft, fate, there, space))
        return (yield from _write(draft, there, space, first=origin.version is not None))
    if type(origin) is Moved:
        return (yield from _after_move(draft, origin, space))
    if type(origin) is Lost:
        return origin
    if type(origin) is Unread:
        return Lost("it could not be read")
    return (yield from _begin(draft, draft.contents, space))


def carry(session: Session, now: float) -> tuple[str, Record] | str | None:
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
    origin, steps = draft.found, len(draft.log)
    if draft.fate == "ends":
        draft.origin = Lost("it was destroyed")
        return None if origin is None else ""
    if origin is None:
        if draft.contents.empty or isinstance(draft.origin, Lost | Unread):
            return None
        newer: Record | None = new_record(draft, draft.contents, now)
    elif _is_emptied(draft, draft.contents):
        return _ended(draft, steps)
    elif isinstance(draft.fate, Moves):
        newer = moved_record(draft, draft.fate, origin.record, now)
    else:
        newer = next_record(draft, origin.record, draft.contents, now)
    if newer is None:
        return None
    if newer.expires <= now:
        discard(draft, "it reached the end of its lifetime")
        return None
    stays = origin is not None and not isinstance(draft.fate, Moves)
    id = origin.id if origin and stays else draft.id or new_id()
    settle(draft, newer, id, now, steps, carried=True)
    return id, newer


def leave_for_cookie(
    session: Session, space: Keyspace, fits: Callable[[str, Record], bool]
) -> Plan[tuple[str, Record] | str | None]:
    """
    Take a session out of a backend, and return what its cookie is to carry from now on.

    Args:
        fits: Tells whether a cookie can carry a record; if not, the session stays.
    """
    draft = session._draft
    if draft.touched:
        draft.note_changes_in_place()
    origin = draft.origin
    if type(origin) is not Found or draft.fate == "ends" or _is_emptied(draft, draft.contents):
        return (yield from save(session, space))
    steps, first = len(draft.log), origin.version is not None
    there = yield from _at(origin, space)
    for _ in range(ATTEMPTS):
        there, followed = yield from _followed(there, space)
        base = _usable(draft, there)
        if base is None:
            return (yield from save(session, space))
        now = space.clock()
        if isinstance(draft.fate, Moves):
            newer: Record | None = moved_record(draft, draft.fate, base, now)
            id = draft.id or new_id()
            marker = _marker_for(draft.fate, base, there, id, space)
        else:
            marker = carried_away(there.key, base.body, now)
            untouched = first and not followed
            contents = draft.contents if untouched else _logged(draft, base.body.copy())
            newer, id = next_record(draft, base, contents, now), there.id
        first = False
        if newer is None or newer.expires <= now or not fits(id, newer):
            return (yield from save(session, space))
        refused: Refused | None = yield space.mark(there, marker, now, draft.terms.idle)
        if refused is None:
            settle(draft, newer, id, now, steps, carried=True)
            return id, newer
        there = space.there(refused.stored, there.key, there.id)
    raise SessionConflict(ATTEMPTS)


def _begin(draft: Draft, contents: Contents, space: Keyspace) -> Plan[str | None]:
    """Claim an id for a session that was not stored; if it holds nothing, no server is asked."""
    if contents.empty:
        return None
    record = new_record(draft, contents, space.clock())
    steps = len(draft.log)
    id = yield from _claim(draft, record, space)
    if type(draft.origin) is Lapsed and type(draft.fate) is Moves:
        yield from _shut(draft.origin, draft, space)
    settle(draft, record, id, space.clock(), steps)
    return id


def _write(draft: Draft, there: There, space: Keyspace, *, first: bool) -> Plan[Result]:
    """
    Write the session under the id that it has.

    Args:
        first: Whether *there* is what the request read, so that nothing need be replayed.
    """
    steps = len(draft.log)
    for _ in range(ATTEMPTS):
        there, followed = yield from _followed(there, space)
        base = _usable(draft, there)
        if base is None:
            return _why(there)
        now = space.clock()
        contents = draft.contents if first and not followed else _logged(draft, base.body.copy())
        first = False
        handed = followed or (draft.found is not None and draft.found.handed)
        newer = next_record(draft, base, contents, now)
        if newer is None:
            return (yield from _still_leads(draft, there, space)) if handed else None
        if newer.expires <= now:
            return Lost("it reached the end of its lifetime")
        emptied = _is_emptied(draft, contents)
        if type(draft.fate) is Moves and not emptied:
            return (yield from _move(draft, draft.fate, there, space))
        refused: Refused | None = yield (
            space.bury(there, now, draft.terms.idle)
            if emptied
            else space.write(there.key, there.version, newer, now)
        )
        if refused is None and emptied:
            return _ended(draft, steps)
        if refused is None:
            due = handed or newer.expires != base.expires or draft.fate == "renews"
            due = due or type(draft.origin) is Carried
            settle(draft, newer, there.id, now, steps)
            return there.id if due else None
        there = space.there(refused.stored, there.key, there.id)
    raise SessionConflict(ATTEMPTS)


def _still_leads(draft: Draft, there: There, space: Keyspace) -> Plan[Result]:
    """Return the id that a rotation led to, if it leads to the session now, else None."""
    now = yield from look(space, there.key, there.id)
    return there.id if _usable(draft, now) else None


def _move(draft: Draft, move: Moves, there: There, space: Keyspace) -> Plan[Result]:
    """Give the session another id: claim that, then leave a marker under the old one."""
    steps = len(draft.log)
    for _ in range(ATTEMPTS):
        there, followed = yield from _followed(there, space)
        base = _usable(draft, there)
        if base is None:
            return (yield from _after_lost_move(draft, move, there, space))
        if followed and move.by == "rotate":  # another request was faster
            draft.fate = "stays"
            return (yield from _write(draft, there, space, first=False))
        now = space.clock()
        newer = moved_record(draft, move, base, now)
        if newer.expires <= now:
            return Lost("it reached the end of its lifetime")
        id = yield from _claim(draft, newer, space)
        marker = _marker_for(move, base, there, id, space)
        refused: Refused | None = yield space.mark(there, marker, now, draft.terms.idle)
        if refused is None:
            settle(draft, newer, id, now, steps)
            return id
        yield Delete(space.key(id))
        draft.id = None  # an id that was withdrawn is never claimed again
        there = space.there(refused.stored, there.key, there.id)
    raise SessionConflict(ATTEMPTS)


def _marker_for(move: Moves, base: Record, there: There, id: str, space: Keyspace) -> Marker:
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
        return _why(there)
    return (yield from _begin(draft, draft.contents, space))


def _after_lost_move(draft: Draft, move: Moves, there: There, space: Keyspace) -> Plan[Result]:
    """Decide for a move that found no session under the old id: join, begin anew, or give up."""
    marker = there.kept if isinstance(there.kept, Marker) else None
    if marker and (id := joined_id(marker, there.id, move)):
        joined = yield from look(space, space.key(id), id)
        if isinstance(joined.kept, Record):
            draft.fate = "renews"  # the client is to get the cookie of the new id
            result = yield from _write(draft, joined, space, first=False)
            if not isinstance(result, Lost):
                return result
            draft.fate = move
    if move.by in ("leave", "stop_acting"):
        yield from _end_at(there, draft, space)
    from_visitor = marker is not None and marker.kind == "visitor"
    if move.by in ("sign_in", "leave") or (move.by == "regenerate" and from_visitor):
        return (yield from _begin(draft, only_written(draft, move), space))
    return _why(there)


def _end(draft: Draft, space: Keyspace) -> Plan[str | None]:
    """End the session, under whatever id it is by now."""
    origin = draft.origin
    if isinstance(origin, Found):
        there = yield from _at(origin, space)
    elif type(origin) is Moved:
        there = There(origin.id, space.key(origin.id), origin.marker, None)
    else:
        return None
    anothers = yield from _end_at(there, draft, space)
    draft.origin = Lost("it was destroyed")
    return None if anothers else ""


def _end_at(there: There, draft: Draft, space: Keyspace) -> Plan[bool]:
    """End what is under a key, or under those that its markers name; True: it is another user's."""
    for _ in range(ATTEMPTS):
        if isinstance(there.kept, Marker):
            if not there.kept.next_key:
                return True
            key = space.prefix + there.kept.next_key
            if key == there.key:  # only the cookie has it
                return False
            there = yield from look(space, key)
        elif isinstance(there.kept, Record) or (
            there.kept is None and there.version is None and type(draft.origin) is Carried
        ):
            refused: Refused | None = yield space.bury(there, space.clock(), draft.terms.idle)
            if refused is None:
                return False
            there = space.there(refused.stored, there.key, there.id)
        else:
            return False
    raise SessionConflict(ATTEMPTS)


def _shut(origin: Lapsed, draft: Draft, space: Keyspace) -> Plan[None]:
    """Put a marker on an expired id: a late request of the former visitor cannot renew it."""
    key, version = space.key(origin.id), origin.version
    for _ in range(ATTEMPTS):
        now = space.clock()
        there = There(origin.id, key, None, version)
        refused: Refused | None = yield space.mark(there, closed(key, now), now, draft.terms.idle)
        if refused is None or refused.stored is None:
            return
        if not isinstance(space.unpacked(refused.stored.record, tag_of(key)), Record):
            return
        version = refused.stored.version


def _claim(draft: Draft, record: Record, space: Keyspace) -> Plan[str]:
    """Put a record under an id that no session has, and return the id."""
    for _ in range(ATTEMPTS):
        id = draft.id or new_id()
        key = space.key(id)
        refused: Refused | None = yield space.write(key, None, record, record.issued)
        if refused is None:
            return id
        draft.id = None
    raise SessionConflict(ATTEMPTS)


def _at(origin: Found, space: Keyspace) -> Plan[There]:
    """Return what is under the session's id: as it was read, or as it is after a save."""
    key = space.key(origin.id)
    if type(origin) is Carried:
        return There(origin.id, key, origin.record, None)
    if origin.version is None:
        return (yield from look(space, key, origin.id))
    return There(origin.id, key, origin.record, origin.version)


def _followed(there: There, space: Keyspace) -> Plan[tuple[There, bool]]:
    """Return what is under the id that rotations led to, and whether there were any."""
    followed = False
    while isinstance(there.kept, Marker) and (id := rotated_id(there.kept, there.id)):
        there, followed = (yield from look(space, space.key(id), id)), True
    return there, followed


# ---- records


def new_record(draft: Draft, contents: Contents, now: float) -> Record:
    """Return the record of a session that was not stored before."""
    contents.csrf = contents.csrf or new_csrf()
    contents.who = dated(contents.who, now)
    record = Record(b"", draft.terms.owner, now, now, now, contents)
    record.expires = draft.terms.deadline(record, now)
    return record


def next_record(draft: Draft, base: Record, contents: Contents, now: float) -> Record | None:
    """Return the record that is to replace *base*, or None if nothing is to be written."""
    terms = draft.terms
    renews = draft.fate == "renews" or terms.renews(base, now)
    if not (renews or draft.log or type(draft.fate) is Moves):
        return None
    expires = terms.deadline(base, now) if renews else base.expires
    return Record(base.tag, terms.owner or base.owner, base.created, base.issued, expires, contents)


def moved_record(draft: Draft, move: Moves, base: Record, now: float) -> Record:
    """Return the record that is to be stored under a new id."""
    terms = draft.terms
    contents = _logged(draft, moved(move, base.body))
    contents.who = dated(contents.who, now)
    record = Record(b"", terms.owner or base.owner, base.created, now, now, contents)
    record.expires = terms.deadline(record, now)
    return record


def only_written(draft: Draft, move: Moves) -> Contents:
    """Return what the request wrote, under keys that the session which it read did not hold."""
    contents = _logged(draft, moved(move, Contents()))
    held = draft.base.values.keys() | draft.base.flashes.keys()
    returning = held & (contents.values.keys() | contents.flashes.keys())
    for key in returning:
        contents.values.pop(key, None)
        contents.flashes.pop(key, None)
    if returning:
        _logger.warning(
            "some changes of a request to a session were dropped: it goes on with a session of "
            "its own, and they belong to the one that another request moved or ended"
        )
    return contents


def settle(
    draft: Draft, record: Record, id: str, now: float, steps: int, *, carried: bool = False
) -> None:
    """
    Note that a record was saved: what comes later builds on it.

    Args:
        steps: How many changes of the log it carries; a handler may go on during a save.
        carried: The cookie carries the record.
    """
    draft.origin = (Carried if carried else Found)(record, id, None, now)
    draft.fate, draft.id = "stays", None
    del draft.log[:steps]
    draft.touched = bool(draft.log or draft.live)


def _logged(draft: Draft, contents: Contents) -> Contents:
    """Return *contents* after the log; a change in place that finds no such value is dropped."""
    for change in draft.log:
        if not change.replay(contents):
            _logger.warning(
                "a change inside a value of a session was dropped: another request removed the "
                "value, or left one of another type"
            )
    return contents


def _usable(draft: Draft, there: There) -> Record | None:
    """Return the record that a write may build on: a request that read it in time may renew it."""
    record, origin = there.kept, draft.origin
    if not isinstance(record, Record):
        return None
    if isinstance(origin, Found | Moved) and record.expires <= origin.read_at:
        return None
    return record


# ---- what is not kept


def discard(draft: Draft, why: str) -> None:
    """Keep nothing of this request, nor of what it may still do."""
    if draft.log or type(draft.fate) is Moves:
        _logger.warning("the changes of a request to a session were dropped: %s", why)
    draft.log.clear()
    draft.fate, draft.origin = "stays", Lost(why)


def _why(there: There) -> Lost:
    """Return why a write that finds this keeps nothing."""
    if isinstance(there.kept, Marker):
        return Lost("another request changed its id")
    if isinstance(there.kept, Record):
        return Lost("it expired before the request read it")
    return Lost("another request ended it")


def _is_emptied(draft: Draft, contents: Contents) -> bool:
    """Tell whether the handler took the last thing out of the session."""
    return contents.empty and any(type(change) is not Consume for change in draft.log)


def _ended(draft: Draft, steps: int) -> str:
    """Note that the session was removed because nothing was left in it."""
    del draft.log[:steps]
    draft.fate, draft.origin = "stays", Lost("it was emptied")
    return ""
