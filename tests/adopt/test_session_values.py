"""Values of other packages become values of a session, or are refused."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from coatcheck._session.record import LIMIT
from coatcheck.adopt.refused import Refused
from coatcheck.adopt.session_values import session_values


def reason(found: Any) -> str:
    """Return why values are refused."""
    with pytest.raises(Refused) as refused:
        session_values(found)
    return refused.value.reason


def test_each_type_becomes_what_the_page_says() -> None:
    """Tuples are lists, a UUID and a date their text; a datetime that knows its zone stays."""
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    found = {"t": (1, (2,)), "u": uuid, "d": date(2026, 1, 2), "at": at, "in": {"t": ()}, "b": b"x"}
    assert session_values(found) == {
        "t": [1, [2]], "u": str(uuid), "d": "2026-01-02", "at": at, "in": {"t": []}, "b": b"x",
    }  # fmt: skip


def test_a_subclass_of_str_becomes_its_text() -> None:
    """Such as Markup."""

    class Markup(str):
        __slots__ = ()

    assert type(session_values({"m": Markup("<b>")})["m"]) is str


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, "\ud800", {1: 2}, datetime(2026, 1, 2), {1, 2}, object()]  # noqa: DTZ001
)  # fmt: skip
def test_what_no_session_holds_is_refused(value: Any) -> None:
    """Integers beyond 64 bits, lone surrogates, keys that are no text, datetimes without a zone."""
    assert reason({"x": value}) == "unsupported"
    assert reason({"x": [value]}) == "unsupported"


def test_keys_are_texts() -> None:
    """At the top and inside."""
    assert reason({1: 2}) == "unsupported"
    assert reason({"\ud800": 2}) == "unsupported"


def test_a_value_that_holds_itself_is_refused() -> None:
    """A pickle may say so."""
    loop: list[Any] = []
    loop.append(loop)
    assert reason({"x": loop}) == "unsupported"


def test_parts_that_repeat_cannot_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes of a pickle could stand for a million parts, or for a long text many times."""
    assert LIMIT == 1_000_000
    monkeypatch.setattr("coatcheck.adopt.session_values.LIMIT", LIMIT // 100)
    value: list[Any] = []
    for _ in range(40):
        value = [value, value]
    assert reason({"x": value}) == "too_large"
    text = "x" * 6000
    assert reason({"x": [text, text]}) == "too_large"
    assert reason({"x": [2**40] * 2000}) == "too_large"
