"""
Decisions about the sessions of other packages: the option `adopts`.

    cookies ─ theirs ─▶ readers, in order ─▶ judged ─▶ marker? ─▶ session_of ─▶ removals

A reader finds a session of another package, and a digest of what it verified. That stands for one
old id of ours (see `adopted`), under which the storage is asked like under any other: it may lead
to the session that was adopted before, or say that this cookie is used up.

Nothing here waits: a `Shell` asks the readers and the storage.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.headers import MAX_COOKIES
from coatcheck._request.visit import Changes, Theirs, Visit
from coatcheck._session import lifecycle
from coatcheck._session.adopted import Adopted, Refusal, old_id
from coatcheck._session.draft import Draft, Foreign, Lost, Moved, Unread
from coatcheck._session.events import Happened
from coatcheck._session.record import Contents, Terms, Who
from coatcheck._session.session import Session, showing
from coatcheck._session.user_key import untold
from coatcheck._session.values import encode
from coatcheck.errors import ConfigurationError
from coatcheck.storage.clock import system_clock

LONGEST_COOKIE = 400 * 24 * 3600
"""Seconds that browsers keep a cookie at most (RFC 6265bis, 5.5)."""

_logger = logging.getLogger("coatcheck")


@runtime_checkable
class Reader(Protocol):
    """A reader of `coatcheck.adopt`, as a middleware asks it."""

    name: str
    package: str
    until: float | None
    take: bool
    keep_cookie: bool

    @property
    def is_awaited(self) -> bool: ...
    @property
    def waits(self) -> bool: ...
    @property
    def is_endless(self) -> bool: ...
    @property
    def is_on_server(self) -> bool: ...
    def is_over(self, now: float, /) -> bool: ...
    def names(self, cookies: Iterable[str], /) -> list[str]: ...
    def removals(self, names: Iterable[str], /, *, but: Cookie) -> list[str]: ...
    def look(
        self, cookies: Mapping[str, str], now: float, keeping: Collection[str] = (), /
    ) -> Adopted | Refusal | None | Awaitable[Adopted | Refusal | None]: ...
    def forget(self, cookies: Mapping[str, str], /) -> Any: ...


class Judged(NamedTuple):
    """
    The meaning of a reader's answer.

    Attributes:
        id: The old id that stands for the cookie.
        found: The session; None: its record is gone, but it may have been adopted before.
    """

    id: str
    found: Adopted | None

    def __repr__(self) -> str:
        return "<Judged>"


class Adoption:
    """
    The readers of one middleware.

    Args:
        leaves_markers: The storage can remember that a cookie was adopted.
        tell: Reports an event; None: no listener is set.

    Raises:
        ConfigurationError: One is no reader, or needs `until`.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        cookie: Cookie,
        terms: Terms,
        *,
        leaves_markers: bool,
        tell: Callable[[Happened], None] | None = None,
    ) -> None:
        self._tell = tell
        self.readers = checked_readers(readers, leaves_markers=leaves_markers)
        self.leaves_markers = leaves_markers
        self._cookie = cookie
        self._terms = terms
        self._said: set[str] = set()

    @property
    def now(self) -> float:
        """The time by the storage's clock."""
        return (self._terms.clock or system_clock)()

    def theirs(self, visit: Visit) -> list[Theirs]:
        """Return each reader that has cookies in a request, with these."""
        header = visit.cookies or ""
        cookies: dict[str, str] = {}
        if not any(reader.name in header for reader in self.readers):
            return []
        for pair in header[:MAX_COOKIES].split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            if name == self._cookie.name and self._cookie.candidates(f"{name}={value}"):
                continue  # ours, under the name of theirs
            cookies.setdefault(name, value)
        found = []
        for reader in self.readers:
            names = reader.names(cookies)
            if names:
                found.append(Theirs(reader, cookies, tuple(names)))
        return found

    def is_due(self, session: object) -> bool:
        """Tell whether our own cookie, if there is one, leads nowhere."""
        if not isinstance(session, Session) or isinstance(session._draft.origin, Moved | Unread):
            return False
        draft = session._draft
        return draft.issued is None or not lifecycle.keeps(draft, self._terms)

    def judged(self, reader: Reader, answer: Adopted | Refusal | None) -> Judged | None:
        """Return what a reader's answer stands for; None: it leads to no session."""
        if isinstance(answer, Adopted):
            if answer.values or answer.flashes:
                return Judged(old_id(answer.digest, self._cookie.name), answer)
            return None
        if answer is None:
            return None
        if reader.take and answer.digest:  # another request may have taken the record
            return Judged(old_id(answer.digest, self._cookie.name), None)
        self.refuse(reader, answer.reason)
        return None

    def session_of(self, judged: Judged, known: object, reader: Reader) -> Session | None:
        """
        Return the session of a request that brought another package's cookie, or None.

        Args:
            known: What the storage has under the old id.
        """
        if isinstance(known, Session) and _is_known(known._draft):
            return known
        found = judged.found
        if found is None:
            self.refuse(reader, "gone")
            return None
        now, lifetime = self.now, self._terms.lifetime
        if lifetime is not None and found.created is not None and now >= found.created + lifetime:
            self.refuse(reader, "expired")
            return None
        body = Contents(
            {key: encode(key, value) for key, value in found.values.items()},
            {key: encode(key, value) for key, value in found.flashes.items()},
        )
        lives_until = _lives_until(found, reader, now)
        origin = Foreign(body, judged.id, found.created, lives_until, reader.package)
        return showing(Draft(body.copy(), self._terms, origin, shown=body.flashes))

    def sign_in_of(self, session: Session | None) -> Who | None:
        """
        Return the sign-in that a session of another package brings, if lists are kept of users.

        It may be one from before its user's sessions were ended: if the package keeps no time of
        it, it counts as such.
        """
        terms, origin = self._terms, session._draft.origin if session is not None else None
        if terms.rosters is None or terms.user_key is None or type(origin) is not Foreign:
            return None
        assert session is not None  # noqa: S101 - it has an origin
        who = untold(session._draft, terms.user_key)
        if who is None or origin.created is not None:
            return who
        return msgspec.structs.replace(who, signed_in_at=0.0)

    def note_beside(self, theirs: Theirs) -> None:
        """Log once that a cookie of another package arrives beside ours."""
        reader = theirs.reader
        if reader.keep_cookie or reader.name in self._said:
            return
        self._said.add(reader.name)
        _logger.warning(
            "cookie %r of another package still arrives beside cookie %r: if it was adopted, its "
            "Path or Domain differs from what %r says: give that path= and domain=",
            reader.name,
            self._cookie.name,
            reader,
        )

    def refuse(self, reader: Reader, reason: str) -> None:
        """Note that a cookie of another package leads to no session."""
        _logger.info("a cookie of another package was refused: %r: %s", reader, reason)
        if self._tell is not None:
            self._tell(Happened("refused", f"{reader.package}: {reason}"))

    def is_first(self, session: object) -> bool:
        """Tell whether a session is one of another package that is to become one of ours."""
        return isinstance(session, Session) and type(session._draft.origin) is Foreign

    def note_adopted(self, reader: Reader) -> None:
        """Note that a session of another package is one of ours now."""
        _logger.info("a session of another package was adopted: %r", reader)

    def with_removals(self, theirs: Theirs, changes: Changes, *, ended: bool) -> Changes:
        """Return the changes, and the removal of the other package's cookies where it is due."""
        if not ended and (theirs.beside or theirs.reader.keep_cookie):
            return changes
        lines = theirs.reader.removals(theirs.names, but=self._cookie)
        return Changes(
            vary=True,
            private=True,
            set_cookies=(*lines, *changes.set_cookies),
            headers=changes.headers,
        )


def _is_known(draft: Draft) -> bool:
    """Tell whether the storage has anything under an old id."""
    return draft.issued is not None or isinstance(draft.origin, Moved | Lost | Unread)


def _lives_until(found: Adopted, reader: Reader, now: float) -> float:
    """
    Return how long the cookie could lead to its session.

    Each visit of the other package renews a record on a server, so its own end tells nothing there.
    """
    if reader.until is not None and (reader.is_on_server or found.expires is None):
        return reader.until
    if reader.is_on_server or found.expires is None:
        return now + LONGEST_COOKIE
    return found.expires


def checked_readers(readers: Sequence[Reader], *, leaves_markers: bool) -> tuple[Reader, ...]:
    """
    Return the readers of one middleware.

    Raises:
        ConfigurationError: One is no reader, or needs `until`.
    """
    if isinstance(readers, Reader) or not isinstance(readers, Iterable):
        raise ConfigurationError(
            f"adopts must be a list of readers, got {type(readers).__name__}: adopts=[adopt.Flask("
            "secrets=[…])]"
        )
    found = tuple(readers)
    for reader in found:
        if not isinstance(reader, Reader) or isinstance(reader, type):
            raise ConfigurationError(
                f"adopts must be readers of coatcheck.adopt, got {type(reader).__name__} among them"
            )
        if reader.until is not None:
            continue
        if reader.is_endless:
            raise ConfigurationError(
                f"{reader!r} needs until=: its cookies have no end, so nothing tells how long to "
                "remember that one was adopted"
            )
        if not leaves_markers:
            raise ConfigurationError(
                f"{reader!r} needs until=: this storage has no place to remember that a cookie was "
                "adopted, so a copy of it signs in again until then"
            )
    return found
