"""Fixtures of typed sessions: the kinds of models, the front ends, a log that says nothing."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.storage import CookieStorage, MemoryStorage
from tests._model.models import KINDS
from tests.hosts import Asgi, Front, Wsgi


@pytest.fixture(params=["asgi-cookie", "asgi-memory", "wsgi-cookie", "wsgi-memory"])
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    storage = CookieStorage() if request.param.endswith("cookie") else MemoryStorage()
    if request.param.startswith("wsgi"):
        yield Wsgi(storage)
        return
    asgi = Asgi(storage)
    with asgi.runner:
        yield asgi


@pytest.fixture
def shop() -> Front:
    return Wsgi(MemoryStorage())


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Any]:
    found: type[Any] = request.param
    return found


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A test that expects a warning takes it from the log; any other is a failure."""
    yield
    records = caplog.get_records("call")  # a framework in another test may have set the level
    assert [r.getMessage() for r in records if r.levelno >= logging.WARNING] == []
