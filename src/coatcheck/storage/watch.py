"""
A process's copy of the revocations of cookie sessions, and the age of that copy.

    due       older than `check_every`: the next request of a signed-in user asks again
    too old   older than three times that, or never read: without an answer, nothing is known

Pure but for the monotonic clock.
"""

import time
from collections.abc import Callable, Mapping

from coatcheck._session.plan import Keyspace
from coatcheck._session.record import Stored, Who, WrongKey
from coatcheck._session.revocations import Revocations, unpack_revocations
from coatcheck._session.roster import roster_digest
from coatcheck._session.roster_plans import Rosters
from coatcheck.errors import BackendError

PATIENT = 3
"""So many times `check_every` an answer may be old, while the server gives no newer one."""


class Watch:
    """
    The revocations that one process has read.

    Args:
        check_every: Seconds after which they are read again.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        rosters: Rosters,
        space: Keyspace,
        check_every: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = tuple(space.prefix + digest for digest in rosters.revocations)
        self._owner = rosters.owners[0]
        self._server = space.server
        self._every = check_every
        self._clock = clock
        self._read_at = self._ask_at = -float("inf")
        self._known = Revocations()

    @property
    def is_due(self) -> bool:
        """Whether they are to be read now."""
        return self._clock() >= self._ask_at

    def take(self, found: Mapping[str, Stored]) -> None:
        """
        Keep what was read.

        Raises:
            BackendError: The server answered with the record of another key.
        """
        handles, cuts = {}, {}
        for key, stored in found.items():
            try:
                each = unpack_revocations(stored.record, key)
            except WrongKey:
                raise BackendError(
                    self._server, "read", "it answered with the record of another key"
                ) from None
            handles.update(each.handles)
            cuts.update(each.cuts)
        self._known = Revocations(handles, cuts)
        self._read_at = self._clock()
        self._ask_at = self._read_at + self._every

    def failed(self, error: BackendError) -> None:
        """
        Note that they could not be read; the next request in a fifth of the time asks again.

        Raises:
            BackendError: *error*, if what is known is too old to be trusted.
        """
        now = self._clock()
        if now - self._read_at > PATIENT * self._every:
            raise error
        self._ask_at = now + self._every / 5

    def is_over(self, who: Who, user: str) -> bool:
        """Tell whether a sign-in is over."""
        return self._known.is_over(roster_digest(self._owner, user), who.handle, who.signed_in_at)
