"""The one exception of the readers: it never leaves them."""

from coatcheck._session.adopted import Reason


class Refused(Exception):
    """
    A cookie of another package leads to no session.

    Args:
        reason: Why.
        digest: Of the id that was verified, where the record alone is missing.
    """

    def __init__(self, reason: Reason, digest: bytes = b"") -> None:
        super().__init__(reason)
        self.reason, self.digest = reason, digest
