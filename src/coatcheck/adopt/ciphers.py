"""
Decryption for the readers of encrypted cookies (extra `coatcheck[encrypt]`).

Each function returns None for what does not open, and never says why.
"""

from typing import Any

from coatcheck.errors import ConfigurationError

NONCE, TAG, BLOCK = 12, 16, 16
"""Bytes of AES-GCM's nonce and tag, and of an AES block."""


def check_installed() -> None:
    """
    Find the package now, and not in a request.

    Raises:
        ConfigurationError: It is missing.
    """
    _gcm()


def open_gcm(key: bytes, nonce: bytes, sealed: bytes, aad: bytes | None) -> bytes | None:
    """Return what AES-GCM sealed; *sealed* ends with the tag."""
    from cryptography.exceptions import InvalidTag

    if len(nonce) != NONCE or len(sealed) < TAG:
        return None
    try:
        found: bytes = _gcm()(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        return None
    return found


def open_cbc(key: bytes, iv: bytes, sealed: bytes) -> bytes | None:
    """Return what AES-CBC encrypted, its PKCS #7 padding checked. Verify its HMAC before."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if len(iv) != BLOCK or not sealed or len(sealed) % BLOCK:
        return None
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    count = padded[-1]
    if not 1 <= count <= BLOCK or padded[-count:] != bytes([count]) * count:
        return None
    return padded[:-count]


def _gcm() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as missing:
        raise ConfigurationError(
            "this reader needs the package cryptography: pip install 'coatcheck[encrypt]'"
        ) from missing
    return AESGCM
