"""
Values of another package, as a session of ours holds them.

    tuple                a list
    UUID                 its text: "12345678-1234-5678-1234-567812345678"
    date                 its text: "2026-01-02"
    aware datetime       a datetime, as it is
    Markup               its text: a template escapes it again
    everything else      as it is, or the session is refused

Refused are integers beyond 64 bits, lone surrogates, keys that are no texts, and a naive datetime,
because nothing tells which time zone it is of. What is visited is counted, so that a small record
whose parts repeat each other cannot become a large one.

Pure: values in, values out.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from coatcheck._session.record import LIMIT
from coatcheck._session.values import encode
from coatcheck.adopt.refused import Refused
from coatcheck.errors import UnstorableValue

DEEPEST = 64


def session_values(found: Mapping[Any, Any]) -> dict[str, Any]:
    """
    Return the values of another package as a session holds them.

    Raises:
        Refused: A session cannot hold one of them.
    """
    room = _Room()
    values: dict[str, Any] = room.of_dict(found, 0)
    try:
        size = sum(len(encode(key, value)) for key, value in values.items())
    except UnstorableValue:
        raise Refused("unsupported") from None
    if size > LIMIT:
        raise Refused("too_large")
    return values


class _Room:
    """Counts the characters and parts of one session."""

    def __init__(self) -> None:
        self._left = LIMIT

    def of_dict(self, found: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        if not all(isinstance(key, str) for key in found):
            raise Refused("unsupported")
        return {self.of(key, depth): self.of(value, depth + 1) for key, value in found.items()}

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1 + (len(value) if isinstance(value, str | bytes) else 0)
        if self._left < 0:
            raise Refused("too_large")
        if depth > DEEPEST:
            raise Refused("unsupported")
        if isinstance(value, dict):
            return self.of_dict(value, depth)
        if isinstance(value, list | tuple):
            return [self.of(each, depth + 1) for each in value]
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, str):
            return str.__str__(value)
        return value
