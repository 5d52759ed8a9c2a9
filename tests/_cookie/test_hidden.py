"""What shows nothing of what it holds."""

import msgspec

from coatcheck._cookie.hidden import Hidden


class Coat(Hidden, msgspec.Struct, frozen=True):
    owner: str


def test_a_repr_names_the_type_alone() -> None:
    """In `repr`, in `str`, inside a container, and where rich asks."""
    coat = Coat("Ada")
    assert repr(coat) == str(coat) == "<Coat>"
    assert repr([coat]) == "[<Coat>]"
    assert list(coat.__rich_repr__()) == []
