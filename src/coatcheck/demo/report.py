"""
The session's own state, for the page that shows it.

The id stays hidden: it is a credential, and everyone who sees it can use it. The page shows instead
the beginning of the key under which the record is filed, which leads nowhere.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from coatcheck import Session
from coatcheck._cookie.cookie import MAX_COOKIE, Cookie
from coatcheck._session.ids import key_of
from coatcheck._session.moves import Moves
from coatcheck._session.values import decode

SHOWN = 300
"""Characters of a value that the page shows."""

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the session, the bytes that its value takes in the record, and the value."""

    key: str
    size: int
    shown: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One change that this request made: how a handler calls it, and the key, if it has one."""

    name: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The facts about a session at one moment of a request."""

    is_stored: bool
    created: datetime | None
    expires: datetime | None
    values: list[Entry]
    flashes: list[Entry]
    steps: list[Step]
    filed: str | None


def report_on(session: Session, now: datetime) -> Report:
    """Return the state of *session*, without reading a flash or making an id."""
    issued = session.issued_id
    steps = steps_of(session)  # first: it notices what was changed in place
    contents = session._draft.contents
    return Report(
        is_stored=issued is not None,
        created=session.created_at,
        expires=_expires(session, now),
        values=[_entry(key, it, shown=_shown(it)) for key, it in contents.values.items()],
        flashes=[_entry(key, it) for key, it in contents.flashes.items()],
        steps=steps,
        filed=key_of(issued)[:8] if issued else None,
    )


def steps_of(session: Session) -> list[Step]:
    """Return what this request did to the session so far, in order."""
    draft = session._draft
    draft.note_changes_in_place()
    steps = [Step(change.name, getattr(change, "key", None)) for change in draft.log]
    if isinstance(draft.fate, Moves):
        steps.append(Step(draft.fate.name))
    return [*steps, Step("destroy()")] if draft.fate == "ends" else steps


def cookie_facts(cookie: Cookie, sent: str | None) -> list[tuple[str, str]]:
    """
    Return the cookie's attributes as they read in a table.

    Args:
        cookie: As the application made it.
        sent: The value that the request's cookie carried, seal and all; None if there was none.
    """
    size = len(f"{cookie.name}={sent}") if sent else 0
    return [
        ("Name", cookie.name),
        ("Size", f"{size} of {MAX_COOKIE} bytes" if size else "none came with this request"),
        ("Seal", "encrypted (AES-256-GCM)" if cookie.encrypted else "signed (HMAC-SHA256)"),
        ("HttpOnly", "yes: no script can read it" if cookie.httponly else "no"),
        ("SameSite", cookie.samesite or "not set"),
        ("Secure", "yes" if cookie.secure else "no: this shop is served over plain HTTP"),
        ("Path", cookie.path or "not set"),
        ("Max-Age", f"{_max_age(cookie)}; a sign-in has its own"),
    ]


def _max_age(cookie: Cookie) -> str:
    return spoken(timedelta(seconds=cookie.max_age)) if cookie.max_age else "not set"


def spoken(span: timedelta) -> str:
    """Return a span of time in its largest unit: "59 minutes"."""
    seconds = max(0, round(span.total_seconds()))
    unit, length = next((each for each in _UNITS if seconds >= each[1]), _UNITS[-1])
    count = seconds // length
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _expires(session: Session, now: datetime) -> datetime | None:
    """Return the deadline that the session has when this request is saved."""
    draft, at = session._draft, now.timestamp()
    if draft.found is None:
        return session.expires_at
    record = draft.found.record
    if isinstance(draft.fate, Moves) or draft.terms.renews(record, at):
        return datetime.fromtimestamp(draft.terms.deadline(record, at), UTC)
    return session.expires_at


def _entry(key: str, encoded: Any, *, shown: str = "") -> Entry:
    return Entry(key, len(bytes(encoded)), shown)


def _shown(encoded: Any) -> str:
    text = repr(decode(encoded))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
