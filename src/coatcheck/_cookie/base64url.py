"""
Unpadded base64url (RFC 4648, 5), of which exactly one spelling is read.

A decoder that forgives padding, case or unused bits would read one sealed text in many spellings.
"""

from binascii import b2a_base64

import msgspec

_PADDING = {0: "", 2: "==", 3: "="}
_LAST = {0: "", 2: "AQgw", 3: "AEIMQUYcgkosw048"}
"""By what is left of a text's length: the characters whose unused bits are 0; 1 is no length."""


def pack_base64url(data: bytes) -> str:
    """Return *data* as unpadded base64url (RFC 4648, 5)."""
    standard = b2a_base64(data, newline=False).decode("ascii").rstrip("=")
    return standard.replace("+", "-").replace("/", "_")


def unpack_base64url(text: str) -> bytes | None:
    """
    Return the bytes that `pack_base64url` turns into exactly *text*, or None if none do.

    msgspec decodes faster than binascii. It decodes a JSON string, so an escape or a space in the
    text shows in the length of the result.
    """
    spare = len(text) % 4  # characters of a last, partial group: their unused bits must be 0
    if "+" in text or "/" in text or spare not in _LAST or (spare and text[-1] not in _LAST[spare]):
        return None
    standard = text.replace("-", "+").replace("_", "/")
    try:
        data = _base64.decode(f'"{standard}{_PADDING[spare]}"')
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return data if len(text) == (len(data) * 4 + 2) // 3 else None


_base64 = msgspec.json.Decoder(bytes)
