"""`coatcheck sweep URL`."""

import io
import sqlite3
from pathlib import Path

import pytest

from coatcheck._commands.sweep import sweep
from coatcheck.cli import main
from coatcheck.storage import FileStorage, SqliteStorage, storage_from_url
from coatcheck.storage.keyed import KeyedStorage
from coatcheck.testing import Clock
from tests.thorough import thorough


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def fill(storage: KeyedStorage, count: int) -> None:
    """Keep so many sessions."""
    for _ in range(count):
        session = storage.read(None)
        session["n"] = 1
        storage.save(session)


@pytest.mark.parametrize("form", ["sqlite", thorough("file"), "postgresql", thorough("mariadb")])
def test_a_whole_round_is_swept(
    form: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that expired is gone, and the command says how much that was."""
    if form in ("sqlite", "file"):
        url = f"{form}:{tmp_path}/sessions"
    else:
        url = f"{request.getfixturevalue(f'{form}_url')}?table=swept&create_table=yes"
    for clock, count in ((Clock(1_000_000_000), 1500), (Clock(4_000_000_000), 3)):
        storage = storage_from_url(url, clock=clock)
        assert isinstance(storage, KeyedStorage)
        storage._sweep_every = None
        fill(storage, count)
        storage.close()
    assert main(["sweep", url]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Removed 1,500 expired sessions.\n"
    assert captured.err == ""
    assert main(["sweep", url]) == 0
    assert capsys.readouterr().out == "Removed 0 expired sessions.\n"


def test_a_terminal_is_shown_a_bar(tmp_path: Path) -> None:
    """It grows to its end, in steps of at most 300 records, which a visitor hardly feels."""
    storage = SqliteStorage(tmp_path / "db", clock=Clock(1_000_000_000), sweep_every=None)
    fill(storage, 1200)
    storage.close()
    out, bar = io.StringIO(), Terminal()
    assert sweep(f"sqlite:{tmp_path}/db", out=out, bar=bar) == 0
    steps = bar.getvalue().split("\r")[1:]
    assert len(steps) >= 5
    assert steps[-1] == f"  {'█' * 40} 100%  1,200 removed\n"
    assert steps[0].startswith("  ███")
    assert out.getvalue() == "Removed 1,200 expired sessions.\n"


def test_one_is_one(tmp_path: Path) -> None:
    """The sentence is a sentence."""
    storage = FileStorage(tmp_path, clock=Clock(1_000_000_000))
    fill(storage, 1)
    out = io.StringIO()
    sweep(f"file:{tmp_path}", out=out, bar=io.StringIO())
    assert out.getvalue() == "Removed 1 expired session.\n"


@pytest.mark.parametrize("url", ["memory:", "cookie:", "memcached://127.0.0.1:1"])
def test_what_expires_by_itself_is_left_alone(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No server is asked."""
    assert main(["sweep", url]) == 0
    assert capsys.readouterr().out.startswith("Nothing to do")


def test_trouble_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is not there exits with 1, and the line tells no password."""
    assert main(["sweep", "postgresql://user:secret@127.0.0.1:1/none"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "secret" not in line


@pytest.mark.parametrize("url", ["file:{}/none", "sqlite:{}/none", "sqlite://{}/a/b", "file:{}"])
def test_a_path_without_sessions_is_an_error_and_makes_nothing(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path with a typing error exits with 1, and the line names it."""
    assert main(["sweep", url.format(tmp_path)]) == 1
    assert f"there are no sessions at {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another application's, or a file that is no database: not a byte changes."""
    with sqlite3.connect(tmp_path / "db") as other:
        other.execute("CREATE TABLE customers (name text)")
    other.close()
    (tmp_path / "letter").write_text("Dear customer, " * 50)
    for name in ("db", "letter"):
        before = (tmp_path / name).read_bytes()
        assert main(["sweep", f"sqlite:{tmp_path}/{name}"]) == 1
        assert "there are no sessions at" in capsys.readouterr().err
        assert (tmp_path / name).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "letter"]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_table_that_is_not_there_is_an_error_and_is_not_made(
    server: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with the option create_table=yes of the application's URL."""
    url = f"{request.getfixturevalue(f'{server}_url')}?create_table=yes&table=none_{server}"
    assert main(["sweep", url]) == 1
    assert main(["sweep", url]) == 1
    for line in capsys.readouterr().err.splitlines():
        assert "failed to sweep" in line
