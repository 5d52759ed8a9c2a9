"""Random bytes before each record."""

from coatcheck.storage.backends.marks import MARK, marked, unmarked


def test_two_writes_of_one_record_differ() -> None:
    """So a write that is sent again knows itself from another request's."""
    first, second = marked(b"record"), marked(b"record")
    assert first != second
    assert len(first) == MARK + len(b"record")
    assert unmarked(first) == unmarked(second) == b"record"
