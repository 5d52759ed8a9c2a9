"""The clock of a storage: every deadline is judged by it."""

import time
from collections.abc import Callable

TimeSource = Callable[[], float]
"""Returns the seconds since 1970."""

system_clock: TimeSource = time.time
