"""
The texts that cookies of other packages are made of: base64, zlib, JSON, HMAC.

Of each encoding one spelling is read, the one that its package writes: another spelling of one
sealed cookie is refused. Inflation is bounded.

Pure: values in, values out; what cannot be read raises `Refused`.
"""

import hmac
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from coatcheck._cookie.base64url import unpack_base64url
from coatcheck._session.record import LIMIT
from coatcheck._session.values import CORRUPT
from coatcheck.adopt.refused import Refused

LONGEST_COOKIE = 64 * 1024
"""Characters of a cookie, its chunks together: as much as is read of all Cookie headers."""


def bare(value: str) -> str:
    """
    Return a cookie's value without the double quotes that some packages write around it.

    Raises:
        Refused: It is too long, or not ASCII.
    """
    if len(value) > LONGEST_COOKIE:
        raise Refused("too_large")
    if not value.isascii():
        raise Refused("damaged")
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def from_base64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url."""
    data = unpack_base64url(text)
    if data is None:
        raise Refused("damaged")
    return data


def from_base64(text: str | bytes) -> bytes:
    """Return the bytes of standard base64 with its padding."""
    try:
        data = b64decode(text, validate=True)
        given = text.encode() if isinstance(text, str) else text
    except ValueError:
        raise Refused("damaged") from None
    if b64encode(data) != given:
        raise Refused("damaged")
    return data


def from_percent(text: str) -> str:
    """Return percent-encoded ASCII as it was before."""
    if any(len(part) < 2 or not _is_hex(part[:2]) for part in text.split("%")[1:]):
        raise Refused("damaged")
    try:
        return unquote_to_bytes(text).decode("ascii")
    except UnicodeDecodeError:
        raise Refused("damaged") from None


def inflated(data: bytes) -> bytes:
    """Return what zlib made smaller, if a session can hold as much; no more is ever in memory."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, LIMIT)
    except zlib.error:
        raise Refused("damaged") from None
    if stream.unconsumed_tail:
        raise Refused("too_large")
    if not stream.eof or stream.unused_data:
        raise Refused("damaged")
    return found


def from_json(data: bytes | str) -> Any:
    """Return what JSON stands for: an object, in every package here, or part of one."""
    if len(data) > LIMIT:
        raise Refused("too_large")
    try:
        return msgspec.json.decode(data)
    except CORRUPT:
        raise Refused("damaged") from None


def json_object(data: bytes | str) -> dict[str, Any]:
    """Return what JSON stands for, which must be an object."""
    return as_dict(from_json(data))


def as_dict(found: object) -> dict[str, Any]:
    """Return what was found, which must be a dict."""
    if not isinstance(found, dict):
        raise Refused("damaged")
    return found


def as_time(found: object) -> float:
    """Return what was found, which must be a Unix time."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < _YEAR_9999:
        raise Refused("damaged")
    return float(found)


def check_mac(keys: Sequence[bytes], data: bytes, mac: bytes, algorithm: str) -> bytes:
    """Return the key with which an HMAC verifies, in one constant-time look for each."""
    for key in keys:
        if hmac.compare_digest(hmac.digest(key, data, algorithm), mac):
            return key
    raise Refused("seal")


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)


_YEAR_9999 = 253_402_300_800
