"""How often a request asks the server that keeps its session, by the server's own count."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coatcheck import Users, UserSession
from coatcheck.testing import Clock
from tests.hosts import COOKIE, Asgi, Front
from tests.roundtrips import (
    LISTED,
    REQUESTS,
    Counter,
    count,
    count_listed,
    enters,
    mariadb_statements,
    memcached_commands,
    postgresql_statements,
    redis_reads,
    sqlite_statements,
    table,
)
from tests.storage_kinds import front_of, storage_of
from tests.thorough import thorough

PAIRS = [
    ("wsgi", "redis"),
    ("asgi", "redis-asyncio"),
    ("wsgi", "memcached"),
    ("asgi", "memcached-asyncio"),
    ("wsgi", "postgresql"),
    ("asgi", "postgresql-url"),
    ("wsgi", "mariadb"),
    ("asgi", "mariadb-url"),
    ("asgi", "sqlite"),
    thorough("asgi", "redis"),
    thorough("wsgi", "valkey"),
    thorough("asgi", "memcached"),
    thorough("asgi", "postgresql"),
    thorough("asgi", "postgresql-asyncio"),
    thorough("wsgi", "postgresql-url"),
    thorough("asgi", "mariadb"),
    thorough("asgi", "mariadb-asyncio"),
    thorough("wsgi", "sqlite"),
]


@contextmanager
def counter_of(kind: str, request: pytest.FixtureRequest) -> Iterator[Counter]:
    match kind.partition("-")[0]:
        case "memcached":
            yield memcached_commands(*request.getfixturevalue("memcached_nodes"))
        case "postgresql":
            with postgresql_statements(request.getfixturevalue("postgresql_url")) as counter:
                yield counter
        case "mariadb":
            with mariadb_statements(request.getfixturevalue("mariadb_url")) as counter:
                yield counter
        case "sqlite":
            with sqlite_statements() as counter:
                yield counter
        case name:
            yield redis_reads(request.getfixturevalue(f"{name}_socket"))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_request_asks_no_oftener_than_promised(
    request: pytest.FixtureRequest, clock: Clock, name: str, kind: str
) -> None:
    """Reading is one round trip, reading and writing two; without a cookie nobody is asked."""
    with (
        counter_of(kind, request) as counter,
        storage_of(kind, request, clock) as made,
        front_of(name, made) as front,
    ):
        counted = count(front.browser(), counter)
    assert counted == {does: trips for does, (trips, _, _) in REQUESTS.items()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("wsgi", "redis"),
        ("asgi", "redis-asyncio"),
        ("wsgi", "postgresql"),
        ("asgi", "mariadb-asyncio"),
        ("asgi", "sqlite"),
    ],
)
def test_a_list_of_sessions_costs_no_more_than_promised(
    request: pytest.FixtureRequest, clock: Clock, name: str, kind: str
) -> None:
    """A read asks nothing more, a first sign-in two questions, a refresh two, a sign-out two."""
    with (
        counter_of(kind, request) as counter,
        storage_of(kind, request, clock) as made,
        front_of(name, made) as front,
    ):
        assert count_listed(front, counter, clock) == LISTED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("wsgi", "redis"),
        ("asgi", "redis"),
        ("asgi", "redis-asyncio"),
        ("wsgi", "postgresql"),
        ("asgi", "postgresql"),
        ("asgi", "postgresql-asyncio"),
        ("wsgi", "mariadb"),
        ("asgi", "mariadb"),
        ("asgi", "mariadb-asyncio"),
    ],
)
def test_the_sessions_of_a_user_are_two_questions(
    request: pytest.FixtureRequest, clock: Clock, name: str, kind: str
) -> None:
    """One for the list, and one for all of the sessions; from a worker thread, too."""
    with (
        counter_of(kind, request) as counter,
        storage_of(kind, request, clock) as made,
        front_of(name, made) as front,
    ):
        users = Users(COOKIE, made.storage)
        for _ in range(5):
            front.browser(users=users).ask(enters)
        listed(front, users)  # as many connections as this takes are open
        before = counter()
        assert len(listed(front, users)) == 5
        assert counter() - before == 2


def listed(front: Front, users: Users) -> list[UserSession]:
    """Return the sessions of the user who signs in."""
    if isinstance(front, Asgi):
        return front.runner.run(users.aio.sessions_of("42"))
    return users.sessions_of("42")


def test_the_numbers_are_shown_as_a_table() -> None:
    """One row a kind of request, one column a storage."""
    lines = table({"Redis": dict.fromkeys(REQUESTS, 7)}).splitlines()
    assert lines[0] == "| a request that | Redis |"
    assert lines[2:] == [f"| {does} | 7 |" for does in REQUESTS]
