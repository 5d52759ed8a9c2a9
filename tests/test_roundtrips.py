"""How often a request asks the server that keeps its session, by the server's own count."""

import pytest

from coatcheck.testing import Clock
from tests.kinds import front_of, storage_of
from tests.roundtrips import REQUESTS, count, memcached_commands, redis_reads, table

PAIRS = [
    ("wsgi", "redis"),
    ("asgi", "redis"),
    ("asgi", "redis-asyncio"),
    ("wsgi", "valkey"),
    ("wsgi", "memcached"),
    ("asgi", "memcached"),
    ("asgi", "memcached-asyncio"),
]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_request_asks_no_oftener_than_promised(
    request: pytest.FixtureRequest, clock: Clock, name: str, kind: str
) -> None:
    """Reading is one round trip, reading and writing two; without a cookie nobody is asked."""
    if "memcached" in kind:
        counter = memcached_commands(*request.getfixturevalue("memcached_nodes"))
    else:
        counter = redis_reads(request.getfixturevalue(f"{kind.partition('-')[0]}_socket"))
    with storage_of(kind, request, clock) as made, front_of(name, made) as front:
        counted = count(front.browser(), counter)
    assert counted == {does: trips for does, (trips, _, _) in REQUESTS.items()}


def test_the_numbers_are_shown_as_a_table() -> None:
    """One row a kind of request, one column a storage."""
    lines = table({"Redis": dict.fromkeys(REQUESTS, 7)}).splitlines()
    assert lines[0] == "| a request that | Redis |"
    assert lines[2:] == [f"| {does} | 7 |" for does in REQUESTS]
