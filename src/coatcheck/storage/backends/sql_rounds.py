"""Deadlines of rows, and how far a round of sweeps is."""

import math
import sys

LATEST = 253_402_300_799.0
"""
The last second of the year 9999, in seconds since 1970. Databases have numbers for later ones, but
none of them has one for "never".
"""

COUNTED = 100
"""Rows counted after a sweep, in multiples of its limit, to tell the progress of the round."""


EARLY = 0.001
"""Seconds by which a deadline may be missed when it is rounded up to a full second."""


def deadline(now: float, ttl: float) -> float:
    """
    Return the end of a row, rounded up to a full second.

    A session that is saved again keeps its deadline. Computed from the time that is left, it
    differs by microseconds each time, and the index of the deadlines would have to be changed.
    """
    return float(math.ceil(min(now + ttl, LATEST) - EARLY))


class Round:
    """
    The progress of a round of sweeps.

    Sweeps count nothing before they remove. After the first full one, and whenever as much again
    was removed, what is left is counted up to a limit. So a long round seems further than it is,
    until less than that limit is left.
    """

    def __init__(self) -> None:
        self._removed = self._left = self._count_at = 0

    @property
    def wants_count(self) -> bool:
        """Whether what is left should be counted now."""
        return self._removed > 0 and self._removed >= self._count_at

    @property
    def share(self) -> float:
        """The share that is done, from 0 to 1; 0 when the round is over."""
        return self._removed / (self._removed + max(self._left, 1)) if self._removed else 0.0

    def note(self, removed: int, limit: int) -> None:
        """Note that a sweep was done; one that found less than it was allowed to ends the round."""
        if removed < limit:
            self._removed = self._left = self._count_at = 0
            return
        if self._left < COUNTED * limit:
            self._left -= removed
        self._removed += removed

    def count(self, left: int, limit: int) -> None:
        """Note how many are left; a count that reached its limit is made again later."""
        self._left = left
        self._count_at = 2 * self._removed if left >= COUNTED * limit else sys.maxsize
