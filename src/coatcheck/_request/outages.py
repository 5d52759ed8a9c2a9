"""
The answer to a request while the server of a storage fails.

    "raise"      the request fails with `BackendError`, and the application may answer 503
    "unavailable"  the request gets a short answer with the status 503 and Retry-After
    "anonymous"  if the session cannot be read, the request gets an empty one, which is never
                 written, and the client's cookie stays as it is

Under "anonymous" a change to a session that could be read still raises if the write fails.
destroy() of a session that could not be read raises too, because the user would believe to be
signed out. Under both others, a write that only renews a deadline may wait for the next request.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal, get_args

from coatcheck._cookie.tracebacks import forget_our_frames
from coatcheck._request.events import Reporter
from coatcheck._request.visit import Answer, Changes
from coatcheck._session.draft import Draft, Unread
from coatcheck._session.events import Happened
from coatcheck._session.session import Session, showing
from coatcheck.errors import BackendError, ConfigurationError

OnOutage = Literal["raise", "unavailable", "anonymous"]

QUIET = 60.0
"""Seconds without a failure after which a server's next one counts as another outage."""

RETRY_AFTER = 10
"""Seconds after which a client may ask again."""

_BODY = b"The service is unavailable for a moment. Please try again.\n"

UNAVAILABLE = Answer(
    503,
    (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(_BODY))),
        ("Retry-After", str(RETRY_AFTER)),
        ("Cache-Control", "no-store"),
    ),
    _BODY,
)

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
        if policy not in get_args(OnOutage):
            raise ConfigurationError(
                f'on_outage must be "raise", "unavailable" or "anonymous", got {policy!r}'
            )
        self._policy = policy
        self._clock = clock
        self._failed: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self.reporter: Reporter | None = None

    def unread(self, error: BackendError) -> Session | Answer:
        """
        Return the session of a request whose own could not be read, or the answer to it.

        Raises:
            BackendError: *error*, if the policy says so.
        """
        self.note(error)
        if self._policy == "raise":
            raise error
        if self._policy == "unavailable":
            return UNAVAILABLE
        return showing(Draft(origin=Unread(error)))

    def unsaved(self, session: Session, error: BackendError) -> None:
        """
        Note that a session could not be saved.

        Raises:
            BackendError: *error*, if the policy says so or the request changed the session; a
                refresh alone may wait for the next request.
        """
        self.note(error)
        if self._policy == "raise" or session._draft.changed:
            raise error

    def unkept(self, error: BackendError) -> Changes:
        """
        Return what becomes of a response whose session could not be saved.

        Raises:
            BackendError: *error*, unless the policy is to answer.
        """
        if self._policy != "unavailable":
            raise error
        return Changes(instead=UNAVAILABLE)

    def drops(self, error: BaseException) -> bool:
        """Tell whether a change after the headers is dropped: no answer can tell of it any more."""
        return self._policy == "unavailable" and isinstance(error, BackendError)

    def note(self, error: BackendError) -> None:
        """Log an outage once, not once a request; forget the frames, which may hold an id."""
        forget_our_frames(error)
        now, last = self._clock(), self._failed.get(error.server)
        self._failed[error.server] = now
        if last is None or now - last >= QUIET:
            _logger.error("an outage: %s", error)
            self._began.setdefault(error.server, now)
            if self.reporter is not None:
                self.reporter.tell(Happened("outage", "begun"))

    def works(self) -> None:
        """Note that the storage answered: an outage is over after a minute without a failure."""
        now = self._clock()
        for server, began in list(self._began.items()):
            if now - self._failed[server] >= QUIET:
                del self._began[server]
                duration = self._failed[server] - began
                assert self.reporter is not None  # noqa: S101 - it is noted for a listener
                self.reporter.tell(Happened("outage", "over", duration=duration))
