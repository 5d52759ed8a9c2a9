"""The promises of a server-side storage, in races that are exact: a hook runs before each call."""

from collections.abc import Callable
from typing import Any

import pytest

from coatcheck import Session, SessionConflict
from coatcheck._session.saving import ATTEMPTS
from coatcheck.storage import KeyedStorage
from coatcheck.testing import Clock
from tests.storage.keyed.stores import DAY, Store, change


def test_changes_of_two_requests_are_both_kept(store: Store) -> None:
    """The one that comes second replays its steps on what the first one left."""
    value = store.kept(a=1, b=2, c=3, n=0)
    session = store.read(value)
    session["a"] = 9
    del session["b"]
    session.apply("n", lambda n: n + 1)

    def act(other: Session) -> None:
        other.update(c=7, d=4, b=8)
        other.apply("n", lambda n: n + 10)

    store.meanwhile(change(store, value, act))
    assert store.save(session) is None
    assert store.look(value) == {"a": 9, "c": 7, "d": 4, "n": 11}
    assert store.backend.calls.count("swap") == 3


def test_of_two_that_set_one_key_the_later_wins(store: Store) -> None:
    """Key by key."""
    value = store.kept(a=0)
    session = store.read(value)
    session["a"] = "later"
    store.meanwhile(change(store, value, lambda other: other.set("a", "first")))
    store.save(session)
    assert store.look(value) == {"a": "later"}


def test_two_flashes_are_both_shown(store: Store) -> None:
    """What one request left does not hide what another did."""
    value = store.kept(a=0)
    session = store.read(value)
    session.flash("one", 1)
    store.meanwhile(change(store, value, lambda other: other.flash("two", 2)))
    store.save(session)
    found = store.plain.read(value)
    assert (found["one"], found["two"]) == (1, 2)


def test_reading_a_flash_leaves_one_that_came_since(store: Store) -> None:
    """The newer one was not shown yet."""
    value = store.kept(a=0)
    change(store, value, lambda other: other.flash("notice", "old"))()
    session = store.read(value)
    assert session["notice"] == "old"
    store.meanwhile(change(store, value, lambda other: other.flash("notice", "new")))
    store.save(session)
    assert store.plain.read(value)["notice"] == "new"


def write(session: Session) -> None:
    session["a"] = 1


def count(session: Session) -> None:
    session.apply("n", lambda n: (n or 0) + 1)


def flash(session: Session) -> None:
    session.flash("notice", 1)


def move(session: Session) -> None:
    session["a"] = 1
    session.regenerate_id()


@pytest.mark.parametrize(
    ("act", "before"),
    [
        (write, "swap"),
        (count, "swap"),
        (flash, "swap"),
        (move, "claim"),
        (move, "swap"),
    ],
)
def test_a_destroyed_session_stays_gone(
    store: Store, act: Callable[[Session], None], before: str
) -> None:
    """Whatever this request does, and however late the other one signs out."""
    value = store.kept(user=1)
    session = store.read(value)
    act(session)
    store.meanwhile(change(store, value, lambda other: other.destroy()), before=before)
    assert store.save(session) is None
    assert store.backend.sessions == 0


def test_a_refresh_brings_nothing_back(store: Store, clock: Clock) -> None:
    """Neither a session that was destroyed, nor data that was replaced."""
    value = store.kept(user=1)
    clock.advance(5 * DAY)
    session = store.read(value)
    store.meanwhile(change(store, value, lambda other: other.set("user", 2)))
    store.save(session)
    assert store.look(value) == {"user": 2}
    clock.advance(5 * DAY)
    session = store.read(value)
    store.meanwhile(change(store, value, lambda other: other.destroy()))
    assert store.save(session) is None
    assert store.plain.read(value).is_new


def test_losing_every_race_is_an_error(store: Store) -> None:
    """After so many tries; nothing of the request is kept."""
    value = store.kept(n=0)
    session = store.read(value)
    session["mine"] = True

    def faster(call: str, key: str) -> None:
        if call == "swap":
            stored = store.backend.backend.get(key)
            assert stored
            again = store.plain.read(value)
            again.apply("n", lambda n: n + 1)
            store.backend.before = None
            KeyedStorage(store.backend.backend, clock=store.plain.clock).save(again)

    faster.always = True  # type: ignore[attr-defined]
    store.backend.before = faster
    with pytest.raises(SessionConflict) as raised:
        store.save(session)
    store.backend.before = None
    assert raised.value.attempts == ATTEMPTS
    assert "mine" not in store.look(value)


def test_a_change_made_while_the_save_waits_is_not_forgotten(store: Store) -> None:
    """It is not in what was written, and still to be saved."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    store.meanwhile(lambda: session.set("during", True))
    store.save(session)
    assert session.modified
    store.save(session)
    assert store.look(value) == {"a": 2, "during": True}


def appends(key: str, *entries: object) -> Callable[[Session], object]:
    return lambda session: session[key].extend(entries)


def adds(key: str, **entries: object) -> Callable[[Session], object]:
    return lambda session: session[key].update(entries)


IN_PLACE: dict[str, tuple[Any, Callable[[Session], object], Callable[[Session], object], Any]] = {
    "both append": ([0], appends("v", 1), appends("v", 2), [0, 2, 1]),
    "equal entries count once": ([0], appends("v", 1, 1), appends("v", 1), [0, 1, 1]),
    "both add keys": ({"a": 0}, adds("v", b=1), adds("v", c=2), {"a": 0, "c": 2, "b": 1}),
    "both add one key": ({}, adds("v", b=1), adds("v", b=2), {"b": 1}),
    "appends to what was replaced": (
        [0], appends("v", 1), lambda session: session.set("v", [9]), [9, 1],
    ),
    "a change further inside": (
        [[0]], lambda session: session["v"][0].append(1), appends("v", 2), [[0, 1]],
    ),
    "appends to what was removed": ([0], appends("v", 1), lambda s: s.unset("v"), None),
    "appends to another type": ([0], appends("v", 1), lambda s: s.set("v", {"a": 1}), {"a": 1}),
    "adds a key to another type": ({}, adds("v", a=1), lambda s: s.set("v", [1]), [1]),
    "changes inside what was removed": (
        [[0]], lambda session: session["v"][0].append(1), lambda s: s.unset("v"), None,
    ),
}  # fmt: skip
"""What was there, what the slower request does, what the faster one does, and what is left."""


@pytest.mark.parametrize("case", IN_PLACE)
def test_changes_in_place_are_merged(
    store: Store, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries of both are kept; a value that was removed does not come back as a fragment."""
    there, slow, fast, left = IN_PLACE[case]
    value = store.kept(v=there, other=1)
    session = store.read(value)
    slow(session)
    store.meanwhile(change(store, value, fast))
    store.save(session)
    assert store.look(value).get("v") == left
    dropped = left is None or type(left) is not type(there)
    assert ("was dropped" in caplog.text) is dropped


def test_setdefault_of_two_requests_keeps_the_entries_of_both(store: Store) -> None:
    """Both find no cart, make one, and put something into it."""
    value = store.kept(user=1)
    session = store.read(value)
    session.setdefault("cart", []).append("mine")
    store.meanwhile(
        change(store, value, lambda other: other.setdefault("cart", []).append("theirs"))
    )
    store.save(session)
    assert store.look(value)["cart"] == ["theirs", "mine"]
