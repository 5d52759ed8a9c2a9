"""What a reader of another package's sessions found."""

from coatcheck._session.adopted import Adopted, Refusal, old_id
from coatcheck._session.ids import is_id


def test_what_was_verified_stands_for_one_old_id() -> None:
    """It looks like an id of ours, and differs from digest to digest."""
    assert is_id(old_id(b"a", "x"))
    assert old_id(b"a", "x") == old_id(b"a", "x") != old_id(b"b", "x")
    assert old_id(b"a", "x") != old_id(b"a", "y")


def test_a_repr_shows_nothing() -> None:
    """No value and no digest reaches a log."""
    found = Adopted({"secret": 1}, {}, None, None, b"digest")
    assert repr(found) + repr(Refusal("seal", b"digest")) == "<Adopted><Refusal>"
