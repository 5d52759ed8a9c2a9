"""What storages over a backend share: the key of an id, the clock, and how often they sweep."""

import time
from collections.abc import Callable

from coatcheck.digests import sha256

Clock = Callable[[], float]
"""Returns the seconds since 1970."""

system_clock: Clock = time.time

SWEEP_EVERY = 64
"""New sessions between two sweeps of a storage in files, which nobody else looks after."""

SWEPT_AT_ONCE = 100
"""Records that such a sweep looks at: more than have come since, and a millisecond at the most."""


def key_of(id: str, prefix: str = "") -> str:
    """Return the key of an id, the only form of it that a backend ever sees."""
    return prefix + sha256(id.encode()).hexdigest()
