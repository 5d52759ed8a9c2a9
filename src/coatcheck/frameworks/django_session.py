"""What Django asks of a session, in the words of ours: no key yet, cleared, its expiry."""

from datetime import datetime

from django.conf import settings

from coatcheck._session import lifecycle
from coatcheck._session.changes import Clear
from coatcheck._session.draft import Draft
from coatcheck._session.record import Record, Terms, owner_of
from coatcheck._session.session import Session
from coatcheck.frameworks.django_storage import Form

LONGEST = 100 * 365 * 24 * 3600.0
"""Seconds: a record's deadline has a year of four digits, whatever `set_expiry` was given."""


def nothing(now: float) -> Session:
    """Return a session that holds nothing, and gets an id and a record with its first save."""
    return Session.of(Draft(base=empty_record(now), moves=True, touched=True))


def empty_record(now: float) -> Record:
    """Return what a session begins with that is to be kept even if it stays empty."""
    return Record(created=now, expires=now, owner=_owner())


async def found(form: Form, key: str | None) -> Session | None:
    """Return the session under *key*, or one that is over if that moved; None: there is none."""
    if key is None:
        return None
    session = lifecycle.admit(await form.read(key), Terms(owner=_owner()), blank=Draft)
    return session if session.draft.base or session.draft.over else None


def clear(session: Session) -> None:
    """Take everything away; unlike `Session.clear`, leave an empty session in place."""
    draft = session.draft
    draft.write(Clear())
    draft.live, draft.shown = {}, {}


def steps(session: Session) -> int:
    """Return how many changes wait to be saved."""
    session.draft.note_changes_in_place()
    return len(session.draft.log)


def terms(session: Session, now: float) -> Terms:
    """Return how long the session lives, as `set_expiry` left it: each save sets it anew."""
    return Terms(owner=_owner(), idle=min(_idle(session, now), LONGEST), refresh=0)


def _idle(session: Session, now: float) -> float:
    expiry = session.get("_session_expiry")
    if isinstance(expiry, str):
        expiry = datetime.fromisoformat(expiry)
    if isinstance(expiry, datetime):
        return expiry.timestamp() - now
    return float(expiry or settings.SESSION_COOKIE_AGE)


def _owner() -> bytes:
    return owner_of(settings.SESSION_COOKIE_NAME)
