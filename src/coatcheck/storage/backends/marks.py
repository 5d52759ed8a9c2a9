"""
Random bytes before each record, which tell one write from every other.

When the answer to a write was lost, the write is sent again. If it was done before, it finds its
own record instead of the one it expected. The mark shows that, also if another request wrote the
same record.
"""

from secrets import token_bytes

MARK = 8
"""Bytes of a mark."""


def marked(record: bytes) -> bytes:
    """Return a record as one write sends it: after random bytes of its own."""
    return token_bytes(MARK) + record


def unmarked(data: bytes) -> bytes:
    """Return the record in what one write sent."""
    return data[MARK:]
