"""
Operations for hosts with session rules of their own, such as Django.

    start(terms)               a session that is kept even if it stays empty
    find(id, terms, space)     the session under an id, and whether its cookie may be an old one
    rotate(session)            the next save gives it a new id, if that is due
    settle_user(session)       a changed `user_key` is a sign-in
    may_sign_in(session)       a visitor's, in an application that has a `user_key`
    take_over(session, log)    the changes that were made before the session was read
    renew(session, terms)      the next save writes, changed or not, and so tells what is gone
    show_kept(session)         from here on it holds what its last save kept
    end_id(id, terms, space)   end the session of an id

Django's engine is such a host: it saves when its middleware or the application says so, several
times in one request, and through two forms of one storage.

A record may be one of a former owner, as sessions are after an application changed its secret. It
counts as the application's. When it is read, it is written again, under the owner of today.

Pure: `find` and `end_id` are plans, as in `lifecycle`.
"""

from collections.abc import Collection

from msgspec.structs import replace

from coatcheck._session import lifecycle, saving
from coatcheck._session.draft import Draft, Found, Lapsed, Moved, Visitor
from coatcheck._session.moves import ROTATES
from coatcheck._session.plan import Keyspace, Plan, There, look
from coatcheck._session.record import ANY_OWNER, Contents, Record, Terms, Tombstone
from coatcheck._session.session import Session, showing
from coatcheck._session.user_key import enter, follow
from coatcheck.errors import SessionConflict


def start(terms: Terms, *, like: Session | None = None) -> Session:
    """
    Return a session that was not stored yet; its first save claims an id.

    Args:
        like: A session whose values and flashes it holds from the beginning.
    """
    draft = Draft(terms=terms, began=terms.clock() if terms.rosters and terms.clock else 0.0)
    if like is not None:
        model = like._draft
        model.note_changes_in_place()
        held = model.contents.copy()
        draft.contents = Contents(held.values, held.flashes)
        draft.live = model.live.copy()
        draft.touched = bool(draft.live)
    return showing(draft)


def find(
    id: str, terms: Terms, space: Keyspace, *, formerly: Collection[bytes] = ()
) -> Plan[tuple[Session, bool]]:
    """
    Return the session under *id*, else a new one, and whether *id* is that of an earlier session.

    An earlier session was ended, or got another id, less than 15 minutes ago. So the client may
    hold, or be about to get, a newer cookie, which no answer to this request must replace.

    Args:
        formerly: Owners whose records are ours, too. They are written again under that of *terms*.

    Raises:
        SessionConflict: Other requests kept changing the record that was to be written again.
    """
    there, found = yield from _found(id, terms, space, formerly)
    ended = isinstance(there.kept, Tombstone) and space.clock() < there.kept.expires
    session = lifecycle.admit(found, terms, visitor=Visitor(terms=terms))
    if session._draft.shared:
        session = start(terms)
    return session, ended or type(session._draft.origin) is Moved


def _found(
    id: str, terms: Terms, space: Keyspace, formerly: Collection[bytes]
) -> Plan[tuple[There, Session]]:
    """Return what is under *id* and where it leads, without a record of a former owner."""
    for _ in range(saving.ATTEMPTS):
        there = yield from look(space, space.key(id), id)
        session = yield from lifecycle.follow(there, space)
        found = session._draft.found
        if found is None or found.record.owner not in formerly:
            return there, session
        place = There(found.id, space.key(found.id), found.record, found.version)
        yield space.write(place, replace(found.record, owner=terms.owner), space.clock())
    raise SessionConflict(saving.ATTEMPTS)


def take_over(session: Session, earlier: Session) -> None:
    """Let *session*, which is read only now, hold nothing but what *earlier* wrote in its place."""
    session.clear()
    earlier._draft.note_changes_in_place()
    for change in earlier._draft.log:
        session._draft.write(change)
    session._draft.live = earlier._draft.live


def renew(session: Session, terms: Terms, *, looks: bool = False) -> None:
    """
    Let the next save write the session under *terms*, even if nothing changed.

    Args:
        looks: The save reads the record first: what is known of it came through another backend.
    """
    draft = session._draft
    draft.terms = terms
    if draft.fate == "stays":
        draft.fate = "renews"
    if looks and isinstance(draft.origin, Found | Lapsed):
        draft.origin = replace(draft.origin, version=None)


def rotate(session: Session) -> None:
    """Let the next save renew the id of a session in use, if due: a cookie must follow it."""
    if lifecycle.rotates(session):
        session._draft.move(ROTATES)


def settle_user(session: Session) -> None:
    """Let a changed `user_key` be a sign-in, and note the user of a session that told none."""
    draft = session._draft
    if draft.terms.user_key is not None:
        follow(draft, draft.terms.user_key)
        enter(draft, draft.terms.user_key)


def may_sign_in(session: Session) -> bool:
    """Tell whether nobody is signed in, in an application that keeps the user under a key."""
    key, contents = session._draft.terms.user_key, session._draft.contents
    return key is not None and key not in contents.values


def show_kept(session: Session) -> None:
    """
    Let a session that was just saved hold what was kept, which may be less than the handler saw.

    Values that were handed out and kept as they are stay watched.
    """
    draft = session._draft
    if draft.found is None:
        return
    seen, kept = draft.contents, draft.found.record.body
    draft.contents = kept
    draft.shown = {key: flash for key, flash in draft.shown.items() if key in kept.flashes}
    draft.live = {
        key: value
        for key, value in draft.live.items()
        if key in kept.values and kept.values[key] == seen.values.get(key)
    }


def end_id(
    id: str, terms: Terms, space: Keyspace, *, formerly: Collection[bytes] = ()
) -> Plan[bool]:
    """
    End the session under *id*, or where changes of its id led.

    Args:
        formerly: See `find`.

    Returns:
        False: it had ended before, or is another user's by now; the client's cookie is to stay.
    """
    there = yield from look(space, space.key(id), id)
    if isinstance(there.kept, Tombstone):
        return False
    ours = (terms.owner, ANY_OWNER, *formerly)
    if isinstance(there.kept, Record) and there.kept.owner not in ours:
        return True
    return not (yield from saving.end_at(there, Draft(terms=terms), space))
