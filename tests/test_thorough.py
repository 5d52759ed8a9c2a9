"""What `make test` leaves to `make thorough`."""

import pytest

from tests.thorough import crossed


def test_the_named_rows_of_a_table_are_always_run() -> None:
    """The others are thorough."""
    table = crossed(["redis", "valkey"], ["asgi", "wsgi"], always={"redis-asgi", "valkey-wsgi"})
    assert [(row.id, row.values, [mark.name for mark in row.marks]) for row in table] == [
        ("redis-asgi", ("redis", "asgi"), []),
        ("redis-wsgi", ("redis", "wsgi"), ["thorough"]),
        ("valkey-asgi", ("valkey", "asgi"), ["thorough"]),
        ("valkey-wsgi", ("valkey", "wsgi"), []),
    ]


def test_a_row_that_is_not_there_is_an_error() -> None:
    """Else a kind that was renamed would never be run."""
    with pytest.raises(AssertionError, match="redis-awsgi"):
        crossed(["redis"], ["asgi"], always={"redis-awsgi"})
