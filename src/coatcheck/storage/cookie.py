"""
Sessions that live in the cookie: no server, nothing to clean up, about 3 kB.

The value is the id and the record, as base64url. The cookie's seal keeps it honest, the deadline
inside it keeps it short-lived. What no cookie can do: a copy of it works until its deadline, also
after sign-out, and of two requests at once the later answer wins. Keep the session on a server if
either matters.
"""

from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._cookie.cache import Cache
from coatcheck._cookie.tracebacks import forget_frames
from coatcheck._session import in_cookie, lifecycle
from coatcheck._session.draft import Carried
from coatcheck._session.events import log_losses
from coatcheck._session.ids import ID_BYTES, ID_LENGTH, is_id
from coatcheck._session.record import Record, Unreadable, WrongKey, as_of, pack, unpack
from coatcheck._session.session import Session
from coatcheck.errors import SessionError
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.protocol import Powers

REMEMBERED = 100_000
"""
Characters of values whose records are remembered: of 100 to 500 visitors. A record takes ten times
as much memory.
"""

FITS = 3000
"""Characters of a value that fits in a cookie beside any seal, the name and the attributes."""

_NO_TAG = b""
"""No server keeps the record that a cookie carries, so none can mix it up."""


class CookieStorage:
    """
    Sessions inside the cookie's value.

    Args:
        clock: Seconds since 1970; None: the system's clock.
    """

    powers = Powers(waits=False, in_place=True, starts_empty=True)

    def __init__(self, *, clock: TimeSource | None = None) -> None:
        self.clock = clock or system_clock
        self._known: Cache[Record] = Cache(REMEMBERED)

    def read(self, value: str | None) -> Session:
        """Return the session that the cookie carries, or a new one."""
        if not value:
            return Session()
        record = self._known.get(value) or self._record(value)
        if record is None:
            return lifecycle.refused_session("unknown id")
        if record.expires <= (now := self.clock()):
            return lifecycle.expired_session(record, value[:ID_LENGTH], now)
        who = record.body.who
        if who is not None and who.acts_until is not None:
            record = as_of(record, now)
        # 30 bytes are 40 characters, so that the value begins with the id's own text.
        return lifecycle.found(Carried(record, value[:ID_LENGTH], None, now, value=value))

    def save(self, session: Session) -> str | None:
        """
        Return the value that carries the session: None changes nothing, "" removes the cookie.

        Raises:
            UnstorableValue: A value was changed in place into what no record holds.
            RecordTooLarge: No cookie has room for the session, and no other storage either.
        """
        carried = None
        try:
            carried = in_cookie.carry(session, self.clock())
            if session._draft.events and not session._draft.terms.reports:
                log_losses(session._draft)
            return value_of(*carried) if isinstance(carried, tuple) else carried
        except SessionError as error:
            carried = None  # it holds the id, and error reporters print the locals of this frame
            forget_frames(error)
            raise

    def _record(self, value: str) -> Record | None:
        """Return the record that a value carries, living or not, and remember it."""
        packed = unpack_base64url(value)
        if packed is None or len(packed) <= ID_BYTES:
            return None
        try:
            record = unpack(packed, _NO_TAG, ID_BYTES)
        except (Unreadable, WrongKey):
            return None
        return self._known.keep(value, record) if isinstance(record, Record) else None

    def __repr__(self) -> str:
        return "CookieStorage()"


def value_of(id: str, record: Record) -> str:
    """Return the value that carries a record: its base64url follows that of the id."""
    record.tag = _NO_TAG
    return id + pack_base64url(pack(record))  # 40 characters are 30 bytes: no group is cut


def carries_session(value: str) -> bool:
    """Tell whether a value carries a session, and not its id alone."""
    return len(value) > ID_LENGTH and is_id(value[:ID_LENGTH])


def fits(id: str, record: Record) -> bool:
    """Tell whether a cookie can carry a record."""
    return len(value_of(id, record)) <= FITS
