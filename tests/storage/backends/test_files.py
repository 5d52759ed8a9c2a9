"""The backend in files."""

import os
import signal
import stat
from pathlib import Path

import pytest

from coatcheck.errors import BackendError
from coatcheck.storage import FileStorage
from coatcheck.storage.backends.files import ABANDONED, FileBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import BackendContract, Clock
from coatcheck.testing.backend_contract import HOUR, Make, new_key
from tests.processes import CONTEXT


class TestFileBackend(BackendContract):
    """Every rule of a backend."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: FileBackend(tmp_path, timeout=5, clock=system_clock)


@pytest.fixture
def backend(tmp_path: Path, clock: Clock) -> FileBackend:
    return FileBackend(tmp_path / "sessions", timeout=5, clock=clock)


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks"]


def test_only_the_owner_can_read(backend: FileBackend, tmp_path: Path) -> None:
    """Files are 0600 and folders 0700, whatever the umask allows."""
    before = os.umask(0)
    try:
        backend.swap(new_key(), None, b"secret", HOUR)
    finally:
        os.umask(before)
    for path in (tmp_path / "sessions").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "key", ["", "a", "../x", "a/b", "..", "a\\b", "a\0b", "%2e%2e", "C:x y", "a" * 201, "é" * 9]
)
def test_a_key_that_could_leave_the_folder_reaches_no_file(backend: FileBackend, key: str) -> None:
    """A key with anything but letters, digits, '-', '_' and ':' is refused."""
    for call in (
        lambda: backend.get(key),
        lambda: backend.swap(key, None, b"", 1),
        lambda: backend.delete(key),
    ):
        with pytest.raises(ValueError, match="key"):
            call()


def test_no_temporary_file_is_left(backend: FileBackend, tmp_path: Path) -> None:
    """A write leaves one file, the record's."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    backend.swap(key, b"one", b"two", HOUR)
    assert [path.name for path in files_of(tmp_path)] == [key]


def test_a_failed_write_keeps_the_old_record(
    backend: FileBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails before the rename, the old record stands and no temporary file is left."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(BackendError) as raised:
        backend.swap(key, b"one", b"two", HOUR)
    assert isinstance(raised.value.__cause__, OSError)
    stored = backend.get(key)
    assert stored and stored.record == b"one"
    assert len(files_of(tmp_path)) == 1


@pytest.mark.parametrize("damage", [b"", b"1234567", b"x" * 1_000_100])
def test_a_damaged_file_counts_as_absent(
    backend: FileBackend, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is too short or too large reads as nothing, with a warning that names no key."""
    key = new_key()
    backend.swap(key, None, b"one", HOUR)
    files_of(tmp_path)[0].write_bytes(damage)
    assert backend.get(key) is None
    assert "damaged" in caplog.text
    assert key not in caplog.text
    assert backend.swap(key, None, b"two", HOUR) is None


def test_a_folder_that_cannot_be_written_is_a_backend_error(tmp_path: Path) -> None:
    """What the system refuses is a BackendError with the system's error as its cause."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BackendError) as raised:
        FileBackend(tmp_path / "file", timeout=5, clock=system_clock)
    assert isinstance(raised.value.__cause__, OSError)


def test_a_sweep_removes_what_expired(backend: FileBackend, clock: Clock, tmp_path: Path) -> None:
    """Expired records go, the others stay, and the sweep says how many went."""
    for _ in range(5):
        backend.swap(new_key(), None, b"short", 10)
    kept = new_key()
    backend.swap(kept, None, b"long", HOUR)
    clock.advance(11)
    assert backend.sweep() == 5
    assert [path.name for path in files_of(tmp_path)] == [kept]


def test_a_sweep_is_bounded_and_goes_on_where_it_ended(backend: FileBackend, clock: Clock) -> None:
    """Each call looks at one folder at the least, and the next call at the next one."""
    for number in range(256):
        backend.swap(f"{number:02x}{new_key()}", None, b"short", 10)
    clock.advance(11)
    assert [backend.sweep(limit=10) for _ in range(3)] == [10, 10, 10]
    assert sum(backend.sweep(limit=10) for _ in range(30)) == 226


def test_a_sweep_removes_abandoned_temporary_files(
    backend: FileBackend, clock: Clock, tmp_path: Path
) -> None:
    """What a killed process left goes an hour later, and not while it may still be written."""
    key = new_key()
    backend.swap(key, None, b"one", 100 * HOUR)
    abandoned = files_of(tmp_path)[0].with_name("left.tmp")
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (clock.now, clock.now))
    assert backend.sweep() == 0
    clock.advance(ABANDONED + 1)
    assert backend.sweep() == 1
    assert backend.get(key) is not None


def test_a_round_of_sweeps_tells_how_far_it_is(backend: FileBackend, clock: Clock) -> None:
    """`swept` grows to the end of the round, where it is 0 again; no call goes round twice."""
    for number in range(256):
        backend.swap(f"{number:02x}{new_key()}", None, b"short", 10)
    clock.advance(11)
    assert backend.sweep(limit=100) == 100
    assert backend.swept == 100 / 256
    assert backend.sweep(limit=1000) == 156
    assert backend.swept == 0


def count_up(folder: str, value: str, times: int) -> None:
    storage = FileStorage(folder)
    for _ in range(times):
        session = storage.read(value)
        session.apply("n", lambda n: n + 1, 0)
        storage.save(session)


def test_several_processes_lose_no_update(tmp_path: Path) -> None:
    """Four processes that count in one session count exactly."""
    storage = FileStorage(tmp_path)
    session = storage.read(None)
    session["n"] = 0
    value = storage.save(session)
    assert value
    workers = [CONTEXT.Process(target=count_up, args=(str(tmp_path), value, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert storage.read(value)["n"] == 100


def write_for_ever(folder: str, value: str, ready: object) -> None:
    storage = FileStorage(folder)
    number = 0
    while True:
        session = storage.read(value)
        number += 1
        session["number"], session["copy"], session["filler"] = number, number, "x" * 50_000
        storage.save(session)
        if number == 3:
            ready.set()  # type: ignore[attr-defined]


def test_a_killed_writer_leaves_no_torn_record(tmp_path: Path) -> None:
    """After kill -9 in the middle of writing, a whole record is there, and its lock is free."""
    storage = FileStorage(tmp_path)
    session = storage.read(None)
    session["number"], session["copy"] = 0, 0
    value = storage.save(session)
    assert value
    for _ in range(3):
        ready = CONTEXT.Event()
        worker = CONTEXT.Process(target=write_for_ever, args=(str(tmp_path), value, ready))
        worker.start()
        assert ready.wait(30)
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        found = storage.read(value)
        assert found["number"] == found["copy"] > 0
        found["number"], found["copy"] = 0, 0
        storage.save(found)
        assert storage.read(value)["number"] == 0
