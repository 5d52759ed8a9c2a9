"""
Plans for the sessions of a user: one for each method of `Users`.

A cookie may have former owners, whose rosters are looked up too.

Pure: no clock, no storage; the clock is an argument.
"""

from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.binding import binding_of
from coatcheck._session.draft import Draft, Found
from coatcheck._session.listed import signs_in
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.record import Record, Who
from coatcheck._session.roster import Row, row_of
from coatcheck._session.roster_plans import Listing, Rosters, account_of, end_session, living, read
from coatcheck._session.roster_plans import end_all as end_listed
from coatcheck._session.session import Session
from coatcheck._session.sign_in import User, text_of
from coatcheck.errors import ConfigurationError


class UserSession(Hidden, msgspec.Struct, frozen=True):
    """
    A session of a user, as a page of their devices shows it.

    Attributes:
        handle: The public name of the session; it can be shown, and is no id.
        label: What `sign_in` was given, such as "Firefox on Windows"; "": nothing.
        signed_in_at: In UTC.
        seen_at: When the session was last refreshed, in UTC: about a tenth of its idle time behind
            its last use.
        expires_at: When the session expires if it is not used, in UTC.
        is_current: Whether this request came with it.
        is_bound: Whether it is bound to a device, see `Bound`; None: not known, because what the
            session holds is encrypted.
    """

    handle: str
    label: str
    signed_in_at: datetime
    seen_at: datetime
    expires_at: datetime
    is_current: bool
    is_bound: bool | None = None

    def __repr__(self) -> str:
        return f"<UserSession {self.handle}>"


def sessions_of(
    rosters: Rosters, space: Keyspace, user: User, current: Session | None
) -> Plan[list[UserSession]]:
    """Return the sessions that are alive now, newest use first."""
    text, own = text_of(user), _handle_of(current)
    found: dict[str, UserSession] = {}
    for listing in _listings(rosters, space, text):
        for row, record in (yield from living(listing)):
            found.setdefault(row.handle, _shown(row, record, is_current=row.handle == own))
    return sorted(found.values(), key=attrgetter("seen_at"), reverse=True)


def end(rosters: Rosters, space: Keyspace, user: User, handle: str) -> Plan[set[str]]:
    """End one session; return its handle if it was alive."""
    ended: set[str] = set()
    for listing in _listings(rosters, space, text_of(user)):
        ended |= yield from end_session(listing, handle)
    return ended


def end_all(
    rosters: Rosters, space: Keyspace, user: User, current: Session | None
) -> Plan[set[str]]:
    """End every session of a user, and refuse sign-ins that began before; return the handles."""
    text, at = text_of(user), space.clock()
    ended: set[str] = set()
    for listing in _listings(rosters, space, text):
        ended |= yield from end_listed(listing, at)
    if current is not None:
        current._own.cleared = text, at
    return ended


def end_others(rosters: Rosters, space: Keyspace, session: Session) -> Plan[set[str]]:
    """
    End every session of the signed-in user but this one; return the handles.

    Raises:
        ConfigurationError: No user is signed in, or another user acts as this one.
    """
    draft = session._settled
    who = draft.contents.who
    user = account_of(who)
    if who is None or user is None:
        raise ConfigurationError("end_others() needs a signed-in user: call sign_in() before")
    if who.actor:
        raise ConfigurationError(
            "end_others() would mean the sessions of the one who acts: stop acting first"
        )
    at, spare, lost = space.clock(), {who.handle}, None
    stored = draft.found
    if stored is not None and (before := _signed_in(stored, draft, user)) is not None:
        spare.add(before.handle)
        key, expires = space.key(stored.id), stored.record.expires
        lost = row_of(key, before, since=at, now=at, expires=expires)
    ended: set[str] = set()
    for place, listing in enumerate(_listings(rosters, space, user)):
        row = lost if place == 0 else None
        ended |= yield from end_listed(listing, at, spare=spare, lost=row)
    draft.cleared, draft.spared = (user, at), who.handle
    return ended


def is_cut_off(rosters: Rosters, space: Keyspace, who: Who) -> Plan[bool]:
    """Tell whether a sign-in began before its user's sessions were ended."""
    for listing in _listings(rosters, space, who.account or ""):
        if who.signed_in_at < (yield from read(listing)).cutoff:
            return True
    return False


def user_of(session: Session) -> str:
    """Return the user on whose roster a signed-in session is."""
    return account_of(session._draft.contents.who) or ""


def _listings(rosters: Rosters, space: Keyspace, user: str) -> list[Listing]:
    return [rosters.of(user, space, owner) for owner in rosters.owners]


def _signed_in(stored: Found, draft: Draft, user: str) -> Who | None:
    """Return who the stored session belongs to, if that is this user."""
    who = stored.record.body.who
    if account_of(who) is None and not signs_in(draft):  # `user_key` alone tells the user
        who = draft.contents.who
    return who if account_of(who) == user else None


def _handle_of(session: Session | None) -> str | None:
    who = session._settled.contents.who if session is not None else None
    return who.handle if who else None


def _shown(row: Row, record: Record | None, *, is_current: bool) -> UserSession:
    return UserSession(
        row.handle,
        row.label,
        datetime.fromtimestamp(row.signed_in_at, UTC),
        datetime.fromtimestamp(row.seen_at, UTC),
        datetime.fromtimestamp(record.expires if record else row.expires, UTC),
        is_current,
        _is_bound(record),
    )


def _is_bound(record: Record | None) -> bool | None:
    if record is None:  # a cookie has it, and cannot be bound
        return False
    if record.body.who is None:  # a signed-in session has it: its body is encrypted
        return None
    there = binding_of(record.body)
    return there is not None and bool(there.key)
