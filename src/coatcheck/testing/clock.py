"""A clock that a test owns."""


class Clock:
    """
    Seconds since 1970, standing still until they are moved: `MemoryStorage(clock=Clock())`.

    Args:
        now: When it starts.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.now += seconds
