"""Front ends to attack, over every storage, and a backend that notes what it is called with."""

from collections.abc import Iterator

import pytest

from coatcheck.testing import Clock
from tests.hosts import Front
from tests.storage_kinds import front_of, storage_of
from tests.threats.attacks import Spy


@pytest.fixture
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """A front end over a storage."""
    name, kind = request.param
    with storage_of(kind, request, clock) as made, front_of(name, made) as front:
        yield front


@pytest.fixture
def spy(clock: Clock) -> Spy:
    """A backend in memory that notes what it is called with."""
    return Spy(clock)
