"""
A session that is bound to a device: the state in its record, and what changes that.

    offered ── registered ──▶ bound ── refreshed ──▶ bound …

A sign-in offers: the browser is told a challenge, makes a key, and signs. The first signature binds
the session to that key. From then on each refresh signs the next challenge. A challenge counts
once. Because two tabs may refresh at once, or an answer may be lost, the previous one counts for
one more proof, which must be another one than that which used it first.

The binding has an id of its own, so every change of the session's id keeps it. Only a sign-in makes
another one.

Pure: values in, values out; *now* is an argument. The only thing from outside is the generator of
ids and challenges.

Source: W3C Device Bound Session Credentials.
"""

import hashlib
import logging
from collections.abc import Callable
from secrets import token_urlsafe
from typing import Literal

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.record import UNBOUND, Contents, Time
from coatcheck._session.values import CORRUPT, Encoded

_logger = logging.getLogger("coatcheck")

UNDER_WAY = 30.0
"""Seconds after a registration in which a request without a proof is served: it was under way."""

OFFER = 300.0
"""Seconds in which an offer can be taken: a browser takes it at once or not at all."""

Refusal = Literal["not offered", "authorization", "challenge", "another key"]
"""
Why a proof whose signature holds changes nothing: no registration is offered, or no longer; it was
made for another offer; its challenge is unknown, stale, or used; the binding has another key.
"""


class Binding(Hidden, msgspec.Struct, array_like=True, frozen=True, gc=False):
    """
    The binding of a session to a device.

    Args:
        id: What the browser calls the binding; random.
        challenge: The challenge to sign next.
        at: When the binding was offered; once there is a key, when that was registered.
        key: The public key, as SubjectPublicKeyInfo in DER; b"": it is only offered.
        until: When the newest bound cookie ends.
        previous: A challenge that counts for one more proof; "": none.
        used: The digest of the mark of the proof that used it first.
    """

    id: str
    challenge: str
    at: Time
    key: bytes = b""
    until: Time = 0.0
    previous: str = ""
    used: bytes = b""


def offered(now: float) -> Encoded:
    """Return what the record of a session that somebody signs in to holds."""
    return _packed(Binding(token_urlsafe(16), token_urlsafe(16), now))


def binding_of(contents: Contents) -> Binding | None:
    """
    Return the binding of a session, offered or registered; None: it has none.

    A damaged one comes back as one that no proof fits.
    """
    if contents.bound == UNBOUND:
        return None
    try:
        return _decoder.decode(contents.bound)
    except CORRUPT:
        _logger.warning("the binding of a session to a device is damaged: no proof fits it")
        return _DAMAGED


def registered(
    there: Binding, key: bytes, challenge: str, authorization: str, *, now: float, every: float
) -> Binding | Refusal:
    """Return the binding after a registration, or why there is none."""
    if there.key or not now < there.at + OFFER:
        return "not offered"
    if authorization != there.id:
        return "authorization"
    if challenge != there.challenge:
        return "challenge"
    return Binding(there.id, token_urlsafe(16), now, key, now + every)


def refreshed(
    there: Binding, key: bytes, challenge: str, mark: str, *, now: float, every: float
) -> Binding | Refusal:
    """
    Return the binding after a refresh, or why there is none.

    Args:
        mark: Tells the proof from every other one, see `mark_of`.
    """
    if there.key != key:
        return "another key"
    until, proof = now + every, hashlib.sha256(mark.encode()).digest()[:16]
    if challenge == there.challenge:
        return msgspec.structs.replace(
            there, challenge=token_urlsafe(16), until=until, previous=challenge, used=proof
        )
    if challenge and challenge == there.previous and proof != there.used:
        return msgspec.structs.replace(there, until=until, previous="", used=b"")
    return "challenge"


class Rebind(Hidden, msgspec.Struct):
    """
    The step of a session's log that changes its binding: decided again on what is there.

    Args:
        id: Of the binding that it changes.
        decide: Returns the next binding, or why there is none.
        result: What it returned last.
    """

    id: str
    decide: Callable[[Binding], Binding | Refusal]
    result: Binding | Refusal = "not offered"
    name = "a refresh of the binding"

    def replay(self, contents: Contents) -> bool:
        there = binding_of(contents)
        self.result = "not offered"
        if there is not None and there.id == self.id:
            self.result = self.decide(there)
        if isinstance(self.result, Binding):
            contents.bound = _packed(self.result)
        return True


def _packed(binding: Binding) -> Encoded:
    return Encoded(_encoder.encode(binding))


_DAMAGED = Binding("", "", 0.0, b"damaged")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Binding)
