"""Storages for applications in Quart."""

import logging
from pathlib import Path

import pytest

from coatcheck.storage import (
    CookieStorage,
    MemoryStorage,
    SessionStorage,
    SqliteStorage,
    storage_from_url,
)
from tests.frameworks.quart.pages import NAME


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Quart logs what handlers raise."""
    caplog.set_level(logging.CRITICAL, NAME)


@pytest.fixture(params=["cookie", "memory", "sqlite", "redis"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStorage:
    """One of each family: in the cookie, in the process, on the disk, on a server."""
    if request.param == "sqlite":
        return SqliteStorage(tmp_path / "db")
    if request.param == "redis":
        return storage_from_url(f"unix://{request.getfixturevalue('redis_socket')}")
    return CookieStorage() if request.param == "cookie" else MemoryStorage()
