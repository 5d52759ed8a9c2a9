"""
What a session may hold: a value ⇄ MessagePack.

A value comes back as what it was. So a set, a Decimal or a naive datetime is refused rather than
turned into something else; only a tuple comes back as a list, and a subclass as its base.

Pure: values in, bytes out.
"""

import logging
from datetime import datetime
from typing import Any

import msgspec

from coatcheck.errors import UnstorableValue

Encoded = msgspec.Raw
"""One value as MessagePack. Two of them are equal if their bytes are."""

CORRUPT = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError)
"""What reading damaged bytes can raise."""

_logger = logging.getLogger("coatcheck")

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})


def encode(key: str, value: object) -> Encoded:
    """
    Return *value* as MessagePack.

    Raises:
        TypeError: *key* is no text.
        UnstorableValue: It, or something inside it, would not come back as it is; names *key*.
    """
    if not isinstance(key, str):
        raise TypeError(f"a session has str keys, not {type(key).__name__}")
    if type(value) not in _SCALARS:
        _check(key, value)
    try:
        return Encoded(_encoder.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnstorableValue(key, str(error)) from error


def decode(encoded: Encoded) -> Any:
    """
    Return the value, made anew: changing it changes nothing else.

    Raises:
        KeyError: The bytes are damaged, and the value counts as absent; a warning is logged.
    """
    try:
        return _decoder.decode(encoded)
    except CORRUPT as damage:
        _logger.warning("a value in a session is damaged and counts as absent")
        raise KeyError("damaged") from damage


def _check(key: str, value: object) -> None:
    """Refuse what MessagePack would quietly turn into something else."""
    try:
        reason = _objection(value)
    except RecursionError:
        reason = "it contains itself, or is nested too deeply"
    if reason:
        raise UnstorableValue(key, reason)


def _objection(value: object) -> str | None:
    if isinstance(value, int | float | str | bytes | None):
        return None
    if isinstance(value, dict):
        strange = next((name for name in value if not isinstance(name, str)), None)
        if strange is not None:
            return f"a dict in it has a key of type {type(strange).__name__}"
        return next(filter(None, map(_objection, value.values())), None)
    if isinstance(value, list | tuple):
        return next(filter(None, map(_objection, value)), None)
    if isinstance(value, datetime):
        return "a datetime in it has no time zone" if value.utcoffset() is None else None
    return f"it is or holds a {type(value).__name__}"


def _base_of(value: object) -> object:
    """Return a str, bytes or float of a subclass, as template engines make them, as its base."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes.__getitem__(value, slice(None))
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"a {type(value).__name__} is no value of a session")


_encoder = msgspec.msgpack.Encoder(enc_hook=_base_of)
_decoder = msgspec.msgpack.Decoder()
