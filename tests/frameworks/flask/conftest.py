"""Storages for applications in Flask."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage, SqliteStorage
from tests.frameworks.flask.pages import NAME


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Flask logs what handlers raise."""
    caplog.set_level(logging.CRITICAL, NAME)


@pytest.fixture(params=["cookie", "memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStorage]:
    """One of each family: in the cookie, in the process, on the disk."""
    if request.param == "sqlite":
        sqlite = SqliteStorage(tmp_path / "db")
        yield sqlite
        sqlite.close()
    else:
        yield CookieStorage() if request.param == "cookie" else MemoryStorage()
