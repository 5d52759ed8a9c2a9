"""
Changing the id of a session: what goes along, and what the old id is still good for.

A session that gets another id leaves a marker under its old one. One rule holds for all of them: a
request with an old id can sign out, and nothing else. The exceptions depend on what changed the id.

    by            a request that had read     one that comes later       a sign-out with
                  the old id                  with the old id            the old id
    rotate        goes on under the new id    the same                   ends the session
    regenerate    is dropped (1)              has no session (1)         ends the session
    confirm       is dropped (2)              has no session (2)         ends the session
    sign_in       is dropped (2)              has no session (2)         ends it, if the user stays
    act_as, stop_acting    is dropped (3)     has no session             ends the session
    leave         is dropped                  has no session             ends nothing

    (1) If the session was a visitor's, a second regenerate gets a session of its own.
    (2) A sign-in or a confirm() of the same user joins.
    (3) The same call joins.

To join means to go on under the new id, with the changes of this request.

Pure: values in, values out; *now* is an argument.
"""

import struct
from typing import Literal

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.ids import ID_BYTES, open_id, seal_id, tag_of
from coatcheck._session.record import GRACE, UNBOUND, Contents, Kind, Marker, Who
from coatcheck._session.values import Encoded

By = Literal["rotate", "regenerate", "confirm", "sign_in", "act_as", "stop_acting", "leave"]
"""The calls that change an id; "leave" takes the user away and keeps the session."""

HUSH = 60.0
"""
Seconds after a change of id in which a request with the old id keeps nothing: the browser is about
to get the new cookie, and must not get another one.
"""


class Moves(Hidden, msgspec.Struct, frozen=True):
    """
    The session gets another id.

    Args:
        by: What changes it.
        who: Who is signed in afterwards; None: as before.
        csrf: The new CSRF value; b"": it stays.
        keep: Keys of another user's session that stay; None: nothing stays, of any session.
        bound: What a sign-in offers to bind the session to a device; UNBOUND: nothing.
        former: Whose the session is, where it does not tell that itself; None: a visitor's.
    """

    by: By
    who: Who | None = None
    csrf: bytes = b""
    keep: frozenset[str] | None = frozenset()
    bound: Encoded = UNBOUND
    former: str | None = None

    @property
    def name(self) -> str:
        """The call as a handler writes it."""
        return _NAMES.get(self.by) or f"{self.by}()"

    @property
    def purpose(self) -> str:
        """For what the marker gives the new id away; "": for nothing."""
        if self.by == "rotate":
            return self.by
        if self.who is None or self.by in ("regenerate", "leave"):
            return ""
        verb = {"sign_in": "in", "confirm": "in"}.get(self.by, self.by)
        return f"{verb} {self.who.user}"


_NAMES: dict[By, str] = {
    "rotate": "a rotation of the id",
    "regenerate": "regenerate_id()",
    "leave": "taking the user away",
}

_TIME = struct.Struct(">d")

ROTATES = Moves("rotate")


def outdoes(move: Moves, newer: Moves) -> bool:
    """Tell whether a move already does what a weaker one after it would do."""
    weak = ("rotate", "regenerate")
    return newer.by in weak and move.by not in weak


def after(earlier: Moves, newer: Moves) -> Moves:
    """Return the move of a request that makes two: a confirm() is part of what came before it."""
    if newer.by != "confirm":
        return newer
    if earlier.by in ("sign_in", "act_as", "stop_acting"):
        return msgspec.structs.replace(earlier, who=newer.who)
    return msgspec.structs.replace(newer, csrf=earlier.csrf)


def moved(move: Moves, body: Contents) -> Contents:
    """Return what of a session goes along to its new id."""
    goes = body.copy()
    goes.csrf = move.csrf or body.csrf
    if move.who is None:
        return goes
    goes.who = move.who
    if move.by == "sign_in":
        goes.bound = move.bound
    if move.keep is None:
        goes.values, goes.flashes = {}, {}
    elif not _is_same_person(move, body.who):
        goes.values = {key: value for key, value in body.values.items() if key in move.keep}
        goes.flashes = {key: value for key, value in body.flashes.items() if key in move.keep}
    return goes


class MoveInPlace(Hidden, msgspec.Struct, frozen=True):
    """The step of a log that does what a move does, but for the new id."""

    move: Moves

    @property
    def name(self) -> str:
        return self.move.name

    def replay(self, contents: Contents) -> bool:
        goes = moved(self.move, contents)
        contents.values, contents.flashes = goes.values, goes.flashes
        contents.who, contents.csrf = goes.who, goes.csrf
        return True


def marker_of(move: Moves, body: Contents, *, old: str, old_key: str, new: str, new_key: str,
              now: float) -> Marker:  # fmt: skip
    """
    Return what is to replace the session under its old id.

    Args:
        body: Of the session before the move.
        old_key, new_key: The keys of the ids, without a prefix.
    """
    before = body.who.account if body.who else None
    stays = move.by != "leave" and (move.who is None or move.who.account == before)
    kind: Kind = "other"
    if move.by == "rotate":
        kind = "rotation"
    elif move.by == "regenerate" and before is None:
        kind = "visitor"
    return Marker(
        tag=tag_of(old_key),
        expires=now + GRACE,
        kind=kind,
        next_key=new_key if stays else "",
        sealed_id=seal_id(new, under=old, purpose=move.purpose) if move.purpose else b"",
    )


def closed(key: str, now: float) -> Marker:
    """Return a marker that leads nowhere."""
    return Marker(tag_of(key), now + GRACE, "other")


def carried_away(key: str, body: Contents, now: float) -> Marker:
    """Return what is to replace a session that the cookie carries from now on, under its id."""
    kind: Kind = "other" if body.who and body.who.account else "visitor"
    return Marker(tag_of(key), now + GRACE, kind, next_key=key[-64:])


def adopted(
    move: Moves,
    body: Contents,
    *,
    old: str,
    old_key: str,
    new: str,
    new_key: str,
    now: float,
    lives_until: float,
) -> Marker:
    """
    Return the marker for the cookie of another package whose session was adopted.

    It is that of a rotation, or of what the request did beside: a sign-in gives the new id away to
    no request that has the old cookie alone. It stays as long as that cookie could live, and hands
    the new id over for the grace alone. So it carries the time of the adoption behind the sealed
    id.

    Args:
        body: As it was adopted.
        old: The id that stands for that cookie.
        old_key, new_key: The keys of the ids, without a prefix.
        new: "": the session ended at once.
    """
    marker = closed(old_key, now)
    if new:
        marker = marker_of(move, body, old=old, old_key=old_key, new=new, new_key=new_key, now=now)
    return msgspec.structs.replace(
        marker,
        expires=max(lives_until, now + GRACE),
        sealed_id=(marker.sealed_id or bytes(ID_BYTES)) + _TIME.pack(now),
    )


def is_adopted(kept: object) -> bool:
    """Tell whether it is the marker of another package's cookie."""
    return isinstance(kept, Marker) and len(kept.sealed_id) > ID_BYTES


def _changed_at(marker: Marker) -> float:
    """Return when the id was changed."""
    if not is_adopted(marker):
        return marker.expires - GRACE
    (at,) = _TIME.unpack(marker.sealed_id[ID_BYTES:])
    return float(at)


def rotated_id(marker: Marker, id: str, now: float) -> str | None:
    """Return the id under which any request with the old *id* goes on, or None."""
    if marker.kind != "rotation" or not marker.sealed_id:
        return None
    if is_adopted(marker) and now >= _changed_at(marker) + GRACE:
        return None
    return open_id(marker.sealed_id[:ID_BYTES], under=id, purpose=ROTATES.purpose)


def joined_id(marker: Marker, id: str, move: Moves) -> str | None:
    """Return the id under which a request goes on that makes the same move, or None."""
    if marker.kind != "other" or not marker.sealed_id or not move.purpose:
        return None
    return open_id(marker.sealed_id[:ID_BYTES], under=id, purpose=move.purpose)


def is_hushed(marker: Marker, now: float) -> bool:
    """Tell whether the browser is about to get the cookie of the new id."""
    return now < _changed_at(marker) + HUSH


def _is_same_person(move: Moves, before: Who | None) -> bool:
    """Tell whether a session stays with its user; a visitor's goes along to any user."""
    assert move.who is not None  # noqa: S101 - the one caller has looked
    if move.by in ("act_as", "stop_acting"):
        return False
    if move.by == "leave":
        return True
    if before is None or before.user is None:
        former = move.former or (before.former if before else None)
        return former in (None, move.who.user)
    return (before.user, before.account) == (move.who.user, move.who.account)
