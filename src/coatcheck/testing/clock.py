"""A clock that a test moves."""


class Clock:
    """
    A clock for a storage, which stands still until the test moves it.

        clock = Clock()
        storage = MemoryStorage(clock=clock)
        clock.advance(3600)

    Args:
        now: The time at the start, in seconds since 1970.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time, in seconds since 1970."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock on by *seconds*."""
        self.now += seconds
