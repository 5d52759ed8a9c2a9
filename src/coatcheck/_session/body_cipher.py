"""
Encrypt the body of a record with a key that the server never sees.

    key      HKDF-SHA256 (RFC 5869) of the session's id, without a salt, for this use alone
    body     nonce (12 bytes) + AES-256-GCM of the body in clear + tag (16 bytes)

Every byte of the record before the body is authenticated with it, so a server cannot change a
deadline, an owner or a time. Each write takes a fresh nonce. A copy of the database shows keys,
deadlines and sizes.

Pure: the only thing from outside is the nonce.
"""

import hmac
from secrets import token_bytes

from coatcheck.errors import ConfigurationError

OVERHEAD = 28
"""Bytes by which an encrypted body is longer than the body in clear."""

_NONCE = 12  # bytes: NIST SP 800-38D, 5.2.1.1
_NO_SALT = bytes(32)
_INFO = b"coatcheck 1 record body"


class BodyCipher:
    """
    Encrypts and decrypts bodies.

    Raises:
        ConfigurationError: The package cryptography is not installed.
    """

    def __init__(self) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as missing:
            raise ConfigurationError(
                "encrypt=True needs the package cryptography: pip install 'coatcheck[encrypt]'"
            ) from missing
        self._cipher, self._invalid = AESGCM, InvalidTag

    def encrypt(self, body: bytes, *, id: str, before: bytes) -> bytes:
        """
        Return a body encrypted.

        Args:
            id: Of the session.
            before: What stands before the body in the record.
        """
        nonce = token_bytes(_NONCE)
        return nonce + self._cipher(key_of_body(id)).encrypt(nonce, body, before)

    def decrypt(self, sealed: bytes, *, id: str, before: bytes) -> bytes | None:
        """Return the body in clear; None: it, the id or what stands before it is another one."""
        nonce, ciphertext = sealed[:_NONCE], sealed[_NONCE:]
        try:
            return self._cipher(key_of_body(id)).decrypt(nonce, ciphertext, before)
        except (self._invalid, ValueError):
            return None


def key_of_body(id: str) -> bytes:
    """Return the key for the body of the session with this id: 32 bytes."""
    extracted = hmac.digest(_NO_SALT, id.encode(), "sha256")
    return hmac.digest(extracted, _INFO + b"\x01", "sha256")
