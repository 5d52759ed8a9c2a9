"""
One storage over any backend whose methods are awaited.

The same text as `keyed`, but for `async` and `await`; a test holds them to it.
"""

import logging

from coatcheck._session import lifecycle
from coatcheck._session.ids import is_id, key_of
from coatcheck._session.plan import Plan, renamed
from coatcheck._session.session import Session
from coatcheck.errors import BackendError, SessionConflict
from coatcheck.storage.backend import AsyncBackend, Refused, Stored
from coatcheck.storage.clock import Clock, system_clock
from coatcheck.storage.sweeping import SWEPT_AT_ONCE

_logger = logging.getLogger("coatcheck")


class AsyncKeyedStorage:
    """
    Sessions as records in a backend whose methods are awaited.

    Args:
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
        sweep_every: New sessions between two small sweeps that this storage makes by itself; None:
            it makes none.
    """

    saves_late = True
    starts_empty = True

    def __init__(
        self,
        backend: AsyncBackend,
        *,
        prefix: str = "",
        clock: Clock | None = None,
        sweep_every: int | None = None,
    ) -> None:
        self.backend = backend
        self.prefix = prefix
        self.clock = clock or system_clock
        self.seldom_waits: bool = getattr(backend, "seldom_waits", False)
        self._sweep_every = sweep_every
        self._unswept = 0

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
        for _ in range(lifecycle.ATTEMPTS):
            if plan is None:
                return None
            if plan.claims and await self.backend.swap(
                self._key(plan.id), None, plan.data, plan.ttl
            ):
                plan = renamed(plan)
                continue
            refused = await self._leave(plan) if plan.claims else await self._replace(plan)
            if refused is None:
                if plan.claims and self._sweep_every:
                    await self._sweep_now_and_then(self._sweep_every)
                return lifecycle.settle(session, plan)
            plan = self._rebase(session, refused.stored)
        raise SessionConflict(lifecycle.ATTEMPTS)

    async def sweep(self, limit: int = 1000) -> int:
        """
        Remove expired records where the backend does not do it by itself; return how many.

        Args:
            limit: About how many records to look at; the next call goes on from there.

        Raises:
            BackendError: The backend failed.
        """
        sweep = getattr(self.backend, "sweep", None)
        return await sweep(limit) if sweep else 0

    async def close(self) -> None:
        """Release what the backend itself opened; it is opened again when it is used again."""
        close = getattr(self.backend, "close", None)
        if close:
            await close()

    async def _sweep_now_and_then(self, every: int) -> None:
        self._unswept += 1
        if self._unswept < every:
            return
        self._unswept = 0
        try:
            await self.sweep(SWEPT_AT_ONCE)
        except BackendError as error:
            _logger.warning("expired sessions stay for now: %s (%r)", error, error.__cause__)

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
