"""What storages over a backend share: the key of an id, and the clock."""

import time
from collections.abc import Callable
from hashlib import sha256

Clock = Callable[[], float]
"""Returns the seconds since 1970."""


def system_clock() -> float:
    """Return the seconds since 1970."""
    return time.time()


def key_of(id: str, prefix: str = "") -> str:
    """Return the key of an id, the only form of it that a backend ever sees."""
    return prefix + sha256(id.encode()).hexdigest()
