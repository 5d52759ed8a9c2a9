"""
The answer to a request while the server of a storage fails.

    "raise"      the request fails with `BackendError`, and the application may answer 503
    "anonymous"  if the session cannot be read, the request gets an empty one, which is never
                 written, and the client's cookie stays as it is

Under "anonymous" a change to a session that could be read still raises if the write fails.
destroy() of a session that could not be read raises too, because the user would believe to be
signed out.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal

from coatcheck._cookie.tracebacks import forget_our_frames
from coatcheck._session.draft import Draft, Unread
from coatcheck._session.session import Session
from coatcheck.errors import BackendError, ConfigurationError

OnOutage = Literal["raise", "anonymous"]

QUIET = 60.0
"""Seconds without a failure after which a server's next one counts as another outage."""

_logger = logging.getLogger("coatcheck")


class Outages:
    """
    The failures of a storage's servers, and what is done about them.

    Args:
        policy: See above.
        clock: Seconds that only grow.

    Raises:
        ConfigurationError: There is no such policy.
    """

    def __init__(self, policy: OnOutage, *, clock: Callable[[], float] = time.monotonic) -> None:
        if policy not in ("raise", "anonymous"):
            raise ConfigurationError(f"on_outage={policy!r} is neither 'raise' nor 'anonymous'")
        self._serves = policy == "anonymous"
        self._clock = clock
        self._failed: dict[str, float] = {}

    def unread(self, error: BackendError) -> Session:
        """
        Return the session of a request whose own could not be read.

        Raises:
            BackendError: *error*, if the policy says so.
        """
        self._note(error)
        if not self._serves:
            raise error
        return Session._of(Draft(origin=Unread(error)))

    def unsaved(self, session: Session, error: BackendError) -> None:
        """
        Note that a session could not be saved.

        Raises:
            BackendError: *error*, if the policy says so or the request changed the session; a
                refresh alone may wait for the next request.
        """
        self._note(error)
        if not self._serves or session._draft.changed:
            raise error

    def _note(self, error: BackendError) -> None:
        """Log an outage once, not once a request; forget the frames, which may hold an id."""
        forget_our_frames(error)
        now, last = self._clock(), self._failed.get(error.server)
        self._failed[error.server] = now
        if last is None or now - last >= QUIET:
            _logger.error("an outage: %s (%r)", error, error.__cause__)
