"""
The visitors' passwords: everybody's is the one on the sign-in page, until they change it.

    accounts.is_right("Ada", "ticket")
    accounts.change("Ada", "another one")       for this process, until it ends

What a sign-in holds of a password is a pin: a digest of it. After a change, sign-ins with the older
pin are refused, on every storage.
"""

import hmac
from hashlib import sha256
from secrets import token_bytes

PASSWORD = "ticket"  # noqa: S105 - no secret: the sign-in page shows it

STAFF = "support"
"""The name of the visitor who may look at the shop as somebody else."""

MOST = 1000
"""Names whose password may be another one; a demo must not fill the memory."""


class Accounts:
    """The passwords of one process."""

    def __init__(self) -> None:
        self._changed: dict[str, bytes] = {}
        self._key = token_bytes(32)

    def is_right(self, name: str, password: str) -> bool:
        """Tell whether this is the password of that name."""
        return bool(name) and hmac.compare_digest(self._digest(password), self._held(name))

    def change(self, name: str, password: str) -> bool:
        """Take another password; False: too many names have one."""
        if name not in self._changed and len(self._changed) >= MOST:
            return False
        self._changed[name] = self._digest(password)
        return True

    def pin(self, name: str) -> str:
        """Return a text that changes with the password."""
        return "" if name not in self._changed else self._changed[name].hex()

    def _held(self, name: str) -> bytes:
        return self._changed.get(name) or self._digest(PASSWORD)

    def _digest(self, password: str) -> bytes:
        # A real shop uses a slow hash, such as argon2: this one only shows what a session does.
        return hmac.digest(self._key, password.encode(), sha256)
