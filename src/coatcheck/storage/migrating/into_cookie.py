"""
Written by scripts/twins from src/coatcheck/storage/migrating/async_into_cookie.py: change that.

From a server into cookies: a session moves with its first write, and no visitor is signed out.

A move leaves a marker under the id, as a new id does, and the cookie carries the record. Of the
requests that are under way with the bare id, the first to write moves the session; the others find
the marker, keep nothing and send no cookie. A session too large for a cookie stays where it is.

`into_cookie` is the same text without `async` and `await`, written by `scripts/twins`.
"""

from coatcheck._session import in_cookie, lifecycle
from coatcheck._session.events import log_losses
from coatcheck._session.ids import is_id
from coatcheck._session.session import Session
from coatcheck.storage.cookie import CookieStorage, fits, value_of
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.storage.protocol import Powers


class IntoCookie(KeyedStorage):
    """The sessions of *old*, which go into cookies of *new*."""

    def __init__(self, old: KeyedStorage, new: CookieStorage) -> None:
        super().__init__(old.backend, prefix=old.prefix, clock=old.clock)
        self.space = old.space
        self.powers = Powers(waits=old.powers.waits, starts_empty=True)
        self._old, self._new = old, new

    def read(self, value: str | None) -> Session:
        if value is not None and is_id(value):
            return super().read(value)
        return self._new.read(value)

    def save(self, session: Session) -> str | None:
        if not lifecycle.is_on_server(session):
            return self._new.save(session)
        kept = self._carry_out(in_cookie.leave_for_cookie(session, self.space, fits))
        draft = session._draft
        if draft.events and not draft.terms.reports:
            log_losses(draft)
        return value_of(*kept) if isinstance(kept, tuple) else kept

    def sweep(self, limit: int = 1000) -> int:
        return self._old.sweep(limit)

    def close(self) -> None:
        self._old.close()
