"""
Every decision about a session: restore, admit, commit, rebase, settle.

    what a storage has ─ restore ─▶ session ─ admit ─▶ handler ─ commit ─▶ plan ─▶ storage
                                       another request won: rebase ─▶ plan ─▶ storage

A plan is one write. A storage carries it out, and if it is refused, asks for the next: the changes
of this request, replayed on what is there now.

Two rules settle every race. What is gone stays gone: a refused write that finds nothing is
dropped, so nobody signed out comes back. And an id that was regenerated leads nowhere: it reads as
an empty session that keeps nothing and sends no cookie, so that a request that still carries it
neither signs the visitor out nor follows into the new session. Only a request that regenerates the
id itself, as a second click on "sign in" does, gets an id of its own, and keeps under it what it
wrote.

Pure: no clock, no storage; *now* is an argument.
"""

import logging

from coatcheck._session.draft import Blank, Draft
from coatcheck._session.ids import new_id
from coatcheck._session.plan import Plan
from coatcheck._session.record import (
    NOBODY,
    Contents,
    Moved,
    Record,
    Stored,
    Terms,
    Unreadable,
    pack,
    unpack,
)
from coatcheck._session.session import Session

GRACE = 60.0
"""Seconds for which a regenerated id is remembered: longer than a request that carried it runs."""

ATTEMPTS = 200
"""Races that one save may lose before it gives up: every round, somebody wins."""

_logger = logging.getLogger("coatcheck")


def restore(stored: Stored | None, *, id: str, now: float) -> Session:
    """
    Return the session that a storage has, or a new one if it has none.

    Args:
        id: Under which it was found. It comes from a client, and is adopted only with a record.
    """
    record = _living(stored.record, now) if stored else None
    if stored and isinstance(record, Record):
        return Session.of(Draft.of(record, id=id, version=stored.version, now=now))
    session = Session()
    session.draft.over = record is not None
    return session


def admit(session: Session, terms: Terms, *, blank: Blank) -> Session:
    """
    Return *session* under the middleware's terms, or a new one if it breaks them.

    Args:
        blank: Makes the draft of a session that holds nothing yet.
    """
    if session.blank is None:
        draft = session.made
        base = draft.base
        if base and (
            base.owner not in (terms.owner, NOBODY)
            or (terms.lifetime is not None and draft.read_at >= base.created + terms.lifetime)
        ):
            return Session.nobodys(blank)
        draft.terms = terms
        return session
    session.blank = blank
    return session


def is_changed(session: Session) -> bool:
    """Tell whether the request did anything that is to be saved."""
    draft = session.draft
    draft.note_changes_in_place()
    if draft.destroyed or draft.unread:
        return draft.issued is not None
    return bool(draft.log) or draft.moves


def is_pending(session: Session) -> bool:
    """Tell whether there is anything to save: a storage need not be asked if not."""
    draft = session.draft
    return (draft.touched and is_changed(session)) or _is_due(draft, draft.read_at)


def ends(session: Session) -> bool:
    """Tell whether the session is over: destroyed, or cleared and left empty."""
    draft = session.draft
    return draft.destroyed or (draft.cleared and draft.contents.empty)


def commit(session: Session, now: float) -> Plan | None:
    """
    Return the write that keeps this session, or None if nothing is to be kept.

    Raises:
        UnstorableValue: A value was changed in place into what no record holds.
        RecordTooLarge: The session outgrew a record.
    """
    draft = session.draft
    if draft.touched:
        draft.note_changes_in_place()
    if draft.over and not draft.moves:
        return _dropped(draft, "it ended or moved to another id")
    if draft.base is None:
        return None if draft.contents.empty else _claim(draft, now)
    return _replace(draft, draft.base, draft.contents, draft.version, now)


def rebase(session: Session, stored: Stored | None, now: float) -> Plan | None:
    """Return the write after one that was forestalled, given what is there now."""
    draft = session.draft
    record = _living(stored.record, now) if stored else None
    if stored is None or record is None:
        return _dropped(draft, "another request ended it")
    if isinstance(record, Record):
        contents = _replayed(draft, record.copy())
        return _replace(draft, record, contents, stored.version, now)
    # Another request regenerated the id. If this one does too, it keeps what it wrote itself, and
    # nothing of the session that has moved on.
    if draft.moves and not (contents := _replayed(draft, Contents())).empty:
        draft.base, draft.issued, draft.contents = None, None, contents
        return _claim(draft, now)
    return _dropped(draft, "its id was regenerated by another request")


def settle(session: Session, plan: Plan) -> str | None:
    """
    Note that the plan was carried out: what comes later builds on it.

    Returns:
        The value that the cookie is to carry from now on; None: the one it carries.
    """
    draft = session.draft
    draft.base, draft.version = plan.record, None
    draft.issued = draft.id = plan.id
    draft.moves = draft.cleared = draft.renews = draft.over = False
    del draft.log[: plan.steps]
    return plan.id if plan.claims or plan.renews else None


def bury(session: Session) -> str | None:
    """Note that the session is over, and return the id whose record is to go."""
    draft = session.draft
    issued, draft.issued, draft.base, draft.over = draft.issued, None, None, True
    return issued


def marker(now: float) -> bytes:
    """Return what takes the place of a session whose id was regenerated."""
    return pack(Moved(now + GRACE))


def readable(data: bytes, start: int = 0) -> Record | Moved | None:
    """Return the record that *data* is from *start* on, living or not; None if it is damaged."""
    try:
        return unpack(data, start)
    except Unreadable as damage:
        _logger.warning("a session counts as absent: %s", damage)
        return None


def _living(data: bytes, now: float) -> Record | Moved | None:
    record = readable(data)
    return record if record and now < record.expires else None


def _is_due(draft: Draft, now: float, record: Record | None = None) -> bool:
    """Tell whether the deadline is off by the share to refresh at, by use or by other terms."""
    record = record or draft.base
    if record is None or draft.renews:
        return record is not None
    return draft.terms.renews(record.created, record.expires, now)


def _claim(draft: Draft, now: float) -> Plan:
    expires = draft.terms.deadline(now, now)
    record = _record(draft.contents, created=now, expires=expires, owner=draft.terms.owner)
    return _plan(draft, record, now, claims=True)


def _replace(
    draft: Draft, record: Record, contents: Contents, version: object, now: float
) -> Plan | None:
    renews = draft.moves or _is_due(draft, now, record)
    if not (renews or draft.log):
        return None
    expires = draft.terms.deadline(record.created, now) if renews else record.expires
    if expires <= now:
        return _dropped(draft, "it reached the end of its lifetime")
    owner = draft.terms.owner or record.owner
    newer = _record(contents, created=record.created, expires=expires, owner=owner)
    return _plan(draft, newer, now, claims=draft.moves, version=version, renews=renews)


def _record(contents: Contents, *, created: float, expires: float, owner: bytes) -> Record:
    values, flashes = contents.values, contents.flashes
    return Record(values, flashes, created=created, expires=expires, owner=owner)


def _plan(
    draft: Draft,
    record: Record,
    now: float,
    *,
    claims: bool,
    version: object = None,
    renews: bool = False,
) -> Plan:
    draft.id = draft.id or new_id()
    return Plan(
        record=record,
        data=pack(record),
        ttl=record.expires - now,
        id=draft.id,
        lies=draft.issued,
        version=version,
        claims=claims,
        keeps_old=draft.keeps_old,
        renews=renews,
        steps=len(draft.log),
    )


def _replayed(draft: Draft, contents: Contents) -> Contents:
    for change in draft.log:
        change.replay(contents)
    return contents


def _dropped(draft: Draft, because: str) -> Plan | None:
    """Keep nothing of this request, nor of what it may still do."""
    if draft.log:
        _logger.info("the changes of a request to a session were dropped: %s", because)
    draft.over = True
    return None
