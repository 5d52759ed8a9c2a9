"""Where a database is, and the pauses between attempts to reach it."""

from coatcheck.storage.backends.database_place import LONGEST_PAUSE, Place, longer


def test_pauses_grow_up_to_a_limit() -> None:
    """Each about twice as long as the one before."""
    pauses = [longer(0.0)]
    while pauses[-1] < LONGEST_PAUSE:
        pauses.append(longer(pauses[-1]))
    assert len(pauses) < 10
    assert longer(pauses[-1]) == LONGEST_PAUSE


def test_a_place_does_not_show_its_password() -> None:
    """Its repr may be in a traceback that a reporter of errors sends away."""
    assert "secret" not in repr(Place("here", {"password": "secret"}))
