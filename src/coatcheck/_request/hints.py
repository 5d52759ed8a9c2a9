"""
Hints for a developer whose sessions are lost: one line in the log each, once, with what to do.

`_cookie.rejections` has those that the first cookie of a visitor shows.
"""

import logging

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.visit import Visit

TIMES = 3
"""Requests that show the same before it is said: one may come from an old tab, or be forged."""

REQUESTS = 1000
"""Requests after which the look ends: a mistake of the set-up shows before."""

_logger = logging.getLogger("coatcheck")


class Hints:
    """
    What the requests with a cookie of ours show, until there is no more to look for.

    Args:
        in_memory: The storage is the memory of this process.
    """

    def __init__(self, cookie: Cookie, *, in_memory: bool) -> None:
        self._cookie = cookie
        self._watches_seals, self._watches_ids = True, in_memory
        self._unsealed = self._unknown = self._requests = 0

    def after(self, visit: Visit) -> "Hints | None":
        """Look at a request that has its session, and return the hints that go on, or None."""
        if visit.opened is not None:
            self._watches_seals = False  # a secret fits
            if self._watches_ids and visit.session._draft.issued is None:
                self._note_unknown()
        elif self._watches_seals and visit.cookies and self._cookie.is_in(visit.cookies):
            self._note_unsealed()
        self._requests += 1
        goes_on = (self._watches_seals or self._watches_ids) and self._requests < REQUESTS
        return self if goes_on else None

    def _note_unsealed(self) -> None:
        self._unsealed += 1
        if self._unsealed == TIMES:
            self._watches_seals = False
            _logger.warning(
                "no cookie %r that came since the start has a seal of our secrets: the secret "
                "changed, or differs between processes. Give every process the same secret, for "
                "example from an environment variable; to change it, write secrets=[new, old]",
                self._cookie.name,
            )

    def _note_unknown(self) -> None:
        self._unknown += 1
        if self._unknown == TIMES:
            self._watches_ids = False
            _logger.warning(
                "cookies %r led to no session in the memory of this process: it was started anew, "
                "the sessions expired, or another worker has them. Run one worker, or use a "
                "storage that all workers share, such as SqliteStorage or RedisStorage",
                self._cookie.name,
            )
