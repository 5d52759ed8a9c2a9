"""
Keep a text so that it can be recognized and not read: a salted HMAC under the cookie's secrets.

    salt (16 bytes) + HMAC-SHA256(key, salt + pin), cut to 16 bytes

The first secret keeps, every secret recognizes.

A mark has no salt: two requests make the same one.

Pure: the only thing from outside is the salt.
"""

import hmac
from collections.abc import Sequence
from secrets import token_bytes

_SALT, _DIGEST = 16, 16


class Pins:
    """
    Texts under some secrets.

    Args:
        secrets: Of a cookie; the first one is current.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [
            hmac.digest(secret.encode(), b"coatcheck 1 pin", "sha256") for secret in secrets
        ]

    def keep(self, pin: str) -> bytes:
        """Return what to keep of a pin."""
        salt = token_bytes(_SALT)
        return salt + _digest(self._keys[0], salt, pin)

    def holds(self, kept: bytes, pin: str) -> bool:
        """Tell whether *kept* was made from this pin, under any of the secrets."""
        salt, digest = kept[:_SALT], kept[_SALT:]
        return any(hmac.compare_digest(_digest(key, salt, pin), digest) for key in self._keys)

    def is_stale(self, kept: bytes, pin: str) -> bool:
        """Tell whether *kept* was made from this pin under an older secret."""
        current = hmac.compare_digest(_digest(self._keys[0], kept[:_SALT], pin), kept[_SALT:])
        return not current and self.holds(kept, pin)

    def mark(self, text: str) -> bytes:
        """Return 32 bytes that the current secret makes of *text*, each time the same."""
        marked = f"coatcheck 1 mark {text}".encode(errors="surrogatepass")
        return hmac.digest(self._keys[0], marked, "sha256")

    def __repr__(self) -> str:
        return f"<Pins under {len(self._keys)} secrets>"


def _digest(key: bytes, salt: bytes, pin: str) -> bytes:
    return hmac.digest(key, salt + pin.encode(errors="surrogatepass"), "sha256")[:_DIGEST]
