"""
Sign-ins: what a session tells of the signed-in user, and the moves that change it.

    session.sign_in("42")          another id, another handle, and the user in `session.signed_in`
    session.confirm()              the password was asked again: another id, the same sign-in
    session.act_as("7")            support staff see what user 7 sees; `signed_in.actor` is "42"

Pure: the time is an argument.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.binding import offered
from coatcheck._session.draft import Draft
from coatcheck._session.ids import new_csrf, new_handle
from coatcheck._session.moves import Moves
from coatcheck._session.record import LONGEST, UNBOUND, Contents, Terms, Who
from coatcheck.errors import ConfigurationError

User = str | int | UUID
"""The identifier of a user; kept as text."""

REMEMBERED = 30 * 24 * 3600
"""Seconds of a cookie of `remember=True`, if the cookie has no Max-Age of its own."""

SKEW = 60
"""Seconds that the clocks of two machines may differ."""


class SignIn(Hidden, msgspec.Struct, frozen=True):
    """
    A sign-in, as it was when the session was read or changed.

    Attributes:
        user: Who is signed in, as text.
        handle: The public name of the session; it can be shown, and is no id.
        label: What `sign_in` was given, such as "Firefox on Windows"; "": nothing.
        signed_in_at: In UTC.
        confirmed_at: When the user signed in or confirmed last, in UTC; the beginning of 1970 if
            `user_key` noticed the sign-in, and the user has not confirmed since.
        actor: Who acts as the user; None: the user.
    """

    user: str
    handle: str
    label: str
    signed_in_at: datetime
    confirmed_at: datetime
    actor: str | None
    _pin: bytes
    _draft: Draft

    def is_fresh(self, seconds: float | timedelta) -> bool:
        """
        Tell whether the user signed in or confirmed within so many seconds.

        A time more than a minute in the future, from a clock that was ahead, is not fresh.
        """
        clock, confirmed = self._draft.terms.clock, self.confirmed_at.timestamp()
        return -SKEW <= (clock() if clock else confirmed) - confirmed <= seconds_of(seconds)

    def holds(self, pin: str | None) -> bool:
        """
        Tell whether this pin was given at sign-in; False if none was, or *pin* is None.

        A pin that was kept under an older secret of the cookie is kept again, under the newest.

        Raises:
            TypeError: *pin* is no text.
        """
        draft = self._draft
        pins = draft.terms.pins
        if pin is None or pins is None or not self._pin or not pins.holds(self._pin, _pin(pin)):
            return False
        writes = draft.reach != "nothing" and draft.fate != "ends"
        if writes and pins.is_stale(self._pin, pin) and _pin_of(draft) == self._pin:
            draft.write(Repin(self._pin, pins.keep(pin)))
        return True

    def __repr__(self) -> str:
        return f"<SignIn {self.handle}>"


class Repin(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Keep a pin under the current secret of the cookie."""

    before: bytes
    now: bytes
    name = "keeping a pin under a newer secret"

    def replay(self, contents: Contents) -> bool:
        if contents.who is not None and contents.who.pin == self.before:
            contents.who = msgspec.structs.replace(contents.who, pin=self.now)
        return True


class Enter(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    Note who is signed in, in a session that does not tell it yet.

    Args:
        before: What it tells; a session that tells something else is left alone.
    """

    who: Who
    before: Who | None = None
    name = "noting the user"

    def replay(self, contents: Contents) -> bool:
        if contents.who == self.before:
            contents.who = self.who
        return True


def shown(draft: Draft) -> SignIn | None:
    """Return what a handler sees of a sign-in; None: no user is signed in."""
    who = draft.contents.who
    if who is None or who.user is None:
        return None
    return SignIn(
        who.user,
        who.handle,
        who.label,
        datetime.fromtimestamp(who.signed_in_at, UTC),
        datetime.fromtimestamp(who.confirmed_at, UTC),
        who.actor,
        who.pin,
        draft,
    )


def signing_in(
    user: User,
    terms: Terms,
    now: float,
    *,
    remember: bool | float | timedelta | None,
    pin: str | None,
    label: str | None,
    keep: bool | Iterable[str],
) -> Moves:
    """
    Return the move of a sign-in.

    Raises:
        TypeError: *user* is no text, int or UUID, *pin* or *label* is no text, *keep* is one text,
            or *remember* is a text, such as that of a form.
        ValueError: *user* is empty, *remember* is no time, or a text is none that UTF-8 has.
        ConfigurationError: A pin needs the secrets of a cookie.
    """
    idle, max_age = _remembered(remember, terms)
    who = Who(
        user=_storable("user", text_of(user)),
        handle=new_handle(),
        signed_in_at=now,
        confirmed_at=now,
        pin=_kept(pin, terms),
        label=_storable("label", label or ""),
        idle=idle,
        max_age=max_age,
    )
    kept = None if keep is False else frozenset() if keep is True else _keys(keep)
    bound = UNBOUND if terms.bound == "no" else offered(now)
    return Moves("sign_in", who, new_csrf(), kept, bound)


def confirming(who: Who, terms: Terms, now: float, pin: str | None) -> Moves:
    """Return the move of a user who proved their identity again."""
    pin_kept = who.pin if pin is None else _kept(pin, terms)
    return Moves("confirm", msgspec.structs.replace(who, confirmed_at=now, pin=pin_kept))


def acting(who: Who, user: User, now: float, seconds: float | timedelta) -> Moves:
    """Return the move with which a user begins to act as another user."""
    until = now + min(positive("seconds", seconds), LONGEST)
    acts = msgspec.structs.replace(
        who,
        user=_storable("user", text_of(user)),
        actor=who.account,
        acts_until=until,
        former=None,
    )
    return Moves("act_as", acts, new_csrf())


def stopping(who: Who) -> Moves:
    """Return the move with which a user stops acting as another user."""
    return Moves("stop_acting", who.alone, new_csrf())


def leaving(former: str | None) -> Moves:
    """Return the move that takes the user away and keeps the session, for a visitor."""
    return Moves("leave", Who(former=former), new_csrf())


def dated(who: Who | None, now: float) -> Who | None:
    """Return the sign-in with its time, if no clock told it before the save."""
    if who is None or who.signed_in_at or who.user is None:
        return who
    until = None if who.acts_until is None else now + who.acts_until
    return msgspec.structs.replace(who, signed_in_at=now, confirmed_at=now, acts_until=until)


def text_of(user: Any) -> str:
    """
    Return a user as text.

    Raises:
        TypeError: It is no text, int or UUID.
        ValueError: It is empty.
    """
    if isinstance(user, bool) or not isinstance(user, str | int | UUID):
        raise TypeError(f"user must be text, an int or a UUID, got {type(user).__name__}")
    text = str.__str__(user) if isinstance(user, str) else str(user)  # an enum's, too
    if not text:
        raise ValueError("user must not be empty: it tells one person from another")
    return text


def seconds_of(duration: float | timedelta) -> float:
    """Return a duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def positive(name: str, duration: float | timedelta) -> float:
    """
    Return a duration in seconds.

    Raises:
        TypeError: It is neither a number nor a timedelta, such as the text of a form.
        ValueError: It is not above 0.
    """
    if not isinstance(duration, int | float | timedelta):
        also = "a bool, " if name == "remember" else ""
        what = type(duration).__name__
        raise TypeError(f"{name} must be {also}seconds or a timedelta, got {what}")
    seconds = seconds_of(duration)
    if not seconds > 0:
        raise ValueError(f"{name} must be seconds above 0, or a timedelta of them, got {duration}")
    return seconds


def _pin_of(draft: Draft) -> bytes:
    who = draft.contents.who
    return who.pin if who else b""


def _remembered(
    remember: float | timedelta | None, terms: Terms
) -> tuple[float | None, int | None]:
    """Return the idle time and the Max-Age that a sign-in asks for; 0: no Max-Age."""
    if remember is None:
        return None, None
    if remember is False:
        return None, 0
    if remember is True:
        seconds = float(terms.max_age or REMEMBERED)
    else:
        seconds = positive("remember", remember)
    seconds = min(seconds, LONGEST)
    return seconds, max(int(seconds), 1)


def _kept(pin: str | None, terms: Terms) -> bytes:
    if pin is None:
        return b""
    if terms.pins is None:
        raise ConfigurationError("pin needs the secrets of a cookie: use session(cookie, storage)")
    return terms.pins.keep(_pin(pin))


def _pin(pin: object) -> str:
    if not isinstance(pin, str):
        raise TypeError(f"pin must be text, got {type(pin).__name__}")
    return pin


def _storable(name: str, text: object) -> str:
    """
    Return a text that is kept with the sign-in, on a roster too, which is one record for all.

    Raises:
        TypeError: It is no text.
        ValueError: No record can hold it.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text, got {type(text).__name__}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} must be text that UTF-8 has, got a lone surrogate") from None
    return str.__str__(text)  # of a subclass, such as markup, what it holds


def _keys(keep: object) -> frozenset[str]:
    keys = tuple(keep) if isinstance(keep, Iterable) and not isinstance(keep, str) else (None,)
    if not all(isinstance(each, str) for each in keys):
        raise TypeError(
            f"keep must be True, False or several keys, as in keep=['theme'], got {_kind_of(keep)}"
        )
    return frozenset(map(str, keys))


def _kind_of(keep: object) -> str:
    return "one text" if isinstance(keep, str) else type(keep).__name__
