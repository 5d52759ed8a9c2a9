"""Random bytes that tell one write from every other."""

from coatcheck.storage.backends.marks import MARK, marked, unmarked


def test_a_marked_record_is_read_back() -> None:
    """Without its mark a record is what it was, also when it is empty."""
    for record in (b"", b"record", bytes(range(256))):
        assert unmarked(marked(record)) == record
        assert len(marked(record)) == len(record) + MARK


def test_two_writes_of_one_record_differ() -> None:
    """So a write that is sent again finds its own record, and never that of another request."""
    assert len({marked(b"record") for _ in range(100)}) == 100
