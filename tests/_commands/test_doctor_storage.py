"""`coatcheck doctor URL`: what it finds in each kind of storage, and in broken ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coatcheck import BackendError
from coatcheck._commands import doctor_storage as doctor
from coatcheck.cli import main
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backends.memory import MemoryBackend
from tests._commands.stored import KINDS, fill, url_of


def told_of(url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[str]]]:
    """Return the exit code, and the states of each check."""
    code = main(["doctor", url, "--json"])
    found: dict[str, list[str]] = {}
    for each in json.loads(capsys.readouterr().out):
        found.setdefault(each["name"], []).append(each["state"])
    return code, found


@pytest.mark.parametrize("kind", [*KINDS, "memcached"])
def test_a_storage_that_is_well(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps a record, lets one of two writers win, and its clock is ours."""
    if kind == "memcached":
        url = f"memcached://{request.getfixturevalue('memcached_nodes')[0]}"
    else:
        url = url_of(kind, tmp_path, request)
        fill(url)
    code, found = told_of(url, capsys)
    assert code == 0
    assert found["keeps a record"] == found["two writers"] == ["ok"]
    if kind in ("redis", "postgresql", "mariadb"):
        assert found["clock"] == ["ok"]
        assert found["version"] == ["info"]
        assert found["user"] == [{"redis": "info", "postgresql": "warn", "mariadb": "ok"}[kind]]
    if kind != "file":
        assert found["expiry"] == ["ok"]
    if kind in ("postgresql", "mariadb"):
        assert found["TLS in use"] == ["info"]
    if kind in ("sqlite", "file"):
        assert set(found["permissions"]) == {"ok"}
    if kind == "sqlite":
        assert main(["doctor", url]) == 0
        assert "keeps a record" in capsys.readouterr().out


def test_a_folder_that_others_may_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The data, and the folder of a database: its name and mode are told."""
    url = f"sqlite:{tmp_path}/db"
    fill(url)
    (tmp_path / "db").chmod(0o644)
    tmp_path.chmod(0o777)
    with pytest.warns(match="can be written by other users"):
        found = told_of(url, capsys)[1]
    assert found["permissions"] == ["warn", "warn"]


class Broken(MemoryBackend):
    """A backend that fails in a way that a test chooses."""

    def __init__(self) -> None:
        super().__init__(max_records=9, clock=lambda: 1.0)
        self.forgets = self.refuses = self.keeps = self.lets_all_win = False

    def get(self, key: str) -> Any:
        return None if self.forgets else super().get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Any:
        if self.refuses:
            raise BackendError("the server", "write")
        answer = super().swap(key, version, record, ttl)
        return None if self.lets_all_win else answer

    def delete(self, key: str) -> None:
        if not self.keeps:
            super().delete(key)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("forgets", "keeps a record"),
        ("refuses", "keeps a record"),
        ("keeps", "keeps a record"),
        ("lets_all_win", "two writers"),
    ],
)
def test_a_fault_is_found(fault: str, check: str) -> None:
    """A server that loses records, refuses writes, keeps deleted ones, or lets two writers win."""
    backend = Broken()
    setattr(backend, fault, True)
    storage = KeyedStorage(backend, waits=False)
    found = {each.name: each.state for each in doctor._checks("memory:", storage)}
    assert found[check] == "fail"


def test_where_nothing_can_be_written_the_race_is_left_out() -> None:
    """The reason stands in one line, not in three."""
    backend = Broken()
    backend.refuses = True
    storage = KeyedStorage(backend, waits=False)
    assert "two writers" not in {each.name for each in doctor._checks("memory:", storage)}
    assert doctor._race(storage).state == "fail"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_without_a_table(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first request makes it, if the URL says so; else that is the fault."""
    url = f"{request.getfixturevalue(f'{kind}_url')}?table=doctor_none"
    code, found = told_of(url, capsys)
    assert (code, found["table"], found["clock"]) == (1, ["fail"], ["ok"])
    code, found = told_of(f"{url}&create_table=yes", capsys)
    assert (code, found["table"]) == (0, ["info"])
    assert "expiry" not in found


def test_a_user_who_may_not_read_is_told_what_is_missing() -> None:
    """And the server is asked for the rest."""
    denied = BackendError("the server", "read")
    denied.__cause__ = type("Denied", (Exception,), {"sqlstate": "42501"})("permission denied")
    found = doctor._unreadable(denied, "postgresql:")
    assert (found.state, found.text) == ("fail", "may not read: permission denied")
    with pytest.raises(BackendError):
        doctor._unreadable(BackendError("the server", "read"), "postgresql:")


@pytest.mark.parametrize(
    ("url", "states"),
    [
        ("redis://127.0.0.1", ["ok"]),
        ("redis://10.0.0.1", ["warn"]),
        ("rediss://10.0.0.1", ["ok"]),
        ("postgresql://h/d?sslmode=verify-full", ["ok"]),
        ("postgresql://h/d?sslmode=disable", ["warn"]),
        ("mariadb://h/d?ssl_ca=/ca.pem", ["ok"]),
        ("sqlite:db", []),
    ],
)
def test_the_way_to_another_machine_is_to_be_encrypted(url: str, states: list[str]) -> None:
    """A server on this machine needs none."""
    assert [each.state for each in doctor._tls(url)] == states


def test_a_server_that_does_not_answer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit code 1."""
    assert main(["doctor", "redis://127.0.0.1:1"]) == 1
    assert "Redis" in capsys.readouterr().err


def test_the_owner_of_a_file_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another user's is a warning."""
    url = f"file:{tmp_path}/sessions"
    fill(url)
    me: Callable[[], int] = lambda: 12345  # noqa: E731
    monkeypatch.setattr("coatcheck._commands.doctor_storage.os.geteuid", me)
    assert told_of(url, capsys)[1]["permissions"] == ["warn"]
