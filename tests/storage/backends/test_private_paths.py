"""Folders, files, locks and databases that were there already, and those that vanish."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from coatcheck import BackendError, ConfigurationError
from coatcheck.errors import CoatcheckWarning
from coatcheck.storage import FileStorage, KeyedStorage, SqliteStorage, storage_from_url
from coatcheck.storage.backends import sqlite
from coatcheck.storage.backends.private_paths import make_folder

NOBODY = 65534

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")

Make = Callable[[Path], KeyedStorage]


def files(place: Path) -> KeyedStorage:
    return FileStorage(place / "sessions")


def database(place: Path) -> KeyedStorage:
    return SqliteStorage(place / "sessions" / "db")


def sign_in(storage: KeyedStorage) -> str | None:
    session = storage.read(None)
    session["user"] = "ada"
    return storage.save(session)


@pytest.fixture(params=[files, database])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def used(make: Make, tmp_path: Path) -> Path:
    """A place where a storage was used before."""
    storage = make(tmp_path)
    sign_in(storage)
    storage.close()
    leave_log(tmp_path)
    return tmp_path


def leave_log(place: Path) -> None:
    """Leave what a process that is killed leaves beside a database."""
    if (place / "sessions" / "db").exists():
        for end in ("-wal", "-shm"):
            (place / "sessions" / f"db{end}").touch(mode=0o600)


def paths_below(place: Path) -> list[Path]:
    return [place / "sessions", *(place / "sessions").rglob("*")]


def records(place: Path) -> set[Path]:
    """The files of records: they are looked at when they are read."""
    return set((place / "sessions").glob("[0-9a-f][0-9a-f]/*"))


@AS_ROOT
def test_what_belongs_to_another_user_is_refused(make: Make, used: Path) -> None:
    """Each folder, lock, database and file beside it; the error names the path."""
    for path in set(paths_below(used)) - records(used):
        os.chown(path, NOBODY, -1)
        with pytest.raises(ConfigurationError, match=f"{path} must belong to"):
            make(used)
        os.chown(path, 0, -1)
    assert make(used)


@pytest.mark.parametrize("bit", [stat.S_IWGRP, stat.S_IWOTH])
def test_what_others_may_write_to_is_warned_about(make: Make, used: Path, bit: int) -> None:
    """Each of the same paths; the warning names the path."""
    for path in set(paths_below(used)) - records(used):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | bit)
        with pytest.warns(CoatcheckWarning, match=f"{path} holds sessions and can be written"):
            make(used).close()
        leave_log(used)
        for each in paths_below(used):
            each.chmod(0o700 if each.is_dir() else 0o600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(used)


def test_no_symbolic_link_is_followed_for_a_lock(used: Path, make: Make, tmp_path: Path) -> None:
    """A link inside the folder, or in place of a file beside a database, is refused."""
    target = tmp_path / "target"
    target.write_text("precious")
    inside = [path for path in paths_below(used)[1:] if path.name != "db"]
    for path in set(inside) - records(used):
        kept = path.rename(tmp_path / "kept")
        path.symlink_to(target)
        with pytest.raises(ConfigurationError, match=f"{path} must not be a symbolic link"):
            make(used)
        path.unlink()
        kept.rename(path)
    assert target.read_text() == "precious"


def test_a_link_that_appears_later_is_not_followed_either(tmp_path: Path) -> None:
    """The write fails with a BackendError, and what the link leads to stays as it is."""
    storage = files(tmp_path)
    for number in range(256):
        (tmp_path / "sessions" / "locks" / f"{number:02x}").symlink_to(tmp_path / "new")
    with pytest.raises(BackendError):
        sign_in(storage)
    assert not (tmp_path / "new").exists()


def test_a_link_to_the_folder_itself_is_followed(make: Make, used: Path, tmp_path: Path) -> None:
    """Deployments keep data elsewhere and lead there by a link."""
    moved = (used / "sessions").rename(tmp_path / "elsewhere")
    (used / "sessions").symlink_to(moved)
    assert sign_in(make(used))


@AS_ROOT
def test_the_record_of_another_user_counts_as_absent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who may write to the folder cannot put a session there."""
    storage = files(tmp_path)
    value = sign_in(storage)
    (record,) = records(tmp_path)
    os.chown(record, NOBODY, -1)
    assert storage.read(value).is_new
    assert "belongs to another user" in caplog.text
    assert record.name not in caplog.text


@AS_ROOT
def test_a_database_in_a_folder_such_as_tmp_is_fine(tmp_path: Path) -> None:
    """It is root's, and sticky: nobody can replace the files of others."""
    tmp_path.chmod(0o1777)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SqliteStorage(tmp_path / "db").close()


def test_missing_parents_are_made_for_the_owner_alone(make: Make, tmp_path: Path) -> None:
    """Each of them 0700, whatever the umask allows."""
    before = os.umask(0)
    try:
        make(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    for folder in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "sessions"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """The system's error names it."""
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file"):
        make_folder(tmp_path / "file")


def user_of(storage: KeyedStorage, value: str | None) -> object:
    return storage.read(value).get("user")


def in_thread(look: Callable[[], object]) -> object:
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(look()))
    thread.start()
    thread.join()
    return seen[0]


def test_a_folder_that_was_removed_is_made_again(make: Make, tmp_path: Path) -> None:
    """The next sign-in is saved, also for the threads that had used the old one."""
    storage = make(tmp_path)
    first = sign_in(storage)
    go, done = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)
    values: list[str | None] = [first]
    seen: list[object] = []

    def other_thread() -> None:
        for _ in range(2):
            go.wait()
            seen.append(user_of(storage, values[-1]))
            done.wait()

    thread = threading.Thread(target=other_thread)
    thread.start()
    go.wait()
    done.wait()
    shutil.rmtree(tmp_path / "sessions")
    values.append(sign_in(storage))
    go.wait()
    done.wait()
    thread.join()
    assert seen == ["ada", "ada"]
    assert user_of(storage, values[-1]) == "ada"
    assert in_thread(lambda: user_of(storage, values[-1])) == "ada"
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700
    storage.close()


READER = """
import sys
from coatcheck.storage import storage_from_url
storage = storage_from_url(sys.argv[1])
for line in sys.stdin:
    print(storage.read(line.strip()).get("user"), flush=True)
"""


@pytest.mark.parametrize("form", ["file:{}/sessions", "sqlite:{}/sessions/db"])
def test_other_processes_find_the_new_folder_too(form: str, tmp_path: Path) -> None:
    """A process that used the old one reads what another saved in the new one."""
    url = form.format(tmp_path)
    storage = storage_from_url(url)
    assert isinstance(storage, KeyedStorage)
    first = sign_in(storage)
    command = [sys.executable, "-c", READER, url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as other:
        assert other.stdin
        assert other.stdout
        for value in (first, None):
            if value is None:
                shutil.rmtree(tmp_path / "sessions")
                value = sign_in(storage)  # noqa: PLW2901
            print(value, file=other.stdin)
            assert other.stdout.readline() == "ada\n"
        other.stdin.close()
    storage.close()


def test_a_session_of_a_removed_database_is_gone_in_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads that find something look for the file now and then."""
    storage = database(tmp_path)
    value = sign_in(storage)
    shutil.rmtree(tmp_path / "sessions")
    monkeypatch.setattr(sqlite, "LOOKS_EVERY", 0)
    assert user_of(storage, value) is None
    storage.close()


def test_a_lock_that_was_removed_locks_nobody_out(tmp_path: Path) -> None:
    """Who waited for it locks the one that is there now: two writers never hold two locks."""
    backend = FileStorage(tmp_path / "sessions").backend
    path = tmp_path / "sessions" / "aa" / "key"
    waiting, entered = threading.Event(), threading.Event()
    opened = backend._opened_lock  # type: ignore[attr-defined]

    def opening(lock: Path) -> int:
        found: int = opened(lock)
        waiting.set()
        return found

    def second() -> None:
        with backend._locked(path):  # type: ignore[attr-defined]
            entered.set()

    with backend._locked(path):  # type: ignore[attr-defined]
        backend._opened_lock = opening  # type: ignore[attr-defined]
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        shutil.rmtree(tmp_path / "sessions")
        with backend._locked(path):  # type: ignore[attr-defined]
            pass
    assert entered.wait(30)
    thread.join()


@pytest.mark.parametrize(
    "make_it",
    [
        lambda: SqliteStorage(":memory:"),
        lambda: storage_from_url("sqlite::memory:"),
        lambda: storage_from_url("sqlite:///:memory:"),
    ],
)
def test_a_database_in_memory_is_refused(make_it: Callable[[], object]) -> None:
    """Each thread would have one of its own; the error names what to use."""
    with pytest.raises(ConfigurationError, match="MemoryStorage"):
        make_it()


def test_errors_name_the_path_and_the_reason(make: Make, tmp_path: Path) -> None:
    """And no file of a record, whose name is a key: not in the chained errors either."""
    storage = make(tmp_path)
    value = sign_in(storage)
    path = tmp_path / "sessions"
    if make is database:
        path /= "db"
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE coatcheck_sessions")
        other.close()
        reason = "no such table"
    else:
        (record,) = records(tmp_path)
        record.unlink()
        record.mkdir()
        reason = "Is a directory"
    with pytest.raises(BackendError, match=f"{path}.*{reason}") as raised:
        storage.read(value)
    if make is files:
        assert record.name not in str(raised.value)
        assert record.name not in str(raised.value.__cause__)
    storage.close()


@AS_ROOT
def test_a_folder_that_another_user_made_again_is_a_backend_error(
    make: Make, tmp_path: Path
) -> None:
    """While the application runs, an error of the storage; nothing is written there."""
    storage = make(tmp_path)
    sign_in(storage)
    shutil.rmtree(tmp_path / "sessions")
    (tmp_path / "sessions").mkdir()
    os.chown(tmp_path / "sessions", NOBODY, -1)
    with pytest.raises(BackendError, match="must belong to"):
        sign_in(storage)
    storage.close()
