"""Writers that are killed: a few of the kills that `python -m tests.kills` makes."""

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from coatcheck import Session
from coatcheck.storage import KeyedStorage
from coatcheck.storage.backends.files import FileBackend
from tests.kills import KINDS, Findings, main, run

# Nothing but the writer runs in the child of a fork, and it is always killed.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

ROW = re.compile(r"\| (\w+) \| 6 \| (\d+) \| (\d+) \| 0 \| 0 \|")


def test_kill_9_of_a_writer_tears_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What was saved is there, whole, and can be written, in files and in SQLite."""
    assert main(["--kills", "6", "--seed", "6"]) == 0
    rows = ROW.findall(capsys.readouterr().out)
    assert [name for name, _, _ in rows] == list(KINDS)
    assert all(int(checked) > 6 for _, _, checked in rows)


def test_a_storage_that_tears_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If records were written in place, kills would tear some, and the count would tell."""

    def in_place(_: FileBackend, path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(data), 500):
                file.write(data[start : start + 500])

    monkeypatch.setattr(FileBackend, "_write", in_place)
    assert any(found.torn for found in few_kills("FileStorage", tmp_path))


def test_a_storage_that_loses_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a save could return before it wrote, kills would lose some, and the count would tell."""
    save = KeyedStorage.save

    def forgetful(storage: KeyedStorage, session: Session) -> str | None:
        kept = storage.read(session.id).get("number") if session.id else None
        return session.id if isinstance(kept, int) and kept % 7 == 0 else save(storage, session)

    monkeypatch.setattr(KeyedStorage, "save", forgetful)
    assert any(found.lost for found in few_kills("SqliteStorage", tmp_path))


def few_kills(kind: str, folder: Path) -> Iterator[Findings]:
    """Yield what was found after four kills each time, as long as somebody asks, or forty."""
    for seed in range(10):
        place = folder / str(seed)
        place.mkdir()
        yield run(KINDS[kind], place, 4, Random(seed))
