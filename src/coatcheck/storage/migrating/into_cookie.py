"""
From a server into cookies: a session moves with the first write to it, and nobody is signed out.

A move leaves a marker under the id, as a new id does, and the cookie carries the record. Of the
requests that are under way with the bare id, the first to write moves the session; the others find
the marker, keep nothing and send no cookie, so that they neither sign the visitor out nor bring
back what lay on the server. A session too large for a cookie stays where it is.

The two forms are the same text but for `async` and `await`; a test holds them to it.
"""

from coatcheck._session import lifecycle
from coatcheck._session.ids import is_id, key_of
from coatcheck._session.plan import Plan
from coatcheck._session.session import Session
from coatcheck.errors import SessionConflict
from coatcheck.storage.backend import Refused
from coatcheck.storage.cookie import CookieStorage, value_of
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.storage.keyed_async import AsyncKeyedStorage

FITS = 3000
"""Characters of a value that fits in a cookie beside any seal, the name and the attributes."""

_CARRIED = object()
"""The version of a session that a cookie carried."""

_STAYED = object()
"""The version of a session that this request wrote to the old storage."""


class IntoCookie:
    """The sessions of *old*, which go into cookies of *new*."""

    saves_late = False
    starts_empty = True

    def __init__(self, old: KeyedStorage, new: CookieStorage) -> None:
        self.waits = old.waits
        self.aio = AsyncIntoCookie(old.aio, new) if old.aio else None
        self._old, self._new = old, new

    def read(self, value: str | None) -> Session:
        if value is not None and is_id(value):
            return self._old.read(value)
        return _carried(self._new.read(value))

    def save(self, session: Session) -> str | None:
        if session.draft.version is None or session.draft.version is _CARRIED:
            return self._new.save(session)
        if lifecycle.ends(session):
            return self._old.save(session)
        if session.draft.version is _STAYED:
            return self._keep(session)
        plan = lifecycle.commit(session, self._old.clock())
        for _ in range(lifecycle.ATTEMPTS):
            if plan is None:
                return None
            if len(value := value_of(plan)) > FITS:
                return self._keep(session)
            refused = self._leave(plan)
            if refused is None:
                lifecycle.settle(session, plan)
                return value
            plan = lifecycle.rebase(session, refused.stored, self._old.clock())
        raise SessionConflict(lifecycle.ATTEMPTS)

    def sweep(self, limit: int = 1000) -> int:
        return self._old.sweep(limit)

    def close(self) -> None:
        self._old.close()

    def _keep(self, session: Session) -> str | None:
        """Save a session that no cookie can carry where it lies."""
        session.draft.version = None if session.draft.version is _STAYED else session.draft.version
        value = self._old.save(session)
        session.draft.version = _STAYED
        return value

    def _leave(self, plan: Plan) -> Refused | None:
        """Take the session away from its id on the server."""
        if plan.lies is None:
            return None
        old = key_of(plan.lies, self._old.prefix)
        if plan.keeps_old:
            stored = self._old.backend.get(old)
            return None if stored and stored.version == plan.version else Refused(stored)
        moved = lifecycle.marker(self._old.clock())
        return self._old.backend.swap(old, plan.version, moved, lifecycle.GRACE)


class AsyncIntoCookie:
    """The same, awaited."""

    saves_late = False
    starts_empty = True

    def __init__(self, old: AsyncKeyedStorage, new: CookieStorage) -> None:
        self._old, self._new = old, new

    async def read(self, value: str | None) -> Session:
        if value is not None and is_id(value):
            return await self._old.read(value)
        return _carried(self._new.read(value))

    async def save(self, session: Session) -> str | None:
        if session.draft.version is None or session.draft.version is _CARRIED:
            return self._new.save(session)
        if lifecycle.ends(session):
            return await self._old.save(session)
        if session.draft.version is _STAYED:
            return await self._keep(session)
        plan = lifecycle.commit(session, self._old.clock())
        for _ in range(lifecycle.ATTEMPTS):
            if plan is None:
                return None
            if len(value := value_of(plan)) > FITS:
                return await self._keep(session)
            refused = await self._leave(plan)
            if refused is None:
                lifecycle.settle(session, plan)
                return value
            plan = lifecycle.rebase(session, refused.stored, self._old.clock())
        raise SessionConflict(lifecycle.ATTEMPTS)

    async def sweep(self, limit: int = 1000) -> int:
        return await self._old.sweep(limit)

    async def close(self) -> None:
        await self._old.close()

    async def _keep(self, session: Session) -> str | None:
        """Save a session that no cookie can carry where it lies."""
        session.draft.version = None if session.draft.version is _STAYED else session.draft.version
        value = await self._old.save(session)
        session.draft.version = _STAYED
        return value

    async def _leave(self, plan: Plan) -> Refused | None:
        """Take the session away from its id on the server."""
        if plan.lies is None:
            return None
        old = key_of(plan.lies, self._old.prefix)
        if plan.keeps_old:
            stored = await self._old.backend.get(old)
            return None if stored and stored.version == plan.version else Refused(stored)
        moved = lifecycle.marker(self._old.clock())
        return await self._old.backend.swap(old, plan.version, moved, lifecycle.GRACE)


def _carried(session: Session) -> Session:
    """Return what a cookie carried."""
    if session.blank is None:
        session.draft.version = _CARRIED
    return session
