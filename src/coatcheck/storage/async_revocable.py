"""
Sessions in cookies that can be ended: `CookieStorage` with the rosters of another storage.

A request of a signed-in user asks that storage every `check_every` seconds which sign-ins are over.
Every other request asks it nothing.

`revocable` is the same text without `async` and `await`, written by `scripts/twins`.
"""

from coatcheck._cookie.tracebacks import forget_frames
from coatcheck._session import revocable
from coatcheck._session.lifecycle import refused_session
from coatcheck._session.plan import Keyspace
from coatcheck._session.session import Session
from coatcheck.errors import BackendError
from coatcheck.storage.async_innermost import async_get_many
from coatcheck.storage.async_records import AsyncRecords
from coatcheck.storage.cookie import CookieStorage, value_of
from coatcheck.storage.protocol import Powers, SessionStorage
from coatcheck.storage.uncached import uncached
from coatcheck.storage.watch import Watch


class AsyncRevocableStorage:
    """
    Sessions in cookies, and lists of them on a server.

    Args:
        cookies: Where the sessions are.
        records: Where the lists are.
        space: The keys of the lists, with the clock of the sessions.
        watch: What this process knows of the sign-ins that are over.
    """

    powers = Powers(starts_empty=True)
    aio: SessionStorage | None = None

    def __init__(
        self, cookies: CookieStorage, records: AsyncRecords, space: Keyspace, watch: Watch
    ) -> None:
        self.clock = cookies.clock
        self._cookies, self._records, self._space, self._watch = cookies, records, space, watch

    async def read(self, value: str | None) -> Session:
        """
        Return the session that the cookie carries, or a new one if there is none, or it is over.

        Raises:
            BackendError: Nothing tells which sign-ins are over.
        """
        session = self._cookies.read(value)
        found = session._draft.found
        who = found.record.body.who if found else None
        if who is None or who.account is None:
            return session
        if self._watch.is_due:
            await self._look()
        return refused_session("revoked") if self._watch.is_over(who, who.account) else session

    async def save(self, session: Session) -> str | None:
        """
        Return the value that carries the session: None changes nothing, "" removes the cookie.

        Raises:
            BackendError: The server failed; nothing tells whether the change was kept.
            SessionConflict: Other requests kept winning the race for a list.
            UnstorableValue: A value was changed in place into what no record holds.
        """
        kept = None
        try:
            with uncached():
                kept = await self._records._carry_out(revocable.save(session, self._space))
            return value_of(*kept) if isinstance(kept, tuple) else kept
        except BaseException as error:
            kept = None  # it holds the id, and error reporters print the locals of this frame
            forget_frames(error)
            raise

    async def close(self) -> None:
        """Release what the storage of the lists opened."""
        await self._records.close()

    async def _look(self) -> None:
        """Ask which sign-ins are over."""
        try:
            with uncached():
                found = await async_get_many(self._records.backend, self._watch.keys)
        except BackendError as error:
            self._watch.failed(error)
            return
        self._watch.take(found)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._cookies!r})"
