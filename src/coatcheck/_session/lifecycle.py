"""
Which session a request reads, and whether it has anything to save.

    value ─ read ─▶ session ─ admit ─▶ handler ─ is_pending ─▶ saving.save ─▶ value for the cookie

`read` is a plan: it yields calls for a backend, and decides by the answers (see `plan`).

Pure: no clock, no storage; *now* is an argument, and so is the clock.
"""

from coatcheck._session.draft import (
    Carried,
    Draft,
    Foreign,
    Found,
    Lapsed,
    Lost,
    Moved,
    Unread,
    Visitor,
)
from coatcheck._session.events import Happened, handle_of, note
from coatcheck._session.moves import (
    is_adopted,
    rotated_id,
)
from coatcheck._session.plan import Keyspace, Plan, There, look
from coatcheck._session.record import (
    ANY_OWNER,
    DEFAULT_TERMS,
    Marker,
    Record,
    Terms,
    Tombstone,
)
from coatcheck._session.session import Session, showing

_LED_NOWHERE = (Moved, Lapsed, Foreign)

FOLLOWED = 3
"""Rotations of an id that a request follows: with at least 300 seconds between two, 15 minutes."""


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
    first, handed = there, False
    for _ in range(FOLLOWED):
        marker, now = there.kept, space.clock()
        if not isinstance(marker, Marker) or marker.expires <= now:
            break
        next_id = rotated_id(marker, there.id, now)
        if next_id is None:
            break
        there, handed = (yield from look(space, space.key(next_id), next_id)), True
    session = restore(there, space.clock(), handed=handed)
    if handed and session._draft.found is None and is_adopted(first.kept):
        return restore(first, space.clock())  # that cookie was adopted already
    return session


def restore(there: There, now: float, *, handed: bool = False) -> Session:
    """Return the session that is *there*, or a new one."""
    kept = there.kept
    if isinstance(kept, Record):
        if now < kept.expires:
            return found(Found(kept, there.id, there.version, now, there.key[-64:], handed))
        session = expired_session(kept, there.id, now)
        session._draft.origin = Lapsed(there.id, there.version)
        return session
    if isinstance(kept, Marker) and now < kept.expires:
        refused = Happened("refused", "old id")
        return showing(Draft(origin=Moved(kept, there.id, now), events=(refused,)))
    return refused_session("tombstone" if isinstance(kept, Tombstone) else "unknown id")


def expired_session(record: Record, id: str, now: float) -> Session:
    """Return a new session in place of one whose deadline is over."""
    who, age = record.body.who, max(now - record.created, 0.0)
    user = who.user if who else None
    return showing(Draft(events=(Happened("expired", "idle", handle_of(who, id), user, age),)))


def refused_session(why: str) -> Session:
    """Return a new session in place of one that a value does not lead to."""
    return showing(Draft(events=(Happened("refused", why),)))


def found(origin: Found) -> Session:
    """Return the session that was stored."""
    body = origin.record.body
    # By position, which is faster: this runs on every request.
    return showing(Draft(body, DEFAULT_TERMS, origin, "stays", "client", None, body.flashes))


def admit(session: Session, terms: Terms, visitor: Visitor) -> Session:
    """
    Return *session* under the middleware's terms, or a new one if it breaks them.

    Args:
        visitor: The draft of a session that holds nothing, under these terms.
    """
    draft = session._draft
    if draft.shared:
        session._draft = visitor
    elif keeps(draft, terms):
        draft.terms = terms
    else:
        session._draft = _refused(draft, terms, visitor)
    return session


def _refused(draft: Draft, terms: Terms, visitor: Visitor) -> Draft:
    """Return the draft of a visitor whose session the terms do not allow."""
    found = draft.found
    if found is None or not terms.reports:
        return visitor
    record, refused = found.record, visitor.own()
    if record.owner in (terms.owner, ANY_OWNER):
        age = found.read_at - record.created
        note(refused, "expired", "lifetime", who=record.body.who, id=found.id, duration=age)
    else:
        note(refused, "refused", "other cookie")
    return refused


def keeps(draft: Draft, terms: Terms) -> bool:
    """Tell whether a session that was found keeps to the middleware's terms."""
    origin = draft.origin
    if not (type(origin) is Found or type(origin) is Carried):
        return True
    record = origin.record
    # One by one, so that no tuple is made for each request.
    if record.owner != terms.owner and record.owner != ANY_OWNER:  # noqa: PLR1714
        return False
    return terms.lifetime is None or origin.read_at < record.created + terms.lifetime


def is_current(session: Session, now: Session) -> bool:
    """
    Tell whether the id of a session that was saved still leads to it.

    Args:
        now: What that id leads to; after a rotation that is the session under a newer one.
    """
    saved, found = session._draft.found, now._draft.found
    return saved is not None and found is not None and found.id == saved.id and not found.handed


# ---- is there anything to do?


def is_changed(session: Session) -> bool:
    """Tell whether the request did anything that is to be saved."""
    draft = session._draft
    draft.note_changes_in_place()
    if draft.fate == "ends":
        return draft.issued is not None or isinstance(draft.origin, _LED_NOWHERE)
    return (bool(draft.log) or draft.changed) and type(draft.origin) is not Unread


def is_pending(session: Session) -> bool:
    """Tell whether there is anything to save or to tell the client: if not, no server is asked."""
    draft = session._draft
    if draft.touched and is_changed(session):
        return True
    origin = draft.origin
    if not (type(origin) is Found or type(origin) is Carried):
        return type(origin) is Foreign and session._accessed
    return (
        origin.handed
        or draft.fate == "renews"
        or draft.terms.renews(origin.record, origin.read_at)
        or (draft.terms.rotate is not None and rotates(session))
    )


def is_on_server(session: Session) -> bool:
    """Tell whether a backend keeps something under the id that the request brought."""
    return type(session._draft.origin) in (Found, Moved, Lapsed, Lost)


def rotates(session: Session) -> bool:
    """Tell whether the session is in use, and its id due for a new one."""
    draft = session._draft
    origin, every = draft.origin, draft.terms.rotate
    if every is None or type(origin) is not Found or draft.fate not in ("stays", "renews"):
        return False
    if draft.device == "unproved":
        return False
    return session._accessed and origin.read_at >= origin.record.issued + every
