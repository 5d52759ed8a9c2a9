"""The replayable log, and what becomes of lists and dicts that were changed in place."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import Session
from coatcheck._session.changes import (
    Append,
    Apply,
    Change,
    Clear,
    Consume,
    Flash,
    Replace,
    Set,
    SetDefault,
    Unset,
    Update,
    change_in_place,
    empty_like,
)
from coatcheck._session.record import Contents
from coatcheck._session.values import Encoded, decode, encode
from coatcheck.storage import MemoryStorage

keys = st.sampled_from(["a", "b", "c"])
encoded = st.integers(0, 3).map(lambda number: encode("key", number))
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Set, keys, encoded),
    st.builds(SetDefault, keys, encoded),
    st.builds(Unset, keys),
    st.builds(Clear),
    st.builds(Flash, keys, encoded),
    st.builds(Consume, keys, encoded),
    st.builds(lambda key: Apply(key, lambda n: n + 1, encode(key, 0)), keys),
)


def plain(held: dict[str, Encoded]) -> dict[str, object]:
    return {key: decode(value) for key, value in held.items()}


def model(log: list[Change], values: dict[str, object], flashes: dict[str, object]) -> None:
    """What each change means, said with plain dicts."""
    for change in log:
        match change:
            case Set(key, value):
                values[key] = decode(value)
            case SetDefault(key, value):
                values.setdefault(key, decode(value))
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
            case Apply(key, function, default):
                values[key] = function(values.get(key, decode(default)))


@given(log=st.lists(changes))
def test_a_log_means_what_its_steps_mean(log: list[Change]) -> None:
    """Replayed in order, on contents that somebody else wrote."""
    contents = Contents(values={"a": encode("a", 9)}, flashes={"b": encode("b", 8)})
    values: dict[str, object] = {"a": 9}
    flashes: dict[str, object] = {"b": 8}
    for change in log:
        assert change.replay(contents)
    model(log, values, flashes)
    assert (plain(contents.values), plain(contents.flashes)) == (values, flashes)


def test_reading_a_flash_leaves_a_newer_one() -> None:
    """Only the flash that was shown goes."""
    contents = Contents(flashes={"notice": encode("notice", "newer")})
    Consume("notice", encode("notice", "shown")).replay(contents)
    assert plain(contents.flashes) == {"notice": "newer"}
    Consume("notice", encode("notice", "newer")).replay(contents)
    assert contents.flashes == {}


def test_apply_gets_a_value_of_its_own() -> None:
    """A function that changes its argument in place changes nothing else, however often it runs."""
    default = encode("cart", [])
    add = Apply("cart", lambda cart: [*cart, 7] if cart.append(7) is None else cart, default)
    first, second = Contents(), Contents()
    add.replay(first)
    add.replay(second)
    assert plain(first.values) == plain(second.values) == {"cart": [7, 7]}


def test_apply_to_a_damaged_value_starts_from_the_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A value that cannot be read counts as absent."""
    contents = Contents(values={"n": Encoded(b"\xc1")})
    Apply("n", lambda n: n + 1, encode("n", 0)).replay(contents)
    assert plain(contents.values) == {"n": 1}
    assert "damaged" in caplog.text


SECRET = encode("key", ["hunter2"])


@pytest.mark.parametrize(
    "change",
    [
        Set("key", SECRET),
        SetDefault("key", SECRET),
        Unset("hunter2"),
        Clear(),
        Flash("key", SECRET),
        Consume("key", SECRET),
        Apply("key", lambda n: n, SECRET),
        Append("key", SECRET, [SECRET]),
        Update("key", {"hunter2": SECRET}),
        Replace("key", SECRET),
    ],
    ids=lambda change: type(change).__name__,
)
def test_a_repr_shows_no_value(change: Change) -> None:
    """A log of changes may end up in another log."""
    assert "hunter2" not in repr(change)
    assert change.name


# Which step a change in place is


@pytest.mark.parametrize(
    ("before", "now", "step"),
    [
        ([1], [1, 2], Append),
        ([], [1, 1], Append),
        ([[1]], [[1], {"a": 2}], Append),
        ({"a": 1}, {"a": 1, "b": 2}, Update),
        ({}, {"b": 2}, Update),
        ({"a": 1}, {"b": 2, "a": 1}, Update),
        ([1, 2], [2], Replace),
        ([1, 2], [2, 1], Replace),
        ([1], [2, 3], Replace),
        ([1], [1.0, 2], Replace),
        ([1], [0, 1], Replace),
        ([[1]], [[1, 2]], Replace),
        ([[1]], [[1, 2], 3], Replace),
        ({"a": 1}, {"a": 2}, Replace),
        ({"a": 1, "b": 2}, {"a": 1}, Replace),
        ({"a": 1}, {"b": 2}, Replace),
        ({"a": 1}, {"a": 2, "b": 3}, Replace),
        ({"a": [1]}, {"a": [1, 2]}, Replace),
    ],
)
def test_a_change_in_place_becomes_the_step_it_was(
    before: Any, now: Any, step: type[Change]
) -> None:
    """Entries behind the end append, further keys update, and all else sets the whole value."""
    made = change_in_place("key", encode("key", before), encode("key", now))
    contents = Contents(values={"key": encode("key", before)})
    assert type(made) is step
    assert made.replay(contents)
    assert plain(contents.values) == {"key": now}


@pytest.mark.parametrize(
    ("value", "empty"), [([1], []), ({"a": 1}, {}), ([], []), ({}, {}), ("a", None), (None, None)]
)
def test_a_list_or_dict_has_an_empty_form(value: Any, empty: Any) -> None:
    """From it, a new one has only grown."""
    found = empty_like(encode("key", value))
    assert found == (None if empty is None else encode("key", empty))


@pytest.mark.parametrize("size", [15, 16, 70_000])
@pytest.mark.parametrize("make", [list, dict.fromkeys], ids=["list", "dict"])
def test_the_size_of_a_value_does_not_matter(make: Callable[[Any], Any], size: int) -> None:
    """MessagePack writes lists and dicts of three sizes in three ways."""
    entries = [str(number) for number in range(size)]
    before, now = make(entries), make([*entries, "more"])
    step = change_in_place("key", encode("key", before), encode("key", now))
    contents = Contents(values={"key": encode("key", before)})
    assert type(step) in (Append, Update)
    assert step.replay(contents)
    assert plain(contents.values) == {"key": now}


@pytest.mark.parametrize("damaged", [b"\x92\x01", b"\x82\xa1a"], ids=["list", "dict"])
def test_a_damaged_value_is_replaced(damaged: bytes) -> None:
    """What cannot be read has no entries that could be kept: the whole value is set."""
    value = Encoded(damaged)
    now = encode("key", [1, 2] if damaged[0] == 0x92 else {"a": 1})
    contents = Contents(values={"key": value})
    step = change_in_place("key", value, now)
    assert type(step) is Replace
    assert step.replay(contents)
    assert contents.values == {"key": now}


LIST, DICT = encode("key", [1]), encode("key", {"a": 1})


@pytest.mark.parametrize(
    "there",
    [None, encode("key", "text"), encode("key", 7), Encoded(b"\x92\x01"), Encoded(b"\x82\xa1a")],
    ids=["nothing", "text", "number", "damaged list", "damaged dict"],
)
@pytest.mark.parametrize(
    "change",
    [Append("key", encode("key", []), [encode("key", 1)]), Update("key", {"a": encode("key", 1)})],
    ids=["append", "update"],
)
def test_a_fragment_of_a_removed_value_does_not_come_back(
    change: Change, there: Encoded | None
) -> None:
    """Where no such value is any more, a change inside it is dropped, and says so."""
    contents = Contents(values={} if there is None else {"key": there})
    before = contents.values.copy()
    assert not change.replay(contents)
    assert contents.values == before


@pytest.mark.parametrize(
    ("change", "there", "kept"),
    [
        (Append("key", LIST, [LIST]), DICT, False),
        (Update("key", {"a": LIST}), LIST, False),
        (Replace("key", LIST), DICT, False),
        (Replace("key", DICT), LIST, False),
        (Replace("key", LIST), encode("key", "text"), False),
        (Replace("key", LIST), encode("key", []), True),
        (Replace("key", DICT), encode("key", {}), True),
        (Replace("key", encode("key", "ab")), encode("key", 1), True),
    ],
)
def test_a_change_in_place_needs_a_value_of_its_kind(
    change: Change, there: Encoded, *, kept: bool
) -> None:
    """A list in place of a dict, or the other way round, is another value: it stays."""
    contents = Contents(values={"key": there})
    assert change.replay(contents) is kept
    assert (contents.values["key"] != there) is kept


# Two requests that change one value, against a model


small = st.integers(0, 3)


@given(
    stored=st.lists(small, max_size=4),
    mine=st.lists(st.lists(small, max_size=3), max_size=3),
    theirs=st.lists(small, max_size=4),
)
def test_two_requests_append_to_one_list(
    stored: list[int], mine: list[list[int]], theirs: list[int]
) -> None:
    """Both keep their entries; equal ones count once, so the larger number of them."""
    contents = Contents(values={"key": encode("key", stored + theirs)})
    now = list(stored)
    for entries in mine:  # noted several times, as when a handler asks whether it is modified
        before, now = now, now + entries
        if entries:
            change_in_place("key", encode("key", before), encode("key", now)).replay(contents)
    result = decode(contents.values["key"])
    added = Counter(entry for entries in mine for entry in entries)
    assert result[: len(stored) + len(theirs)] == stored + theirs
    assert Counter(result) == Counter(stored) + (added | Counter(theirs))


@given(
    stored=st.lists(small, min_size=1, max_size=4),
    removed=st.integers(0, 3),
    mine=st.lists(small, min_size=1, max_size=3),
)
def test_an_entry_that_another_request_removed_stays_removed(
    stored: list[int], removed: int, mine: list[int]
) -> None:
    """What was read before is not written again with what was appended."""
    left = [entry for entry in stored if entry != removed]
    contents = Contents(values={"key": encode("key", left)})
    change_in_place("key", encode("key", stored), encode("key", stored + mine)).replay(contents)
    assert decode(contents.values["key"]) == left + mine


names = st.sampled_from("abcd")
maps = st.dictionaries(names, small, max_size=3)


@given(stored=maps, mine=maps, theirs=maps, removed=names)
def test_two_requests_add_keys_to_one_dict(
    stored: dict[str, int], mine: dict[str, int], theirs: dict[str, int], removed: str
) -> None:
    """Both keep their keys, of one key the later value counts, and a removed key stays removed."""
    mine = {name: value for name, value in mine.items() if name not in stored}
    there = {name: value for name, value in (stored | theirs).items() if name != removed}
    contents = Contents(values={"key": encode("key", there)})
    if mine:
        step = change_in_place("key", encode("key", stored), encode("key", stored | mine))
        assert step.replay(contents)
    assert decode(contents.values["key"]) == there | mine


# The same through sessions, from two tabs


Handler = Callable[[Session], object]


def two_tabs(stored: dict[str, Any], *, fast: Handler, slow: Handler) -> dict[str, Any]:
    """Let two requests read one session and save the fast one first; return what is kept."""
    storage = MemoryStorage()
    before = storage.read(None)
    before.update({"other": 0, **stored})
    id = storage.save(before)
    slow_tab, fast_tab = storage.read(id), storage.read(id)
    slow(slow_tab)
    fast(fast_tab)
    storage.save(fast_tab)
    storage.save(slow_tab)
    return {key: value for key, value in storage.read(id).items() if key != "other"}


def adds(entry: object) -> Handler:
    """Return a handler that puts something into the cart, as a shop does."""
    return lambda session: session.setdefault("cart", []).append(entry)


@pytest.mark.parametrize("stored", [{}, {"cart": []}, {"cart": [1]}], ids=str)
def test_two_tabs_that_append_keep_both_entries(stored: dict[str, Any]) -> None:
    """`session.setdefault("cart", []).append(x)` loses nothing, whether the cart was there."""
    kept = two_tabs(stored, fast=adds(2), slow=adds(3))
    assert kept == {"cart": [*stored.get("cart", []), 2, 3]}


def test_two_tabs_that_append_an_equal_entry_keep_one() -> None:
    """A double click puts a thing into the cart once; one tab may still add two of them."""
    assert two_tabs({"cart": [1]}, fast=adds(2), slow=adds(2)) == {"cart": [1, 2]}

    def adds_twice(session: Session) -> None:
        session["cart"] += [2, 2]

    assert two_tabs({"cart": [1]}, fast=adds(2), slow=adds_twice) == {"cart": [1, 2, 2]}


@pytest.mark.parametrize("stored", [{}, {"seen": {"a": 1}}], ids=str)
def test_two_tabs_that_add_keys_keep_both(stored: dict[str, Any]) -> None:
    """A dict in a session is merged key by key; of one key the later value counts."""
    kept = two_tabs(
        stored,
        fast=lambda session: session.setdefault("seen", {}).update(b=1, both="fast"),
        slow=lambda session: session.setdefault("seen", {}).update(c=1, both="slow"),
    )
    assert kept == {"seen": {**stored.get("seen", {}), "b": 1, "c": 1, "both": "slow"}}


def test_a_list_that_was_set_is_appended_to() -> None:
    """Another request gave the key a list of its own: new entries go to its end."""
    kept = two_tabs({"cart": [1]}, fast=lambda session: session.set("cart", [8, 9]), slow=adds(2))
    assert kept == {"cart": [8, 9, 2]}


def test_an_append_after_a_look_at_modified_is_the_same() -> None:
    """A handler may ask in between; each part is appended."""

    def slow(session: Session) -> None:
        session["cart"].append(2)
        assert session.modified
        session["cart"].append(3)

    assert two_tabs({"cart": [1]}, fast=adds(9), slow=slow) == {"cart": [1, 9, 2, 3]}


def pops(session: Session) -> None:
    session["cart"].pop()


def test_any_other_change_sets_the_whole_value() -> None:
    """Also one that is further inside: the later request wins, as with `set`."""
    assert two_tabs({"cart": [1, 2]}, fast=adds(3), slow=pops) == {"cart": [1]}
    kept = two_tabs(
        {"user": {"tags": ["a"]}},
        fast=lambda session: session["user"]["tags"].append("b"),
        slow=lambda session: session["user"]["tags"].append("c"),
    )
    assert kept == {"user": {"tags": ["a", "c"]}}


@pytest.mark.parametrize("slow", [pops, adds(7)], ids=["whole value", "append"])
@pytest.mark.parametrize(
    ("fast", "left"),
    [
        (lambda session: session.unset("cart"), {}),
        (lambda session: session.set("cart", {"a": 1}), {"cart": {"a": 1}}),
        (lambda session: session.set("cart", "sold"), {"cart": "sold"}),
    ],
    ids=["removed", "a dict", "text"],
)
def test_a_change_in_place_is_dropped_where_its_value_is_gone(
    slow: Handler, fast: Handler, left: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """If the winner removed the key, or left another type, a warning says what was dropped."""
    assert two_tabs({"cart": [1, 2]}, fast=fast, slow=slow) == left
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "a change inside a value of a session was dropped" in record.getMessage()
    assert "cart" not in record.getMessage()


def test_the_other_changes_of_that_request_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    """One step is dropped, and not the request."""

    def slow(session: Session) -> None:
        session["cart"].append(7)
        session["user"] = "Ada"

    kept = two_tabs({"cart": [1]}, fast=lambda session: session.unset("cart"), slow=slow)
    assert kept == {"user": "Ada"}
    assert len(caplog.records) == 1


def test_limits_are_for_apply() -> None:
    """A cart of at most three things depends on what is there: the function sees that."""

    def add(entry: int) -> Handler:
        return lambda session: session.apply("cart", lambda cart: [*cart, entry][-3:], [])

    assert two_tabs({"cart": [1, 2]}, fast=add(3), slow=add(4)) == {"cart": [2, 3, 4]}


def test_an_append_goes_along_to_a_new_id() -> None:
    """A request that changes the id replays its changes on what another one left, too."""
    storage = MemoryStorage()
    before = storage.read(None)
    before["cart"] = [1]
    id = storage.save(before)
    fast, slow = storage.read(id), storage.read(id)
    slow["cart"].append(3)
    slow.regenerate_id()
    slow["cart"].append(4)
    fast["cart"].append(2)
    storage.save(fast)
    assert storage.read(storage.save(slow))["cart"] == [1, 2, 3, 4]
