"""`coatcheck stats URL`: what it counts, in each kind of storage."""

import json
from pathlib import Path

import pytest

from coatcheck.cli import main
from coatcheck.storage import SqliteStorage
from tests._commands.stored import KINDS, fill, url_of


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_and_users_are_counted(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that live; what has expired stays only where a sweep has to remove it."""
    url = url_of(kind, tmp_path, request)
    fill(url)
    assert main(["stats", url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["living"], told["users"]) == (3, 2)
    assert told["bytes"] > 4 * 50
    assert told["expired"] <= 1
    assert main(["stats", url]) == 0
    assert "living" in capsys.readouterr().out


def test_what_is_no_living_session_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Markers, tombstones, users' lists, encrypted sessions, and what is none of ours."""
    storage = SqliteStorage(tmp_path / "db")
    for does in ("regenerate_id", "destroy"):
        session = storage.read(None)
        session["a"] = 1
        session = storage.read(storage.save(session))
        getattr(session, does)()
        storage.save(session)
    storage.backend.swap("2" * 64, None, b"\x06a list", 60)
    storage.backend.swap("0" * 64, None, b"\x03damaged", 60)
    storage.backend.swap("1" * 64, None, b"\x44other", 60)
    storage.close()
    secret = SqliteStorage(tmp_path / "db", encrypt=True)
    session = secret.read(None)
    session["a"] = 1
    secret.save(session)
    secret.close()
    assert main(["stats", f"sqlite:{tmp_path}/db", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    kinds = ("living", "markers", "tombstones", "lists", "encrypted", "others")
    found = [told[kind] for kind in kinds]
    assert found == [1, 1, 1, 1, 1, 2]


def test_a_server_that_does_not_answer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With its reason, once."""
    assert main(["stats", "redis://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("coatcheck: Redis at 127.0.0.1:1 failed to read")
    assert said.count("Connection refused") == said.count("\n") == 1


def test_a_file_that_is_no_database_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its reason."""
    (tmp_path / "db").write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    assert main(["stats", f"sqlite:{tmp_path}/db"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "says"), [("memory:", "Memory cannot list"), ("cookie:", "no server to look at")]
)
def test_what_cannot_be_listed_is_told(
    url: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with the exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(["stats", url])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["stats", "URL"],
        ["users", "URL", "42"],
        ["end", "URL", "42", "--all"],
        ["move", "URL", "memory:"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("scheme", ["sqlite", "file"])
def test_a_path_without_sessions_is_an_error(
    scheme: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelled path is not counted as an empty storage, and nothing is made there."""
    path = tmp_path / "misspelled"
    assert main([word.replace("URL", f"{scheme}:{path}") for word in command]) == 1
    assert "there are no sessions at" in capsys.readouterr().err
    assert not path.exists()
