"""
Results of a reader of another package's sessions.

A session that is adopted gets an id of ours. What was verified of the old cookie becomes a second,
older id: nothing is ever stored under it but a marker, as under the id of a session that was
rotated.

Pure: values in, values out.
"""

import hashlib
from typing import Any, Literal

import msgspec

from coatcheck._cookie.base64url import pack_base64url
from coatcheck._cookie.hidden import Hidden
from coatcheck._session.ids import ID_BYTES

Reason = Literal["seal", "expired", "future", "damaged", "unsupported", "gone", "too_large"]
"""
Why a cookie of another package is refused.

seal: no secret verifies it. future: it was made later than now. damaged: it is no text or record of
that package. unsupported: it holds what no session holds, or what is never loaded. gone: its server
has no record. too_large: it has more bytes than a session may have.
"""


class Adopted(Hidden, msgspec.Struct, frozen=True):
    """
    A session of another package.

    Attributes:
        values: What a handler of that package would see, as a session of ours can hold it.
        flashes: The messages for the next page, by category.
        created: When the package made or signed it, as a Unix time; None: it keeps no such time.
        expires: When its cookie or record ends, as a Unix time; None: nothing tells.
        digest: Of what was verified: the signed bytes, or the id. Another spelling of the same
            cookie has the same.
    """

    values: dict[str, Any]
    flashes: dict[str, Any]
    created: float | None
    expires: float | None
    digest: bytes


class Refusal(Hidden, msgspec.Struct, frozen=True):
    """
    There is a cookie of another package, and it leads to no session.

    Args:
        reason: Why.
        digest: Of the id that was verified, where the record alone is missing; b"": of nothing.
    """

    reason: Reason
    digest: bytes = b""


def old_id(digest: bytes, name: str) -> str:
    """
    Return the id of ours that stands for an old cookie: a marker alone is ever under it.

    Args:
        digest: Of what was verified.
        name: Of our own cookie: two applications may adopt one session, each for itself.
    """
    text = b"coatcheck adopted " + name.encode() + b"\0" + digest
    return pack_base64url(hashlib.sha256(text).digest()[:ID_BYTES])
