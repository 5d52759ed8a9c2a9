"""Storages of each kind, filled, for commands that look at them."""

from pathlib import Path

import pytest

from coatcheck.storage import KeyedStorage, storage_from_url
from coatcheck.testing import Clock

KINDS = ["sqlite", "file", "redis", "postgresql", "mariadb"]


def url_of(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return the URL of a storage of that kind, which holds nothing yet."""
    name = f"t{abs(hash(request.node.name)) % 10**8}"
    if kind in ("sqlite", "file"):
        return f"{kind}:{tmp_path}/sessions"
    if kind == "redis":
        return f"unix://{request.getfixturevalue('redis_socket')}?prefix={name}:"
    return f"{request.getfixturevalue(f'{kind}_url')}?table={name}&create_table=yes"


def fill(url: str) -> None:
    """Keep three sessions that live, of two users, and one that has expired."""
    for clock, users in ((Clock(4_000_000_000), ("1", "2", None)), (Clock(1_700_000_000), (None,))):
        storage = storage_from_url(url, clock=clock)
        assert isinstance(storage, KeyedStorage)
        for user in users:
            session = storage.read(None)
            session["secret"] = "hunter2"
            if user:
                session.sign_in(user)
            storage.save(session)
        storage.close()
