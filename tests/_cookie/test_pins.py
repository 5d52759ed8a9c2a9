"""A pin is recognized and cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._cookie.pins import Pins

OLDER, NEWER = "o" * 40, "n" * 40


@given(pin=st.text())
def test_a_pin_is_recognized(pin: str) -> None:
    """Any text is, and no other one."""
    pins = Pins([NEWER])
    assert pins.holds(pins.keep(pin), pin)
    assert not pins.holds(pins.keep(pin), f"{pin}x")


def test_every_secret_recognizes_and_the_first_one_keeps() -> None:
    """After a newer secret was put first, an older sign-in still holds its pin, and is stale."""
    kept = Pins([OLDER]).keep("hash")
    both = Pins([NEWER, OLDER])
    assert both.holds(kept, "hash") and both.is_stale(kept, "hash")
    assert not Pins([NEWER]).holds(kept, "hash")
    assert not both.is_stale(both.keep("hash"), "hash")
    assert not both.is_stale(kept, "another")


def test_what_is_kept_differs_each_time() -> None:
    """A salt hides that two users, or two sign-ins, have one pin."""
    pins = Pins([NEWER])
    assert pins.keep("hash") != pins.keep("hash")
    assert len(pins.keep("hash")) == 32


@pytest.mark.parametrize("kept", [b"", b"short", b"x" * 32, b"x" * 500])
def test_damaged_bytes_hold_no_pin(kept: bytes) -> None:
    """They come from a record."""
    assert not Pins([NEWER]).holds(kept, "hash")


def test_a_repr_shows_no_secret() -> None:
    """It tells how many there are."""
    assert repr(Pins([NEWER, OLDER])) == "<Pins under 2 secrets>"


def test_a_mark_is_the_same_each_time() -> None:
    """For one text under one current secret; an older secret does not count."""
    assert Pins([NEWER]).mark("id") == Pins([NEWER, OLDER]).mark("id")
    others = {Pins([OLDER]).mark("id"), Pins([NEWER]).mark("di"), Pins([NEWER]).mark("\ud800")}
    assert Pins([NEWER]).mark("id") not in others
    assert {len(mark) for mark in others} == {32}
