"""
One storage over any backend.

`lifecycle` decides what is written; here the write is carried out, and tried again when another
request was faster. The id goes to the client, its SHA-256 to the backend.

`KeyedStorage` and `AsyncKeyedStorage` are the same text but for `async` and `await`; a test holds
them to it.
"""

import time
from collections.abc import Callable
from hashlib import sha256
from inspect import iscoroutinefunction

from coatcheck import lifecycle
from coatcheck.errors import ConfigurationError, SessionConflict
from coatcheck.ids import is_id
from coatcheck.plan import Plan, renamed
from coatcheck.sessions import Session
from coatcheck.storage.backend import AsyncBackend, Backend, Refused, Stored
from coatcheck.storage.threaded import ThreadedBackend

ATTEMPTS = 200
"""Races that one save may lose before it gives up: every round, somebody wins."""

Clock = Callable[[], float]


def system_clock() -> float:
    """Return the seconds since 1970."""
    return time.time()


class KeyedStorage:
    """
    Sessions as records in a backend.

    Args:
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
        aio: The asynchronous form of the same storage, for ASGI applications; None: this backend,
            in worker threads if it waits.

    Raises:
        ConfigurationError: The backend is an asynchronous one.
    """

    saves_late = True
    waits: bool
    """Whether a call may wait for a disk or a server."""

    def __init__(
        self,
        backend: Backend,
        *,
        prefix: str = "",
        clock: Clock | None = None,
        aio: "AsyncKeyedStorage | None" = None,
    ) -> None:
        self.backend = backend
        self.prefix = prefix
        self.clock = clock or system_clock
        if iscoroutinefunction(backend.get):
            raise ConfigurationError(f"{type(backend).__name__} is awaited: AsyncKeyedStorage")
        self.waits = getattr(backend, "waits", True)
        if aio is None and self.waits:
            aio = AsyncKeyedStorage(ThreadedBackend(backend), prefix=prefix, clock=clock)
        self.aio = aio

    def read(self, value: str | None) -> Session:
        """
        Return the session whose id the cookie carries, or a new one.

        Raises:
            BackendError: The backend failed.
        """
        if value is None or not is_id(value):
            return Session()
        stored = self.backend.get(self._key(value))
        return lifecycle.restore(stored, id=value, now=self.clock())

    def save(self, session: Session) -> str | None:
        """
        Keep what a request did, and return what its cookie is to carry: None changes nothing, ""
        removes it.

        Raises:
            BackendError: The backend failed; nothing tells whether the change was kept.
            SessionConflict: Other requests kept winning the race.
            UnstorableValue, RecordTooLarge: Nothing was written.
        """
        if lifecycle.ends(session):
            return self._remove(session)
        plan = lifecycle.commit(session, self.clock())
        if plan and plan.lies is not None and plan.version is None:
            # This request wrote already, and does not know what is there now.
            plan = self._rebase(session, self.backend.get(self._key(plan.lies)))
        for _ in range(ATTEMPTS):
            if plan is None:
                return None
            if plan.claims and self.backend.swap(self._key(plan.id), None, plan.data, plan.ttl):
                plan = renamed(plan)
                continue
            refused = self._leave(plan) if plan.claims else self._replace(plan)
            if refused is None:
                return lifecycle.settle(session, plan)
            plan = self._rebase(session, refused.stored)
        raise SessionConflict(ATTEMPTS)

    def _remove(self, session: Session) -> str | None:
        issued = lifecycle.bury(session)
        if issued is None:
            return None
        self.backend.delete(self._key(issued))
        return ""

    def _replace(self, plan: Plan) -> Refused | None:
        return self.backend.swap(self._key(plan.id), plan.version, plan.data, plan.ttl)

    def _leave(self, plan: Plan) -> Refused | None:
        """Take the session away from its old id; if that is refused, from its new one."""
        if plan.lies is None:
            return None
        old = self._key(plan.lies)
        if plan.keeps_old:
            stored = self.backend.get(old)
            refused = None if stored and stored.version == plan.version else Refused(stored)
        else:
            moved = lifecycle.marker(self.clock())
            refused = self.backend.swap(old, plan.version, moved, lifecycle.GRACE)
        if refused:
            self.backend.delete(self._key(plan.id))
        return refused

    def _rebase(self, session: Session, stored: Stored | None) -> Plan | None:
        return lifecycle.rebase(session, stored, self.clock())

    def _key(self, id: str) -> str:
        return key_of(id, self.prefix)


class AsyncKeyedStorage:
    """
    Sessions as records in a backend whose methods are awaited.

    Args:
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
    """

    saves_late = True

    def __init__(
        self,
        backend: AsyncBackend,
        *,
        prefix: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.backend = backend
        self.prefix = prefix
        self.clock = clock or system_clock

    async def read(self, value: str | None) -> Session:
        """
        Return the session whose id the cookie carries, or a new one.

        Raises:
            BackendError: The backend failed.
        """
        if value is None or not is_id(value):
            return Session()
        stored = await self.backend.get(self._key(value))
        return lifecycle.restore(stored, id=value, now=self.clock())

    async def save(self, session: Session) -> str | None:
        """
        Keep what a request did, and return what its cookie is to carry: None changes nothing, ""
        removes it.

        Raises:
            BackendError: The backend failed; nothing tells whether the change was kept.
            SessionConflict: Other requests kept winning the race.
            UnstorableValue, RecordTooLarge: Nothing was written.
        """
        if lifecycle.ends(session):
            return await self._remove(session)
        plan = lifecycle.commit(session, self.clock())
        if plan and plan.lies is not None and plan.version is None:
            # This request wrote already, and does not know what is there now.
            plan = self._rebase(session, await self.backend.get(self._key(plan.lies)))
        for _ in range(ATTEMPTS):
            if plan is None:
                return None
            if plan.claims and await self.backend.swap(
                self._key(plan.id), None, plan.data, plan.ttl
            ):
                plan = renamed(plan)
                continue
            refused = await self._leave(plan) if plan.claims else await self._replace(plan)
            if refused is None:
                return lifecycle.settle(session, plan)
            plan = self._rebase(session, refused.stored)
        raise SessionConflict(ATTEMPTS)

    async def _remove(self, session: Session) -> str | None:
        issued = lifecycle.bury(session)
        if issued is None:
            return None
        await self.backend.delete(self._key(issued))
        return ""

    async def _replace(self, plan: Plan) -> Refused | None:
        return await self.backend.swap(self._key(plan.id), plan.version, plan.data, plan.ttl)

    async def _leave(self, plan: Plan) -> Refused | None:
        """Take the session away from its old id; if that is refused, from its new one."""
        if plan.lies is None:
            return None
        old = self._key(plan.lies)
        if plan.keeps_old:
            stored = await self.backend.get(old)
            refused = None if stored and stored.version == plan.version else Refused(stored)
        else:
            moved = lifecycle.marker(self.clock())
            refused = await self.backend.swap(old, plan.version, moved, lifecycle.GRACE)
        if refused:
            await self.backend.delete(self._key(plan.id))
        return refused

    def _rebase(self, session: Session, stored: Stored | None) -> Plan | None:
        return lifecycle.rebase(session, stored, self.clock())

    def _key(self, id: str) -> str:
        return key_of(id, self.prefix)


def key_of(id: str, prefix: str = "") -> str:
    """Return the key of an id, the only form of it that a backend ever sees."""
    return prefix + sha256(id.encode()).hexdigest()
