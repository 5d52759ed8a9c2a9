"""
Sessions in the cookie itself, and the move of a session from a server into the cookie.

Pure: no clock, no storage; *now* is an argument, and so is the clock.
"""

from collections.abc import Callable

from coatcheck._session.draft import (
    Carried,
    Draft,
    Foreign,
    Found,
    Lost,
    Unread,
)
from coatcheck._session.ids import new_id
from coatcheck._session.moves import (
    Moves,
    carried_away,
)
from coatcheck._session.next_state import (
    ACTED,
    LONG_OVER,
    acted_too_long,
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
    only_written,
    settle,
    usable,
)
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.record import (
    Marker,
    Record,
    Refused,
)
from coatcheck._session.saving import ATTEMPTS, at, look_at, marker_for, save, where_rotated
from coatcheck._session.session import Session
from coatcheck.errors import SessionConflict


def carry(session: Session, now: float, moved: str = "") -> tuple[str, Record] | str | None:
    """
    Return the id and the record for a cookie that carries the whole session.

    Args:
        moved: What the event of a new id says.

    Returns:
        None changes nothing, "" removes the cookie.

    Raises:
        UnstorableValue: A value was changed in place into what no record holds.
    """
    draft = session._draft
    if draft.touched:
        draft.note_changes_in_place()
    before, steps = draft.origin, len(draft.log)
    origin = before if type(before) is Found or type(before) is Carried else None
    if draft.fate == "ends":
        note_end(draft, now)
        draft.origin = Lost("it was destroyed")
        return None if origin is None else ""
    if origin is None:
        if draft.contents.empty or isinstance(draft.origin, Lost | Unread):
            return None
        newer: Record | None = new_record(draft, draft.contents, now)
    elif _may_be_lost(origin.record, now) and (why := _why_lost(draft, origin.record, now)):
        discard(draft, why)
        return None
    elif is_emptied(draft, draft.contents):
        return ended(draft, steps, now)
    elif type(draft.fate) is Moves:
        newer = _moved(draft, draft.fate, origin.record, now)
    else:
        newer = next_record(draft, origin.record, draft.contents, now)
    if newer is None:
        return None
    if newer.expires <= now:
        discard(draft, "it reached the end of its lifetime")
        return None
    stays = origin is not None and type(draft.fate) is not Moves
    id = origin.id if origin and stays else draft.id or new_id()
    fate = draft.fate
    settle(draft, newer, id, now, steps, carried=True)
    if origin is None:
        package = before.package if type(before) is Foreign else ""
        note_of(draft, "adopted" if package else "started", package)
    if type(fate) is Moves:
        note_move(draft, fate, moved)
    return id, newer


def _may_be_lost(record: Record, now: float) -> bool:
    """Tell whether a request may have come too late: most need not be asked for a reason."""
    who = record.body.who
    return record.expires <= now or (who is not None and who.acts_until is not None)


def _why_lost(draft: Draft, record: Record, now: float) -> str:
    """Return why nothing of this request is kept, or ""."""
    signs_in = type(draft.fate) is Moves and draft.fate.by == "sign_in"
    if is_long_over(record, now) and not signs_in:
        return LONG_OVER
    return ACTED if acted_too_long(draft, now) else ""


def _moved(draft: Draft, move: Moves, record: Record, now: float) -> Record:
    """Return the record that the cookie is to carry under a new id."""
    if is_long_over(record, now):
        return new_record(draft, only_written(draft, move), now)
    return moved_record(draft, move, record, now)


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
    if type(origin) is not Found or draft.fate == "ends" or is_emptied(draft, draft.contents):
        return (yield from save(session, space))
    steps, first = len(draft.log), origin.version is not None
    there = at(origin, space) or (yield from look_at(origin, space))
    for _ in range(ATTEMPTS):
        followed = type(there.kept) is Marker
        if followed:
            there, followed = yield from where_rotated(there, space)
        now = space.clock()
        base = usable(draft, there, now)
        if base is None:
            return (yield from save(session, space))
        if isinstance(draft.fate, Moves):
            newer: Record | None = moved_record(draft, draft.fate, base, now)
            id = draft.id or new_id()
            marker = marker_for(draft.fate, base, there, id, space)
        else:
            marker = carried_away(there.key, base.body, now)
            untouched = first and not followed
            contents = draft.contents if untouched else logged(draft, base.body.copy())
            newer, id = next_record(draft, base, contents, now), there.id
        first = False
        if newer is None or newer.expires <= now or not fits(id, newer):
            return (yield from save(session, space))
        refused: Refused | None = yield space.mark(there, marker, now, draft.terms.idle)
        if refused is None:
            fate = draft.fate
            settle(draft, newer, id, now, steps, carried=True)
            if isinstance(fate, Moves):
                note_move(draft, fate)
            return id, newer
        there = space.there(refused.stored, there.key, there.id)
    raise SessionConflict(ATTEMPTS)
