"""`coatcheck move OLD NEW`: every living session goes to the other storage, while both serve."""

import json
import time
from pathlib import Path

import pytest

from coatcheck._commands.move import move
from coatcheck._commands.output import Output
from coatcheck._commands.scanning import scan
from coatcheck.cli import main
from coatcheck.storage import FileStorage, KeyedStorage, Migrating, SqliteStorage, storage_from_url
from coatcheck.storage.migrating.backend import MigratingBackend
from tests._commands.stored import KINDS, url_of


def keyed(url: str) -> KeyedStorage:
    """Return the storage of a URL."""
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    return storage


def stored(storage: KeyedStorage, **values: object) -> str:
    """Keep a session, and return its id."""
    session = storage.read(None)
    session.update(values)
    return storage.save(session) or ""


@pytest.mark.parametrize("kind", KINDS)
def test_what_lives_moves_and_a_second_run_finds_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the same ids; a run that was stopped goes on with what is left."""
    old_url, new_url = url_of(kind, tmp_path, request), f"sqlite:{tmp_path}/new/db"
    old = keyed(old_url)
    ids = [stored(old, number=number) for number in range(5)]
    old.close()
    Migrating(old, keyed(new_url)).save(keyed(new_url).read(None))
    new = keyed(new_url)
    stored(new, before=True)
    new.close()
    assert main(["move", old_url, new_url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["moved"] == 5
    new = keyed(new_url)
    assert [new.read(id)["number"] for id in ids] == [0, 1, 2, 3, 4]
    new.close()
    assert main(["move", old_url, new_url]) == 0
    assert "moved" in capsys.readouterr().out


def pair(folder: Path) -> tuple[KeyedStorage, KeyedStorage, list[str]]:
    """Return an old and a new storage in files, and their URLs."""
    old, new = FileStorage(folder / "old"), FileStorage(folder / "new")
    stored(new, there=1)
    return old, new, [f"file:{folder}/old", f"file:{folder}/new"]


def test_sign_outs_markers_and_what_expired_stay_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tombstone still keeps a late request away; an expired session is left to expire."""
    old, new, urls = pair(tmp_path)
    ended, moved = stored(old, a=1), stored(old, a=2)
    session = old.read(ended)
    session.destroy()
    old.save(session)
    session = old.read(moved)
    session.regenerate_id()
    old.save(session)
    past = FileStorage(tmp_path / "old", clock=lambda: time.time() - 100 * 24 * 3600)
    stored(past, a=3)
    old.backend.swap("f" * 64, None, b"\x44none of ours", 60)
    assert main(["move", *urls, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["moved"], told["expired"], told["gone"]) == (3, 1, 1)
    assert new.backend.get(new.space.key(ended)) is not None
    assert new.read(moved).is_new


def test_a_request_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has moved already is left alone."""
    old, new, urls = pair(tmp_path)
    id = stored(old, a=1)
    both = Migrating(old, new)

    def slow(storage: KeyedStorage) -> object:
        for step in scan(storage):
            session = both.read(id)
            session["b"] = 2
            both.save(session)
            yield step

    monkeypatch.setattr("coatcheck._commands.move.scan", slow)
    assert move(urls[0], urls[1], Output(as_json=True)) == 0
    assert dict(new.read(id)) == {"a": 1, "b": 2}


def test_a_record_that_keeps_changing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says that another run is due."""
    old, _, urls = pair(tmp_path)
    stored(old, a=1)
    monkeypatch.setattr(MigratingBackend, "swap", lambda *_: "refused")
    assert main(["move", *urls, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["left"] == 1


def test_sessions_in_clear_do_not_move_into_encryption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is made from an id that the command does not know."""
    stored(SqliteStorage(tmp_path / "old"), a=1)
    stored(SqliteStorage(tmp_path / "new", encrypt=True), a=1)
    with pytest.raises(SystemExit) as ended:
        main(["move", f"sqlite:{tmp_path}/old", f"sqlite:{tmp_path}/new?encrypt=yes"])
    assert ended.value.code == 2
    assert "let Migrating(OLD, NEW) move the sessions" in capsys.readouterr().err


def test_one_storage_does_not_move_into_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same URL twice is a mistake, and the message says so."""
    _, _, (url, _) = pair(tmp_path)
    with pytest.raises(SystemExit):
        main(["move", url, url])
    assert "OLD and NEW must be two storages" in capsys.readouterr().err
