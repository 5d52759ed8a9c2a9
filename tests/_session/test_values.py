"""What a session may hold."""

from collections import OrderedDict, defaultdict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import UnstorableValue
from coatcheck._session.values import Encoded, decode, encode

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


class Text(str):
    """As template engines have it for text that is safe in HTML."""

    __slots__ = ()


class Data(bytes):
    """Bytes of somebody's own."""

    __slots__ = ()


class Number(float):
    """A float of somebody's own."""

    __slots__ = ()


class Moment(datetime):
    """A datetime that would come back as less than it was."""


class Colour(IntEnum):
    RED = 1


class Size(StrEnum):
    SMALL = "s"


@given(value=values)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    """Equal, and of the same type, all the way down."""
    back = decode(encode("key", value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, (2,)), [1, [2]]),
        (Text("a"), "a"),
        (Data(b"a"), b"a"),
        (Number(1.5), 1.5),
        (Colour.RED, 1),
        (Size.SMALL, "s"),
        ({Size.SMALL: 1}, {"s": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
    ],
)
def test_a_subclass_comes_back_as_its_base(value: object, back: object) -> None:
    """A tuple becomes a list, and what is more than its base becomes that base."""
    found = decode(encode("key", value))
    assert found == back
    assert type(found) is type(back)


def test_a_moment_comes_back_as_the_same_moment() -> None:
    """An aware datetime keeps its instant, in UTC."""
    moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert decode(encode("key", moment)) == moment


def endless() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def deep() -> object:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        Decimal(1),
        date(2026, 1, 1),
        datetime(2026, 1, 1),  # noqa: DTZ001 - that is the point
        timedelta(1),
        UUID(int=1),
        bytearray(b"a"),
        1j,
        2**64,
        -(2**63) - 1,
        "\ud800",
        {1: "a"},
        {b"a": "a"},
        [{"a": [object()]}],
        ({"a": ({1},)},),
        lambda: None,
        endless(),
        Moment(2026, 1, 1, tzinfo=UTC),
    ],
)
def test_what_would_not_come_back_is_refused(value: object) -> None:
    """The error names the key, and carries it."""
    with pytest.raises(UnstorableValue, match="'key'") as raised:
        encode("key", value)
    assert raised.value.key == "key"
    assert raised.value.reason


def test_what_is_nested_too_deeply_is_refused() -> None:
    """A value that no reader could unpack is not written."""
    with pytest.raises(UnstorableValue):
        encode("key", deep())


def test_the_message_holds_nothing_of_the_value() -> None:
    """Errors end up in logs."""
    with pytest.raises(UnstorableValue) as raised:
        encode("key", {"password": {"hunter2"}})
    assert "hunter2" not in str(raised.value)


def test_a_key_is_text() -> None:
    """Another key is a mistake of the caller's."""
    with pytest.raises(TypeError, match="int"):
        encode(1, "value")  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\xa5ab", b"\xa1\xff", b"\x91" * 200_000])
def test_a_damaged_value_counts_as_absent(damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is a KeyError, as if it had never been there, and a warning."""
    with pytest.raises(KeyError):
        decode(Encoded(damage))
    assert "damaged" in caplog.text
