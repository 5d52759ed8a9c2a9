"""
Events: what a decision says of what happened to a session, to be reported by the shell.

A decision notes them on the draft. A change that is lost is always noted, everything else only
where a listener is set. The caller that carries the decision out reports them, or logs only losses.

Pure, but for `log_losses`.
"""

import logging
from typing import TYPE_CHECKING, Literal

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.ids import key_of

if TYPE_CHECKING:
    from coatcheck._session.draft import Draft
    from coatcheck._session.record import Who

Kind = Literal[
    "started", "read", "saved", "moved", "rotated", "signed_in", "confirmed", "acting", "bound",
    "signed_out", "ended", "expired", "adopted", "refused", "merged", "dropped", "conflict",
    "outage", "too_large",
]  # fmt: skip
"""The kinds of events; `coatcheck.Event` explains each."""

HANDLE_LENGTH = 12
"""Characters of the digest that stands for an anonymous session."""

INSIDE, OWN = "the value inside it is gone", "it goes on with a session of its own"

_SAID = {
    INSIDE: "a change inside a value of a session was dropped: another request removed the value, "
    "or left one of another type",
    OWN: "some changes of a request to a session were dropped: it goes on with a session of its "
    "own, and they belong to the one that another request moved or ended",
}

FAILED = "the request failed"

_logger = logging.getLogger("coatcheck")


class Happened(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    One thing that happened to a session; its arguments are those of `coatcheck.Event`.

    Args:
        user: In clear; None: it is about no user.
    """

    kind: Kind
    reason: str = ""
    handle: str = ""
    user: str | None = None
    duration: float | None = None
    changes: int = 0
    requests: int = 0
    size: int | None = None


def note(
    draft: "Draft",
    kind: Kind,
    reason: str = "",
    *,
    who: "Who | None" = None,
    id: str = "",
    duration: float | None = None,
    changes: int = 0,
    requests: int = 0,
    size: int | None = None,
) -> None:
    """
    Note that something happened, if it is to be reported.

    Args:
        who: Who is signed in.
        id: Of the session; it stays secret: the event gets a digest of its key.
    """
    if not draft.terms.reports and kind != "dropped":
        return
    handle = handle_of(who, id)
    user = who.user if who else None
    happened = Happened(kind, reason, handle, user, duration, changes, requests, size)
    draft.events = (*draft.events, happened)


def handle_of(who: "Who | None", id: str) -> str:
    """Return the public name of a session: its handle, or a short digest of its key."""
    if who is not None and who.handle:
        return who.handle
    return key_of(key_of(id))[:HANDLE_LENGTH] if id else ""


def log_losses(draft: "Draft") -> None:
    """Log the changes that were dropped, where no listener is set, and forget all events."""
    events, draft.events = draft.events, ()
    for event in events:
        log_loss(event)


def log_loss(event: Happened) -> None:
    """Log an event, if it is the loss of a change."""
    if event.kind == "dropped":
        text = f"the changes of a request to a session were dropped: {event.reason}"
        level = logging.INFO if event.reason == FAILED else logging.WARNING
        _logger.log(level, "%s", _SAID.get(event.reason, text))
