"""
The id of a session: a credential, never logged, never stored in clear.

    43 characters of base64url     32 bytes of the system's generator (OWASP ASVS 7.2.3 asks for 16)
"""

import re
from secrets import token_urlsafe

from coatcheck._cookie.sha256 import sha256

ID_BYTES, ID_LENGTH = 32, 43

_match_id = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


def new_id() -> str:
    """Return an id that nobody has had before."""
    return token_urlsafe(ID_BYTES)


def is_id(text: str) -> bool:
    """Tell whether *text*, which a client sent, looks like an id; it may never have been issued."""
    return _match_id(text) is not None


def key_of(id: str, prefix: str = "") -> str:
    """Return the key of an id, the only form of it that a backend sees."""
    return prefix + sha256(id.encode()).hexdigest()
