"""What Django asks of a session, in the words of ours: its terms, its expiry, its changes."""

from datetime import datetime

from django.conf import settings

from coatcheck._session.draft import Lost
from coatcheck._session.record import LONGEST, Terms, owner_of
from coatcheck._session.session import Session


def terms(idle: float | None = None) -> Terms:
    """
    Return how long a session lives, empty or not.

    Args:
        idle: Seconds, counted anew from each save; None: as the settings say.
    """
    return Terms(
        owner=owner_of(settings.SESSION_COOKIE_NAME),
        idle=min(float(settings.SESSION_COOKIE_AGE) if idle is None else idle, LONGEST),
        refresh=0,
        keeps_empty=True,
    )


def idle_of(session: Session, now: float) -> float:
    """Return the seconds that a session lives from now on, as `set_expiry` left it."""
    expiry = session.get("_session_expiry")
    if isinstance(expiry, str):
        expiry = datetime.fromisoformat(expiry)
    if isinstance(expiry, datetime):
        return expiry.timestamp() - now
    return float(expiry or settings.SESSION_COOKIE_AGE)


def steps(session: Session | None) -> int:
    """Return how many changes wait to be saved."""
    if session is None:
        return 0
    session._draft.note_changes_in_place()
    return len(session._draft.log)


def is_lost(session: Session) -> bool:
    """Tell whether a save found that the session was ended, or got another key."""
    return type(session._draft.origin) is Lost
