"""The replayable log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._session.changes import Change, Clear, Consume, Flash, Set, Unset, Update
from coatcheck._session.record import Contents
from coatcheck._session.values import Encoded, decode, encode

keys = st.sampled_from(["a", "b", "c"])
encoded = st.integers(0, 3).map(lambda number: encode("key", number))
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Set, keys, encoded),
    st.builds(Unset, keys),
    st.builds(Clear),
    st.builds(Flash, keys, encoded),
    st.builds(Consume, keys, encoded),
    st.builds(lambda key: Update(key, lambda n: n + 1, encode(key, 0)), keys),
)


def plain(held: dict[str, Encoded]) -> dict[str, object]:
    return {key: decode(value) for key, value in held.items()}


def model(log: list[Change], values: dict[str, object], flashes: dict[str, object]) -> None:
    """What each change means, said with plain dicts."""
    for change in log:
        match change:
            case Set(key, value):
                values[key] = decode(value)
            case Unset(key):
                values.pop(key, None)
                flashes.pop(key, None)
            case Clear():
                values.clear()
                flashes.clear()
            case Flash(key, value):
                flashes[key] = decode(value)
            case Consume(key, value) if flashes.get(key, object()) == decode(value):
                del flashes[key]
            case Update(key, function, default):
                values[key] = function(values.get(key, decode(default)))


@given(log=st.lists(changes))
def test_a_log_means_what_its_steps_mean(log: list[Change]) -> None:
    """Replayed in order, on contents that somebody else wrote."""
    contents = Contents(values={"a": encode("a", 9)}, flashes={"b": encode("b", 8)})
    values: dict[str, object] = {"a": 9}
    flashes: dict[str, object] = {"b": 8}
    for change in log:
        change.replay(contents)
    model(log, values, flashes)
    assert (plain(contents.values), plain(contents.flashes)) == (values, flashes)


def test_reading_a_flash_leaves_a_newer_one() -> None:
    """Only the flash that was shown goes."""
    contents = Contents(flashes={"notice": encode("notice", "newer")})
    Consume("notice", encode("notice", "shown")).replay(contents)
    assert plain(contents.flashes) == {"notice": "newer"}


def test_an_update_gets_a_value_of_its_own() -> None:
    """A function that changes its argument in place changes nothing else, however often it runs."""
    default = encode("cart", [])
    add = Update("cart", lambda cart: [*cart, 7] if cart.append(7) is None else cart, default)
    first, second = Contents(), Contents()
    add.replay(first)
    add.replay(second)
    assert plain(first.values) == plain(second.values) == {"cart": [7, 7]}


def test_an_update_of_a_damaged_value_starts_from_the_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A value that cannot be read counts as absent."""
    contents = Contents(values={"n": Encoded(b"\xc1")})
    Update("n", lambda n: n + 1, encode("n", 0)).replay(contents)
    assert plain(contents.values) == {"n": 1}
    assert "damaged" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        Set("key", encode("key", "hunter2")),
        Flash("key", encode("key", "hunter2")),
        Consume("key", encode("key", "hunter2")),
        Update("key", lambda n: n, encode("key", "hunter2")),
    ],
)
def test_a_repr_shows_no_value(change: Change) -> None:
    """A log of changes may end up in another log."""
    assert "hunter2" not in repr(change)
    assert change.name
