"""
Sessions that live in the cookie: no server, nothing to clean up, about 3 kB.

The value is the id and the record, as base64url. The cookie's seal keeps it honest, the deadline
inside it keeps it short-lived. What no cookie can do: a copy of it works until its deadline, also
after sign-out, and of two requests at once the later answer wins. Keep the session on a server if
either matters.
"""

from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._cookie.cache import Remembered
from coatcheck._session import lifecycle
from coatcheck._session.draft import Draft
from coatcheck._session.ids import ID_BYTES, ID_LENGTH
from coatcheck._session.plan import Plan
from coatcheck._session.record import Record
from coatcheck._session.session import Session
from coatcheck.storage.clock import Clock, system_clock


class CookieStorage:
    """
    Sessions inside the cookie's value.

    Args:
        clock: Seconds since 1970; None: the system's clock.
    """

    waits = False
    saves_late = False
    starts_empty = True

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock = clock or system_clock
        self._known: Remembered[Record] = Remembered()

    def read(self, value: str | None) -> Session:
        """Return the session that the cookie carries, or a new one."""
        if not value:
            return Session()
        record = self._known.get(value) or self._record(value)
        if record is None or record.expires <= (now := self.clock()):
            return Session()
        # A record begins with two zero bits, so that the value begins with the id's own text.
        return Session.of(Draft.of(record, id=value[:ID_LENGTH], version=0, now=now))

    def save(self, session: Session) -> str | None:
        """
        Return the value that carries the session: None changes nothing, "" removes the cookie.

        Raises:
            UnstorableValue: A value was changed in place into what no record holds.
        """
        if lifecycle.ends(session):
            return None if lifecycle.bury(session) is None else ""
        plan = lifecycle.commit(session, self.clock())
        if plan is None:
            return None
        lifecycle.settle(session, plan)
        return value_of(plan)

    def _record(self, value: str) -> Record | None:
        """Return the record that a value carries, living or not, and remember it."""
        packed = unpack_base64url(value)
        if packed is None or len(packed) <= ID_BYTES:
            return None
        record = lifecycle.readable(packed, ID_BYTES)
        return self._known.keep(value, record) if isinstance(record, Record) else None


def value_of(plan: Plan) -> str:
    """Return the value that carries what a plan is to keep."""
    return pack_base64url((unpack_base64url(plan.id) or b"") + plan.data)
