"""
Sign-ins of applications that keep the user in the session themselves, under a key: `user_key`.

    session["user_id"] = 42        another value than before: saved as session.sign_in(42)
    del session["user_id"]         the user is taken away; what the handler left stays

What counts is the value that the request read and the one that it leaves, as text. Such a sign-in
is fresh only after `confirm()`, because a cookie that remembers the user may have made it.

Pure: the time is the draft's.
"""

from typing import Any

from msgspec.structs import replace

from coatcheck._session.changes import Apply, Clear, Set, SetDefault, Unset
from coatcheck._session.draft import Draft, Foreign, Found, Given
from coatcheck._session.ids import new_handle
from coatcheck._session.moves import By, Moves
from coatcheck._session.record import Who
from coatcheck._session.sign_in import Enter, leaving, signing_in, text_of
from coatcheck._session.values import Encoded, decode
from coatcheck.errors import ConfigurationError


def follow(draft: Draft, key: str) -> None:
    """
    Let the session change its user if the request changed the value under *key*.

    Raises:
        ConfigurationError: The value is no text and no int.
        ResponseStarted: The headers have left, and the new id could not reach the client.
    """
    if not (draft.touched or draft.cleared) or draft.fate == "ends":
        return
    draft.note_changes_in_place()
    now = draft.contents.values.get(key)
    before = draft.base.values.get(key)
    again = _signs_in_again(draft, key)
    if isinstance(draft.origin, Given):
        if not any(_concerns(change, key) for change in draft.log):
            return
    elif now == before and not again and not _is_moved(draft, "sign_in", "leave"):
        return
    user = _user(now, key)
    if user is None:
        if known_user(before) is not None or isinstance(draft.origin, Given):
            _leave(draft, key, before)
    elif (who := draft.contents.who) is None or who.user != user:
        _sign_in(draft, key, user)
    elif again and now is not None and not _is_moved(draft, "sign_in"):
        draft.write(Set(key, now))  # the session that held it has ended
        _sign_in(draft, key, user)


def enter(draft: Draft, key: str) -> None:
    """Note the user of a session that was kept before `user_key` was set, or by another package."""
    if draft.reach == "nothing" or draft.fate == "ends":
        return
    who = untold(draft, key)
    if who is not None:
        draft.write(Enter(who, draft.contents.who))


def untold(draft: Draft, key: str) -> Who | None:
    """
    Return the sign-in of a session that does not tell it yet; None: it tells it, or there is none.

    The sign-in counts as old as the session, so that a sign-out everywhere reaches it.
    """
    origin, who = draft.origin, draft.contents.who
    if not isinstance(origin, Found | Foreign) or (who is not None and who.user is not None):
        return None
    user = known_user(draft.contents.values.get(key))
    if user is None:
        return None
    created = origin.record.created if isinstance(origin, Found) else origin.created
    since = draft.now if created is None else min(created, draft.now)
    return Who(user, new_handle(), since)


def told_user(draft: Draft, move: Moves) -> dict[str, Encoded]:
    """Return the value by which an application tells the user whom a move signs in, by its key."""
    key = draft.terms.user_key
    value = None if key is None else draft.contents.values.get(key)
    if key is None or value is None or move.by != "sign_in" or move.who is None:
        return {}
    return {key: value} if known_user(value) == move.who.user else {}


def with_former(move: Moves, draft: Draft, key: str) -> Moves:
    """Return the move of a sign-in, with the user whose the session is but does not tell it."""
    return replace(move, former=known_user(draft.base.values.get(key)))


def _sign_in(draft: Draft, key: str, user: str) -> None:
    draft.check(f"another user in session[{key!r}]", reaches="client")
    move = signing_in(user, draft.terms, draft.now, remember=None, pin=None, label=None, keep=True)
    assert move.who is not None  # noqa: S101 - a sign-in has one
    move = replace(move, who=replace(move.who, confirmed_at=0.0))
    draft.move(with_former(move, draft, key))


def _signs_in_again(draft: Draft, key: str) -> bool:
    """Tell whether the request wrote the user anew whose sessions it ended, its own among them."""
    if draft.cleared is None or draft.spared:
        return False
    wrote = key in draft.rewritten or any(_concerns(change, key) for change in draft.log)
    return wrote and known_user(draft.contents.values.get(key)) == draft.cleared[0]


def _leave(draft: Draft, key: str, before: Encoded | None) -> None:
    """Take the user away; a session that is left with nothing ends."""
    if _is_moved(draft, "sign_in", "act_as", "stop_acting"):
        return  # what the former user left is gone, the key with it
    draft.check(f"no user in session[{key!r}]", reaches="client")
    if not (draft.contents.values or draft.contents.flashes or draft.terms.keeps_empty):
        draft.end()
    elif not _is_moved(draft, "leave"):
        base = draft.base.who
        former = base.user if base and base.user else known_user(before)
        draft.move(leaving(former))


def _user(encoded: Encoded | None, key: str) -> str | None:
    """Return the user that an application put under its key; None: no user."""
    value: Any = None if encoded is None else decode(encoded)
    if value is None or value == "":
        return None
    try:
        return text_of(value)
    except TypeError:
        raise ConfigurationError(
            f"user_key={key!r} must be the key of a text or an int that tells one person from "
            f"another, got a {type(value).__name__}: keep the user's id under a key of its own"
        ) from None


def known_user(encoded: Encoded | None) -> str | None:
    """Return the user that was kept under the key, if it is one."""
    value: Any = None if encoded is None else decode(encoded)
    if value is None or value == "" or isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)


def _is_moved(draft: Draft, *by: By) -> bool:
    return type(draft.fate) is Moves and draft.fate.by in by


def _concerns(change: object, key: str) -> bool:
    if isinstance(change, Clear):
        return True
    return isinstance(change, Set | SetDefault | Unset | Apply) and change.key == key
