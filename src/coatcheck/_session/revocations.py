"""
Which sign-ins in cookies are over: by handle, and by the cut-offs of users.

    0x07 + [tag, expires, handles, cuts]
    handles: {handle: until}        cuts: {digest of the roster: [at, until, {handle: since}]}

A cookie that carries its session cannot be ended on a server. So what ended is entered here, and
each process reads it every few seconds. There are 256 such records; a user's is chosen by the key
of the roster. An entry stays for as long as a copy of the cookie could live.

Pure: no clock, no storage; the clock is an argument.
"""

import logging
from collections.abc import Collection, Mapping

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._cookie.sha256 import sha256
from coatcheck._session.ids import tag_of
from coatcheck._session.record import GRACE, LIMIT, Time, Unreadable, WrongKey
from coatcheck._session.roster import KIND as ROSTER
from coatcheck._session.values import CORRUPT
from coatcheck.errors import RecordTooLarge

COUNT = 256
"""Records of one cookie: each is small, and all are read as one question."""

CROWDED = 10_000
"""Handles of one record, about a third of its room; from here on, cut-offs take their place."""

_KIND = b"\x07"

_logger = logging.getLogger("coatcheck")


class Cut(Hidden, msgspec.Struct, array_like=True, frozen=True, gc=False):
    """
    A cut-off of one user.

    Args:
        at: A sign-in from before is over.
        until: How long the cut-off stays.
        spared: The times that count for the sessions which it spared, by handle.
    """

    at: Time
    until: Time
    spared: dict[str, float] = {}


class Revocations(Hidden, msgspec.Struct, frozen=True):
    """The sign-ins that are over, of the users of one record, or of several."""

    handles: dict[str, float] = {}
    cuts: dict[str, Cut] = {}

    def is_over(self, roster: str, handle: str, signed_in_at: float) -> bool:
        """
        Tell whether a sign-in is over.

        Args:
            roster: The digest of the user's roster.
        """
        if handle in self.handles:
            return True
        cut = self.cuts.get(roster)
        return cut is not None and self.since(roster, handle, signed_in_at) < cut.at

    def since(self, roster: str, handle: str, signed_in_at: float) -> float:
        """Return the time of a sign-in that a cut-off is compared with."""
        cut = self.cuts.get(roster)
        return signed_in_at if cut is None else cut.spared.get(handle, signed_in_at)


class _Kept(Hidden, msgspec.Struct, array_like=True, gc=False):
    tag: bytes
    expires: Time
    handles: dict[str, Time]
    cuts: dict[str, Cut]


NONE = Revocations()


def digests_of(owner: bytes) -> tuple[str, ...]:
    """Return the digests that end the keys of a cookie's records, in their order."""
    return tuple(
        sha256(owner + b" revocations" + bytes([place])).hexdigest() for place in range(COUNT)
    )


def place_of(roster: str) -> int:
    """Return which of the records is that of a user, by the digest of the roster."""
    return int(roster[:2], 16)


def pack_revocations(found: Revocations, tag: bytes, now: float) -> tuple[bytes, float]:
    """
    Return the bytes to keep, without what expired, and the seconds for which they stay.

    Raises:
        RecordTooLarge: They are more than a record may have.
    """
    handles = {handle: until for handle, until in found.handles.items() if until > now}
    cuts = {roster: cut for roster, cut in found.cuts.items() if cut.until > now}
    ends = [*handles.values(), *(cut.until for cut in cuts.values()), now]
    data = _KIND + _encoder.encode(_Kept(tag, max(ends), handles, cuts))
    if len(data) > LIMIT:
        raise RecordTooLarge(len(data), LIMIT)
    return data, max(ends) - now + GRACE


def unpack_revocations(data: bytes, key: str) -> Revocations:
    """
    Return what `pack_revocations` made *data* from; damaged bytes tell nothing, with a warning.

    Raises:
        WrongKey: It is the record of another key.
    """
    try:
        if data[:1] != _KIND:
            raise Unreadable("a record holds no revocations")
        kept = _decoder.decode(data[1:])
    except CORRUPT:
        _logger.warning("a record of revocations is damaged: sign-outs of some users are lost")
        return NONE
    if kept.tag != tag_of(key):
        raise WrongKey("a record of revocations carries the tag of another key")
    return Revocations(kept.handles, kept.cuts)


def is_list(data: bytes) -> bool:
    """Tell whether a record is a roster, or says which sign-ins are over: it is no session."""
    return data[:1] in (ROSTER, _KIND)


def revoked(found: Revocations, handles: Mapping[str, float]) -> Revocations:
    """Return the revocations with these handles, and until when each stays."""
    if all(found.handles.get(handle, 0.0) >= until for handle, until in handles.items()):
        return found
    merged = {**found.handles}
    for handle, until in handles.items():
        merged[handle] = max(until, merged.get(handle, 0.0))
    return msgspec.structs.replace(found, handles=merged)


def is_crowded(found: Revocations) -> bool:
    """Tell whether a cut-off of a user is to take the place of further handles."""
    return len(found.handles) >= CROWDED


def cut(
    found: Revocations, roster: str, at: float, until: float, spare: Collection[str]
) -> Revocations:
    """Return the revocations with a cut-off of one user, which spares these handles."""
    before = found.cuts.get(roster, Cut(0.0, 0.0))
    at = max(before.at, at)
    newer = Cut(at, max(before.until, until), dict.fromkeys(spare, at))
    return msgspec.structs.replace(found, cuts={**found.cuts, roster: newer})


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)
