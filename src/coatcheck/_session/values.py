"""
The values that a session may hold, to and from MessagePack.

A value comes back as what it was. So a set, a Decimal or a naive datetime is refused rather than
turned into something else; only a tuple comes back as a list, and a subclass as its base: an
IntEnum as an int, Markup as plain text, which a template escapes again, a datetime of another
library as a datetime in UTC. A mapping that is no dict, or shows other items than a dict would,
such as a MultiDict, is refused.

Pure: values in, bytes out.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from coatcheck.errors import UnstorableValue

Encoded = msgspec.Raw
"""One value as MessagePack. Two of them are equal if their bytes are."""

CORRUPT = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError)
"""The errors of reading damaged bytes."""

_logger = logging.getLogger("coatcheck")

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})

_CONTAINERS = frozenset({dict, list})

_SEVERAL = ("getlist", "getall")
"""The method that returns all values of a key, in mappings with several values for one."""

_HOLDS = "it is or holds a"

_NAIVE = "a datetime in it has no time zone (write datetime.now(UTC))"

_SURROGATE = "a lone surrogate, which is no valid text"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""A datetime that is of no subclass, also while a test replaces the class `datetime` itself."""


def encode(key: str, value: object) -> Encoded:
    """
    Return *value* as MessagePack.

    Raises:
        TypeError: *key* is no text.
        UnstorableValue: It, or something inside it, would not come back as it is; names *key*. Or
            *key* holds what no UTF-8 can spell.
    """
    if not isinstance(key, str):
        raise TypeError(f"a session has str keys, not {type(key).__name__}")
    if not (key.isascii() or _is_text(key)):
        raise UnstorableValue(key, f"its key holds {_SURROGATE}", takes="")
    reason = None if type(value) in _SCALARS else _reason(value)
    if reason is None:
        try:
            return Encoded(_encoder.encode(value))
        except UnicodeEncodeError:
            reason = f"a text in it holds {_SURROGATE}"  # the error itself carries the text
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason = str(error)
    reason = _placed(reason, value)
    value = None  # reporters of errors print the locals of this frame
    raise UnstorableValue(key, reason)


def decode(encoded: Encoded) -> Any:
    """
    Return a new copy of the value: changing it changes nothing else.

    Raises:
        KeyError: The bytes are damaged, or hold what `encode` would refuse, such as a key that is
            no text; the value counts as absent, and a warning is logged.
    """
    try:
        value = _decoder.decode(encoded)
        if type(value) in _CONTAINERS:
            _check_names(value)
    except CORRUPT as damage:
        _logger.warning("a value in a session is damaged and counts as absent")
        raise KeyError("damaged") from damage
    return value


def _check_names(value: Any) -> None:
    """
    Check the keys of the dicts in a value.

    Raises:
        ValueError: One is no text.
    """
    inner = value
    if type(value) is dict:
        if not all(type(name) is str for name in value):
            raise ValueError("a key in it is no text")
        inner = value.values()
    for each in inner:
        if type(each) in _CONTAINERS:
            _check_names(each)


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(value: object) -> str | None:
    """Return why a value is refused which MessagePack would quietly turn into something else."""
    try:
        return _objection(value)
    except RecursionError:
        return "it contains itself, or is nested too deeply"


def _objection(value: object) -> str | None:
    if isinstance(value, int | float | str | bytes | None):
        return None
    if isinstance(value, dict):
        return _objection_to_dict(value)
    if isinstance(value, list | tuple):
        return next(filter(None, map(_objection, value)), None)
    if isinstance(value, datetime):
        return _NAIVE if value.utcoffset() is None else None
    if isinstance(value, Mapping):
        return _objection_to_mapping(value)
    return f"{_HOLDS} {type(value).__name__}"


def _placed(reason: str, value: object) -> str:
    """Return an objection with the place, inside the value, of the first part that is refused."""
    try:
        part, path = _stranger(value, "", _objection if _objection(value) else _is_unwritable)
    except RecursionError:
        return reason
    if not reason.startswith(_HOLDS) or "," in reason:
        return f"at {path}: {reason}" if path else reason
    kind = type(part).__name__
    place = f"the part at {path} is of type" if path else "it is of type"
    hint = _INSTEAD.get(kind)
    return f"{place} {kind}" + (f" (write {hint})" if hint else "")


def _stranger(value: object, path: str, refuses: Callable[[object], object]) -> tuple[object, str]:
    """Return the first part that is refused, and the way to it."""
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        inner = dict.items(value)
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for name, part in inner:
        if refuses(part):
            plain = isinstance(name, int) or (isinstance(name, str) and _NAME.fullmatch(name))
            return _stranger(part, f"{path}[{name!r}]" if plain else f"{path}[…]", refuses)
    return value, path


def _is_unwritable(part: object) -> bool:
    """Tell whether MessagePack has no form of a part: a large int, a text with half a character."""
    try:
        _encoder.encode(part)
    except (TypeError, ValueError, OverflowError):  # a UnicodeEncodeError is a ValueError
        return True
    return False


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
"""Keys that an error may show: any other one may be what a visitor typed."""

_INSTEAD = {
    "set": "list(value)",
    "frozenset": "list(value)",
    "Decimal": "str(value)",
    "date": "value.isoformat()",
    "time": "value.isoformat()",
    "timedelta": "value.total_seconds()",
    "UUID": "str(value)",
    "PosixPath": "str(value)",
}
"""The replacement to suggest for a type that a session refuses, by its name."""


def _objection_to_dict(value: dict[Any, Any]) -> str | None:
    for name in dict.keys(value):
        if not isinstance(name, str):
            return f"a dict in it has a key of type {type(name).__name__} (write str(key))"
    inside = next(filter(None, map(_objection, dict.values(value))), None)
    if inside or type(value) is dict:
        return inside
    return _objection_to_mapping(value)


def _objection_to_mapping(value: Mapping[Any, Any]) -> str | None:
    """Return what is wrong with a mapping that is not exactly a dict, and what to keep instead."""
    kind = type(value).__name__
    several = next((name for name in _SEVERAL if hasattr(value, name)), None)
    if several:
        lists = f"{{key: form.{several}(key) for key in form}}"
        return f"it is or holds a {kind}, which has several values for a key: keep {lists}"
    # What it shows, and what would be written:
    if isinstance(value, dict) and dict(value.items()) == dict(dict.items(value)):
        return None
    return f"it is or holds a {kind}, which is no dict: keep dict() of it"


def _base_of(value: object) -> object:
    """Return a value of a subclass, as template engines and test tools make them, as its base."""
    if isinstance(value, datetime):
        return _base_of_datetime(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes.__getitem__(value, slice(None))
    return float.__float__(cast("float", value))  # no other kind gets this far


def _base_of_datetime(value: datetime) -> datetime:
    return _EPOCH.replace(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        fold=value.fold,
    )


def _refuse_extension(code: int, _: memoryview) -> Any:
    raise ValueError(f"an extension type of MessagePack, {code}, is no value of a session")


_encoder = msgspec.msgpack.Encoder(enc_hook=_base_of)
_decoder = msgspec.msgpack.Decoder(ext_hook=_refuse_extension)
