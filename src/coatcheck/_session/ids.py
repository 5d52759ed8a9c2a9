"""
The id of a session: a credential, never logged, never stored in clear.

    40 characters of base64url    30 bytes of the system's generator (OWASP ASVS 7.2.3 asks for 16)

A backend sees the key of an id, its SHA-256. A record carries the first bytes of its key as a tag,
so that the record of another key is recognized.

A marker may hold the next id, sealed with the old one: an XOR with an HMAC that the old id keys. So
may it hold the digest of a roster. A purpose goes into the HMAC, so that a marker opens only for
that purpose. The seal detects nothing: with another purpose it opens as an id that was never
issued.

Pure: the only thing from outside is the generator of ids.
"""

import hmac
import re
from secrets import token_bytes, token_urlsafe

from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._cookie.sha256 import sha256

ID_BYTES, ID_LENGTH = 30, 40

TAG_BYTES = 8

HANDLE_BYTES = 15

_match_id = re.compile(r"[A-Za-z0-9_-]{40}").fullmatch


def new_id() -> str:
    """Return a new id, made from 240 random bits."""
    return token_urlsafe(ID_BYTES)


def new_handle() -> str:
    """Return the public name of a signed-in session: 20 characters that are no id."""
    return token_urlsafe(HANDLE_BYTES)


def new_csrf() -> bytes:
    """Return a random value for the CSRF tokens of one session: 16 bytes."""
    return token_bytes(16)


def is_id(text: str) -> bool:
    """Tell whether *text*, which a client sent, looks like an id; it may never have been issued."""
    return _match_id(text) is not None


def names_of(id: str) -> tuple[str, bytes] | None:
    """Return the SHA-256 of an id, which ends its key, and the tag; None: it looks like no id."""
    if not is_id(id):
        return None
    digest = sha256(id.encode()).digest()
    return digest.hex(), digest[:TAG_BYTES]


def key_of(id: str, prefix: str = "") -> str:
    """Return the key of an id: *prefix*, then the SHA-256 as 64 hexadecimal digits."""
    return prefix + sha256(id.encode()).hexdigest()


def tag_of(key: str) -> bytes:
    """Return the tag of a record: the first 8 bytes of its key, less the prefix."""
    return bytes.fromhex(key[-64:-48])


def seal_id(id: str, *, under: str, purpose: str) -> bytes:
    """Return *id* sealed: it opens for a request that knows the id *under* and the purpose."""
    return masked(_bytes_of(id), under=under, purpose=purpose)


def open_id(sealed: bytes, *, under: str, purpose: str) -> str:
    """Return what `seal_id` sealed; with another id or purpose, an id that was never issued."""
    return pack_base64url(masked(sealed, under=under, purpose=purpose))


def masked(data: bytes, *, under: str, purpose: str) -> bytes:
    """Return up to 32 bytes, sealed with an id for a purpose, or open again."""
    mask = hmac.digest(under.encode(), f"coatcheck {purpose}".encode(), "sha256")
    return bytes(a ^ b for a, b in zip(data, mask, strict=False))


def _bytes_of(id: str) -> bytes:
    return unpack_base64url(id) or b""
