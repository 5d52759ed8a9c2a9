"""
One storage over any backend.

`lifecycle` decides what is written; here the write is carried out, and tried again when another
request was faster. The id goes to the client, its SHA-256 to the backend.

`KeyedStorage` and `AsyncKeyedStorage`, in the module beside this one, are the same text but for
`async` and `await`; a test holds them to it.
"""

import logging
from inspect import iscoroutinefunction

from coatcheck._session import lifecycle
from coatcheck._session.ids import is_id, key_of
from coatcheck._session.plan import Plan, renamed
from coatcheck._session.session import Session
from coatcheck.errors import BackendError, ConfigurationError, SessionConflict
from coatcheck.storage.backend import Backend, Refused, Stored
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.clock import Clock, system_clock
from coatcheck.storage.keyed_async import AsyncKeyedStorage
from coatcheck.storage.sweeping import SWEPT_AT_ONCE

_logger = logging.getLogger("coatcheck")


class KeyedStorage:
    """
    Sessions as records in a backend.

    Args:
        prefix: Goes before every key, so that applications can share a server.
        clock: Seconds since 1970; None: the system's clock.
        aio: The asynchronous form of the same storage, for ASGI applications; None: this backend,
            in worker threads if it waits.
        sweep_every: New sessions between two small sweeps that this storage makes by itself; None:
            it makes none.

    Raises:
        ConfigurationError: The backend is an asynchronous one.
    """

    saves_late = True
    starts_empty = True
    waits: bool
    """Whether a call may wait for a disk or a server."""

    def __init__(
        self,
        backend: Backend,
        *,
        prefix: str = "",
        clock: Clock | None = None,
        aio: AsyncKeyedStorage | None = None,
        sweep_every: int | None = None,
    ) -> None:
        self.backend = backend
        self.prefix = prefix
        self.clock = clock or system_clock
        if iscoroutinefunction(backend.get):
            raise ConfigurationError(f"{type(backend).__name__} is awaited: AsyncKeyedStorage")
        self.waits = getattr(backend, "waits", True)
        if aio is None and self.waits:
            aio = AsyncKeyedStorage(
                ThreadedBackend(backend), prefix=prefix, clock=clock, sweep_every=sweep_every
            )
        self.aio = aio
        self._sweep_every = sweep_every
        self._unswept = 0

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
        for _ in range(lifecycle.ATTEMPTS):
            if plan is None:
                return None
            if plan.claims and self.backend.swap(self._key(plan.id), None, plan.data, plan.ttl):
                plan = renamed(plan)
                continue
            refused = self._leave(plan) if plan.claims else self._replace(plan)
            if refused is None:
                if plan.claims and self._sweep_every:
                    self._sweep_now_and_then(self._sweep_every)
                return lifecycle.settle(session, plan)
            plan = self._rebase(session, refused.stored)
        raise SessionConflict(lifecycle.ATTEMPTS)

    def sweep(self, limit: int = 1000) -> int:
        """
        Remove expired records where the backend does not do it by itself; return how many.

        Args:
            limit: About how many records to look at; the next call goes on from there.

        Raises:
            BackendError: The backend failed.
        """
        sweep = getattr(self.backend, "sweep", None)
        return sweep(limit) if sweep else 0

    def close(self) -> None:
        """Release what the backend itself opened; it is opened again when it is used again."""
        close = getattr(self.backend, "close", None)
        if close:
            close()

    def _sweep_now_and_then(self, every: int) -> None:
        self._unswept += 1
        if self._unswept < every:
            return
        self._unswept = 0
        try:
            self.sweep(SWEPT_AT_ONCE)
        except BackendError as error:
            _logger.warning("expired sessions stay for now: %s (%r)", error, error.__cause__)

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
