"""The Django site of the tests, over a storage in memory."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.frameworks.django_site import engine


@pytest.fixture(name="engine")
def engine_of_the_site() -> Any:
    """The engine's module, as the settings name it."""
    return engine()


@pytest.fixture
def kept(clock: Clock) -> Iterator[Any]:
    """The storage of the site: in memory, under the test's clock."""
    storage = MemoryStorage(clock=clock)
    with override_settings(COATCHECK_STORAGE=storage):
        yield storage


@pytest.fixture
def store(engine: Any, kept: object) -> Any:
    """Makes a session, as the middleware does from a cookie's value."""
    assert kept
    return engine.SessionStore
