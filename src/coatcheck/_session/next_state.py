"""
The record that a save keeps, and what the draft is afterwards.

Pure: a draft and a record in, the next record out; *now* is an argument.
"""

from coatcheck._session.changes import Consume
from coatcheck._session.draft import (
    Carried,
    Draft,
    Foreign,
    Found,
    Lost,
    Moved,
)
from coatcheck._session.events import INSIDE, OWN, Kind, note
from coatcheck._session.ids import new_csrf
from coatcheck._session.moves import (
    By,
    Moves,
    moved,
)
from coatcheck._session.plan import There
from coatcheck._session.record import (
    GRACE,
    OVER,
    Contents,
    Marker,
    Record,
)
from coatcheck._session.sign_in import dated
from coatcheck._session.user_key import told_user

_READ = (Found, Moved)


def new_record(draft: Draft, contents: Contents, now: float) -> Record:
    """Return the record of a session that was not stored before."""
    contents.csrf = contents.csrf or new_csrf()
    contents.who = dated(contents.who, now)
    record = Record(b"", draft.terms.owner, now, now, now, contents)
    if type(draft.origin) is Foreign and draft.origin.created is not None:
        record.created = min(draft.origin.created, now)
    record.expires = draft.terms.deadline(record, now)
    return record


def next_record(draft: Draft, base: Record, contents: Contents, now: float) -> Record | None:
    """Return the record that is to replace *base*, or None if nothing is to be written."""
    terms = draft.terms
    renews = draft.fate == "renews" or terms.renews(base, now)
    if not (renews or draft.log or type(draft.fate) is Moves):
        return None
    expires = terms.deadline(base, now) if renews else base.expires
    created, issued = base.created, base.issued
    if created > now or issued > now:  # from a clock that was ahead
        created, issued = min(now, created), min(now, issued)
    return Record(base.tag, terms.owner or base.owner, created, issued, expires, contents)


def moved_record(draft: Draft, move: Moves, base: Record, now: float) -> Record:
    """Return the record that is to be stored under a new id."""
    terms = draft.terms
    contents = logged(draft, moved(move, base.body))
    contents.who = dated(contents.who, now)
    created = min(base.created, now)
    record = Record(b"", terms.owner or base.owner, created, now, now, contents)
    record.expires = terms.deadline(record, now)
    return record


def only_written(draft: Draft, move: Moves) -> Contents:
    """Return what the request wrote, under keys that the session which it read did not hold."""
    contents = logged(draft, moved(move, Contents()))
    held = draft.base.values.keys() | draft.base.flashes.keys()
    told = told_user(draft, move)
    contents.values |= told
    returning = (held & (contents.values.keys() | contents.flashes.keys())) - told.keys()
    for key in returning:
        contents.values.pop(key, None)
        contents.flashes.pop(key, None)
    if returning:
        note(draft, "dropped", OWN, who=contents.who)
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
    who = record.body.who
    if who is not None and who.acts_until == OVER:
        record.body.who = who.alone
        note(draft, "acting", "over", who=who)
    if draft.contents.who is not record.body.who:  # of the request that it joined
        draft.contents = draft.contents.copy()
        draft.contents.who = record.body.who
    del draft.log[:steps]
    draft.touched = bool(draft.log) or draft.watches()


def logged(draft: Draft, contents: Contents) -> Contents:
    """Return *contents* after the log; a change in place that finds no such value is dropped."""
    for change in draft.log:
        if not change.replay(contents):
            note(draft, "dropped", INSIDE, who=contents.who)
    return contents


def usable(draft: Draft, there: There, now: float) -> Record | None:
    """Return the record that a write may build on: a request that read it in time may renew it."""
    record = there.kept
    if type(record) is not Record:
        return None
    if _expired_before(draft, record) or is_long_over(record, now):
        return None
    if acted_too_long(draft, now):
        return None
    return record


def is_long_over(record: Record, now: float) -> bool:
    """Tell whether a session's deadline is over by more than a request may take."""
    return now >= record.expires + GRACE


def acted_too_long(draft: Draft, now: float) -> bool:
    """
    Tell whether somebody acted when the request began, and does no more: its changes are dropped.

    A sign-in, and taking the user away, go on: they mean another person than the actor.
    """
    origin, fate = draft.origin, draft.fate
    if not (type(origin) is Found or type(origin) is Carried):
        return False
    who = origin.record.body.who
    if who is None or who.actor is None or who.acts_until is None or now < who.acts_until:
        return False
    return not (type(fate) is Moves and fate.by in ("sign_in", "leave"))


def discard(draft: Draft, why: str) -> None:
    """Keep nothing of this request, nor of what it may still do."""
    if draft.log or (type(draft.fate) is Moves and draft.fate.by != "rotate"):
        note_of(draft, "dropped", why)
    draft.log.clear()
    draft.fate, draft.origin = "stays", Lost(why)


def _expired_before(draft: Draft, record: Record) -> bool:
    """Tell whether a record had expired before the request read it."""
    origin = draft.origin
    return isinstance(origin, _READ) and record.expires <= origin.read_at


ACTED = "it belongs to acting as another user, and that is over"

LONG_OVER = "it expired, and the request took longer than 15 minutes after that"


def reason_of(draft: Draft, there: There, now: float) -> Lost:
    """Return why a write that finds this keeps nothing."""
    kept, found = there.kept, draft.found
    if isinstance(kept, Marker):
        return Lost("another request changed its id")
    if isinstance(kept, Record):
        if _expired_before(draft, kept):
            return Lost("it expired before the request read it")
        return Lost(LONG_OVER if is_long_over(kept, now) else ACTED)
    if kept is None and found is not None and is_long_over(found.record, now):
        return Lost(LONG_OVER)  # the backend has let it go
    return Lost("another request ended it")


def is_emptied(draft: Draft, contents: Contents) -> bool:
    """Tell whether the handler took the last thing out of the session."""
    if contents.values or not contents.empty or draft.terms.keeps_empty:
        return False
    return any(type(change) is not Consume for change in draft.log)


def note_of(draft: Draft, kind: Kind, reason: str = "", *, now: float | None = None) -> None:
    """Note something of the stored session; with *now*, the time since it began."""
    found = draft.found
    if found is None:
        note(draft, kind, reason, who=draft.contents.who)
        return
    record = found.record
    age = None if now is None else max(now - record.created, 0.0)
    note(draft, kind, reason, who=record.body.who, id=found.id, duration=age)


def note_end(draft: Draft, now: float) -> None:
    """Note that the request ended the session."""
    who = draft.base.who
    note_of(draft, "signed_out" if who and who.user else "ended", "destroyed", now=now)


_MOVED: dict[By, tuple[Kind, str]] = {
    "rotate": ("rotated", ""),
    "regenerate": ("moved", "regenerate_id"),
    "leave": ("moved", "the user was taken away"),
    "confirm": ("confirmed", ""),
    "sign_in": ("signed_in", ""),
    "act_as": ("acting", "begun"),
    "stop_acting": ("acting", "over"),
}


def note_move(draft: Draft, move: Moves, reason: str = "") -> None:
    """Note that the session which was just saved has another id."""
    kind, why = _MOVED[move.by]
    note_of(draft, kind, reason or why)


def note_save(draft: Draft, rounds: int, steps: int) -> None:
    """Note that the session was saved, and with how many changes, in how many rounds."""
    if rounds > 1 and steps:
        found = draft.found
        id, who = (found.id, found.record.body.who) if found else ("", draft.contents.who)
        note(draft, "merged", who=who, id=id, changes=steps, requests=rounds)


def ended(draft: Draft, steps: int, now: float) -> str:
    """Note that the session was removed because nothing was left in it."""
    note_of(draft, "ended", "emptied", now=now)
    del draft.log[:steps]
    draft.fate, draft.origin = "stays", Lost("it was emptied")
    return ""
