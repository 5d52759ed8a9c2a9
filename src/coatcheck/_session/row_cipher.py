"""
Encrypt the rows of a roster under the secrets of the cookie, which the server never sees.

    key      HKDF-SHA256 (RFC 5869) of a secret, without a salt, for this use alone
    row      nonce (12 bytes) + AES-256-GCM of the row in clear + tag (16 bytes)

The tag of the roster is authenticated with each row, so a server cannot move a row to the list of
another user. The first secret encrypts, every secret decrypts.

Pure: the only thing from outside is the nonce.
"""

import hmac
from collections.abc import Sequence
from secrets import token_bytes

from coatcheck.errors import ConfigurationError

_NONCE = 12  # bytes: NIST SP 800-38D, 5.2.1.1
_NO_SALT = bytes(32)
_INFO = b"coatcheck 1 roster row"


class RowCipher:
    """
    Encrypts and decrypts rows.

    Args:
        secrets: Of the cookie; the first one is current.

    Raises:
        ConfigurationError: The package cryptography is not installed.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as missing:
            raise ConfigurationError(
                "encrypt=True needs the package cryptography: pip install 'coatcheck[encrypt]'"
            ) from missing
        self._ciphers = [AESGCM(_key_of(secret)) for secret in secrets]
        self._invalid = InvalidTag

    def encrypt(self, row: bytes, *, tag: bytes) -> bytes:
        """
        Return a row encrypted.

        Args:
            tag: Of the roster.
        """
        nonce = token_bytes(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, row, tag)

    def decrypt(self, sealed: bytes, *, tag: bytes) -> bytes | None:
        """Return the row in clear; None: it is of another secret or roster, or damaged."""
        nonce, ciphertext = sealed[:_NONCE], sealed[_NONCE:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, ciphertext, tag)
            except (self._invalid, ValueError):
                continue
        return None

    def __repr__(self) -> str:
        return f"<RowCipher under {len(self._ciphers)} secrets>"


def _key_of(secret: str) -> bytes:
    extracted = hmac.digest(_NO_SALT, secret.encode(), "sha256")
    return hmac.digest(extracted, _INFO + b"\x01", "sha256")
