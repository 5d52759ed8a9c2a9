"""
From cookies to a server: a session moves with the first write to it, and nobody is signed out.

What the cookie carries is the session until the server knows its id. The first write claims that id
there, with what the cookie carried and the changes of the request, so that requests which bring
copies of one cookie meet in one record. The cookie carries the bare id from then on.

A cookie can be copied, and a copy reads as a session until its deadline. So what ends, or moves to
another id, leaves something under the old one for as long as the session would have lived:

    ended         a record whose own deadline is over: it reads as nothing, and keeps the id taken
    regenerated   the marker of `lifecycle`, which stays in the backend when its own time is over

The two forms are the same text but for `async` and `await`; a test holds them to it.
"""

from coatcheck._session import lifecycle
from coatcheck._session.ids import ID_LENGTH, is_id
from coatcheck._session.plan import Plan
from coatcheck._session.record import NOBODY, Record, pack
from coatcheck._session.session import Session
from coatcheck.errors import SessionConflict
from coatcheck.storage.backend import Refused
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.storage.keyed_async import AsyncKeyedStorage

_CARRIED = object()
"""The version of a session that lies in the cookie alone."""


class FromCookie(KeyedStorage):
    """The sessions of *new*, and those that cookies of *old* still carry."""

    def __init__(self, old: CookieStorage, new: KeyedStorage) -> None:
        aio = AsyncFromCookie(old, new.aio) if new.aio else None
        super().__init__(new.backend, prefix=new.prefix, clock=new.clock, aio=aio)
        self._old, self._new = old, new

    def read(self, value: str | None) -> Session:
        if value is None or len(value) <= ID_LENGTH or not is_id(value[:ID_LENGTH]):
            return super().read(value)
        stored = self.backend.get(self._key(value[:ID_LENGTH]))
        if stored:
            return lifecycle.restore(stored, id=value[:ID_LENGTH], now=self.clock())
        return _carried(self._old.read(value))

    def save(self, session: Session) -> str | None:
        carried = session.draft.version is _CARRIED
        value = super().save(session)
        return _bare(session) if value is None and carried else value

    def sweep(self, limit: int = 1000) -> int:
        return self._new.sweep(limit)

    def close(self) -> None:
        self._new.close()

    def _remove(self, session: Session) -> str | None:
        ttl = _left(session, self.clock())
        issued = lifecycle.bury(session)
        if issued is None:
            return None
        stored = self.backend.get(self._key(issued))
        for _ in range(lifecycle.ATTEMPTS):
            version = stored.version if stored else None
            refused = self.backend.swap(self._key(issued), version, GRAVE, ttl)
            if refused is None:
                return ""
            stored = refused.stored
        raise SessionConflict(lifecycle.ATTEMPTS)

    def _replace(self, plan: Plan) -> Refused | None:
        return self.backend.swap(self._key(plan.id), _held(plan), plan.data, plan.ttl)

    def _leave(self, plan: Plan) -> Refused | None:
        if plan.lies is None:
            return None
        old, version = self._key(plan.lies), _held(plan)
        if plan.keeps_old:
            stored = self.backend.get(old)
            now = stored.version if stored else None
            refused = None if now == version else Refused(stored)
        else:
            moved, ttl = lifecycle.marker(self.clock()), max(plan.ttl, lifecycle.GRACE)
            refused = self.backend.swap(old, version, moved, ttl)
        if refused:
            self.backend.delete(self._key(plan.id))
        return refused


class AsyncFromCookie(AsyncKeyedStorage):
    """The same, awaited."""

    def __init__(self, old: CookieStorage, new: AsyncKeyedStorage) -> None:
        super().__init__(new.backend, prefix=new.prefix, clock=new.clock)
        self._old, self._new = old, new

    async def read(self, value: str | None) -> Session:
        if value is None or len(value) <= ID_LENGTH or not is_id(value[:ID_LENGTH]):
            return await super().read(value)
        stored = await self.backend.get(self._key(value[:ID_LENGTH]))
        if stored:
            return lifecycle.restore(stored, id=value[:ID_LENGTH], now=self.clock())
        return _carried(self._old.read(value))

    async def save(self, session: Session) -> str | None:
        carried = session.draft.version is _CARRIED
        value = await super().save(session)
        return _bare(session) if value is None and carried else value

    async def sweep(self, limit: int = 1000) -> int:
        return await self._new.sweep(limit)

    async def close(self) -> None:
        await self._new.close()

    async def _remove(self, session: Session) -> str | None:
        ttl = _left(session, self.clock())
        issued = lifecycle.bury(session)
        if issued is None:
            return None
        stored = await self.backend.get(self._key(issued))
        for _ in range(lifecycle.ATTEMPTS):
            version = stored.version if stored else None
            refused = await self.backend.swap(self._key(issued), version, GRAVE, ttl)
            if refused is None:
                return ""
            stored = refused.stored
        raise SessionConflict(lifecycle.ATTEMPTS)

    async def _replace(self, plan: Plan) -> Refused | None:
        return await self.backend.swap(self._key(plan.id), _held(plan), plan.data, plan.ttl)

    async def _leave(self, plan: Plan) -> Refused | None:
        if plan.lies is None:
            return None
        old, version = self._key(plan.lies), _held(plan)
        if plan.keeps_old:
            stored = await self.backend.get(old)
            now = stored.version if stored else None
            refused = None if now == version else Refused(stored)
        else:
            moved, ttl = lifecycle.marker(self.clock()), max(plan.ttl, lifecycle.GRACE)
            refused = await self.backend.swap(old, version, moved, ttl)
        if refused:
            await self.backend.delete(self._key(plan.id))
        return refused


GRAVE = pack(Record(created=0, expires=0, owner=NOBODY))
"""Lies under the id of a session that ended: its deadline is long over."""


def _carried(session: Session) -> Session:
    """Return what a cookie carried, to be claimed by its first write."""
    if session.blank is None:
        session.draft.version = _CARRIED
    return session


def _bare(session: Session) -> str | None:
    """Return the id for the cookie that carried the session, if this request moved it."""
    draft = session.draft
    return None if draft.over or draft.version is _CARRIED else draft.issued


def _held(plan: Plan) -> object:
    """Return the version of what is to lie under the id; None: nothing, the cookie carried it."""
    return None if plan.version is _CARRIED else plan.version


def _left(session: Session, now: float) -> float:
    """Return the seconds until no copy of a cookie can carry this session any more."""
    base, idle = session.draft.base, session.draft.terms.idle
    # Another copy may have been refreshed later than this one: until now, at the latest.
    return max(base.expires - now if base else 0.0, idle, lifecycle.GRACE)
