"""Models with what a session cannot hold as it is: sets, numbers, dates, names, other models."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypedDict
from uuid import UUID

import msgspec
from pydantic import BaseModel


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class PlainLine:
    name: str = ""
    sizes: list[Size] = field(default_factory=list)


class PackedLine(msgspec.Struct):
    name: str = ""
    sizes: list[Size] = []


class KeysLine(TypedDict):
    name: str
    sizes: list[Size]


class CheckedLine(BaseModel):
    name: str = ""
    sizes: list[Size] = []


@dataclass
class Plain:
    seen: set[int] = field(default_factory=set)
    price: Decimal = Decimal(0)
    token: UUID | None = None
    born: date | None = None
    at: datetime | None = None
    waits: timedelta | None = None
    raw: bytes = b""
    share: float = 0.0
    by_number: dict[int, str] = field(default_factory=dict)
    size: Size = Size.SMALL
    pair: tuple[int, str] = (0, "")
    lines: list[PlainLine] = field(default_factory=list)


class Packed(msgspec.Struct):
    seen: set[int] = set()
    price: Decimal = Decimal(0)
    token: UUID | None = None
    born: date | None = None
    at: datetime | None = None
    waits: timedelta | None = None
    raw: bytes = b""
    share: float = 0.0
    by_number: dict[int, str] = {}
    size: Size = Size.SMALL
    pair: tuple[int, str] = (0, "")
    lines: list[PackedLine] = []


class Keys(TypedDict, total=False):
    seen: set[int]
    price: Decimal
    token: UUID | None
    born: date | None
    at: datetime | None
    waits: timedelta | None
    raw: bytes
    share: float
    by_number: dict[int, str]
    size: Size
    pair: tuple[int, str]
    lines: list[KeysLine]


class Checked(BaseModel):
    seen: set[int] = set()
    price: Decimal = Decimal(0)
    token: UUID | None = None
    born: date | None = None
    at: datetime | None = None
    waits: timedelta | None = None
    raw: bytes = b""
    share: float = 0.0
    by_number: dict[int, str] = {}
    size: Size = Size.SMALL
    pair: tuple[int, str] = (0, "")
    lines: list[CheckedLine] = []


LINES: dict[type[Any], type[Any]] = {
    Plain: PlainLine,
    Packed: PackedLine,
    Keys: KeysLine,
    Checked: CheckedLine,
}

VALUES: dict[str, Any] = {
    "seen": {3, 1, 2},
    "price": Decimal("9.90"),
    "token": UUID("0123456789abcdef0123456789abcdef"),
    "born": date(1815, 12, 10),
    "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "waits": timedelta(days=1, seconds=2, microseconds=3),
    "raw": b"\x00\xff",
    "share": 0.1,
    "by_number": {7: "seven"},
    "size": Size.LARGE,
    "pair": (1, "one"),
}
