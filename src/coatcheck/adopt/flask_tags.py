"""
Flask's tagged JSON: what JSON cannot hold is a dict of one key that begins with a space.

    {" t": [1, 2]}        the tuple (1, 2)
    {" b": "AP8="}        bytes, as base64
    {" u": "1234…"}       a UUID, as 32 hexadecimal digits
    {" d": "Fri, 02 …"}   a time, as an HTTP date
    {" m": "<b>"}         markup
    {" di": {" t__": 1}}  a real dict that looks like a tag: {" t": 1}

A tag whose value is of another type is refused.

Pure: values in, values out.

Source: https://github.com/pallets/flask/blob/main/src/flask/json/tag.py
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from coatcheck.adopt.refused import Refused
from coatcheck.adopt.texts import from_base64


def untagged(value: Any) -> Any:
    """Return what tagged JSON stands for, each dict untagged once, from the inside out."""
    if isinstance(value, list):
        return [untagged(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: untagged(each) for key, each in value.items()}
    if len(inner) != 1:
        return inner
    ((tag, given),) = inner.items()
    return _TAGS[tag](given) if tag in _TAGS else inner


def _of(kind: type, given: Any) -> Any:
    if type(given) is not kind:
        raise Refused("damaged")
    return given


def _dict(given: Any) -> dict[str, Any]:
    ((key, value),) = _of(dict, given).items()
    return {key.removesuffix("__"): value}


def _time(given: Any) -> datetime:
    found = parsedate_to_datetime(_of(str, given))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_TAGS: dict[str, Callable[[Any], Any]] = {
    " di": _dict,
    " t": lambda given: tuple(_of(list, given)),
    " b": lambda given: from_base64(_of(str, given)),
    " u": lambda given: UUID(hex=_of(str, given)),
    " d": _time,
    " m": lambda given: _of(str, given),
}
