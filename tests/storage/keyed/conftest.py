"""A storage in both forms."""

import pytest

from coatcheck.testing import Clock
from tests.storage.keyed.stores import Store


@pytest.fixture(params=["plain", "async"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    return Store(request.param, clock)
