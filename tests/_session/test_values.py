"""What a session may hold."""

import datetime as frozen
from collections import Counter, OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, IntFlag, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from multidict import CIMultiDict
from starlette.datastructures import QueryParams
from werkzeug.datastructures import MultiDict

from coatcheck import Session, UnstorableValue
from coatcheck._session.values import Encoded, decode, encode
from coatcheck.storage import MemoryStorage

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
    """A datetime of somebody's own, as freezegun and pendulum make them."""


class Count(int):
    """An int of somebody's own."""

    __slots__ = ()


class Flags(IntFlag):
    READ = 1
    WRITE = 2


class Lists(dict[str, Any]):
    """A dict that shows the last of several values, as Django's QueryDict does."""

    def items(self) -> Any:
        return [(name, values[-1]) for name, values in super().items()]


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
        (Count(7), 7),
        (Flags.READ | Flags.WRITE, 3),
        ([{"n": Count(7)}], [{"n": 7}]),
        (Moment(2026, 1, 1, 12, 30, 5, 7, tzinfo=UTC), datetime(2026, 1, 1, 12, 30, 5, 7, UTC)),
        (Markup("<b>a</b>"), "<b>a</b>"),
        (Counter("aab"), {"a": 2, "b": 1}),
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
        {None: "a"},
        {"a": 1, None: "a"},
        [{"a": [object()]}],
        ({"a": ({1},)},),
        lambda: None,
        endless(),
        Moment(2026, 1, 1),
        Count(2**64),
        {"a": ["\ud800"]},
        {"\udcff": 1},
        Lists(a=["1", "2"]),
        [Lists(a=["1"])],
        MultiDict([("a", "1"), ("a", "2")]),
        MultiDict([("a", "1")]),
    ],
)
def test_what_would_not_come_back_is_refused(value: object) -> None:
    """The error names the key, and carries it."""
    with pytest.raises(UnstorableValue, match="'key'") as raised:
        encode("key", value)
    assert raised.value.key == "key"
    assert raised.value.reason


@pytest.mark.parametrize(
    ("form", "advice"),
    [
        (MultiDict([("a", "1"), ("a", "2")]), "{key: form.getlist(key) for key in form}"),
        (MultiDict(), "{key: form.getlist(key) for key in form}"),
        (QueryParams("a=1&a=2"), "{key: form.getlist(key) for key in form}"),
        (CIMultiDict(a="1"), "{key: form.getall(key) for key in form}"),
        (MappingProxyType({"a": 1}), "dict()"),
        (UserDict(a=1), "dict()"),
    ],
)
def test_a_mapping_that_is_no_dict_is_refused_with_what_to_keep_instead(
    form: Mapping[str, Any], advice: str
) -> None:
    """Also while it is empty: it would be refused once it holds something, at another line."""
    for value in (form, [form], {"form": form}):
        with pytest.raises(UnstorableValue) as raised:
            encode("key", value)
        assert f"keep {advice}" in raised.value.reason
        assert type(form).__name__ in raised.value.reason


def test_what_is_nested_too_deeply_is_refused() -> None:
    """A value that no reader could unpack is not written."""
    with pytest.raises(UnstorableValue):
        encode("key", deep())


def test_a_key_may_be_any_text() -> None:
    """Also one that is not ASCII."""
    session = Session()
    session["ключ"] = 1
    assert session["ключ"] == 1


def test_the_message_holds_nothing_of_the_value() -> None:
    """Errors end up in logs."""
    with pytest.raises(UnstorableValue) as raised:
        encode("key", {"password": {"hunter2"}})
    assert "hunter2" not in str(raised.value)


def test_no_error_in_the_chain_carries_the_value() -> None:
    """What Python raises for a lone surrogate has the whole text in its arguments."""
    with pytest.raises(UnstorableValue, match="a text in it holds a lone surrogate") as raised:
        encode("key", "hunter2\ud800")
    error: BaseException | None = raised.value
    while error:
        assert "hunter2" not in repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("key", ["\ud800", "é\udfff", "\udcff" * 100])
def test_a_key_that_is_no_valid_text_is_refused_at_the_line_that_writes_it(key: str) -> None:
    """No record could hold it, so the error is raised where the handler can see why."""
    session = Session()
    writes: list[Callable[[], object]] = [
        lambda: session.set(key, 1),
        lambda: session.__setitem__(key, 1),
        lambda: session.setdefault(key, 1),
        lambda: session.update({key: 1}),
        lambda: session.flash(key, 1),
        lambda: session.apply(key, lambda n: n + 1, default=0),
        lambda: Session({key: 1}),
    ]
    for write in writes:
        with pytest.raises(UnstorableValue, match=r"its key holds a lone surrogate, .* text$"):
            write()
    assert len(session) == 0


def test_a_datetime_of_freezegun_is_kept() -> None:
    """It is of a subclass, and takes the place of `datetime` in every module meanwhile."""
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    storage = MemoryStorage()
    session = storage.read(None)
    with freeze_time(moment):
        session["at"] = frozen.datetime.now(UTC)
        assert type(session["at"]) is not type(moment)
        value = storage.save(session)
    found = storage.read(value)["at"]
    assert found == moment
    assert type(found) is datetime


@pytest.mark.parametrize(
    "foreign",
    [
        msgspec.msgpack.Ext(5, b"x"),
        [msgspec.msgpack.Ext(-5, b"x")],
        {1: "a"},
        {"a": [{"b": {b"c": 1}}]},
        {None: 1},
        {(1, 2): 1},
    ],
)
def test_what_no_session_writes_counts_as_damaged_when_it_is_read(
    foreign: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at a later save, which would fail for each request of this visitor."""
    storage = MemoryStorage()
    session = Session({"a": 1})
    session._draft.contents.values["foreign"] = Encoded(msgspec.msgpack.encode(foreign))
    session.set("b", 2)
    value = storage.save(session)
    found = storage.read(value)
    assert found.get("foreign") is None
    assert "damaged" in caplog.text
    found["a"] += 1
    storage.save(found)
    assert storage.read(value)["a"] == 2


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
