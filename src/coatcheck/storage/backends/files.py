"""
Sessions in files: no server, several processes, one machine.

    sessions/ab/ab12…        8 bytes deadline, then the record
    sessions/locks/ab        the lock of the folder ab/: a write to a file in ab/ holds it

A file is written whole: to a temporary file beside it, then renamed. So a reader takes no lock, and
sees the old record or the new one, also when a writer is killed. Nothing waits for the disk (no
fsync): a power cut may lose the last writes, and a file it tore counts as absent. Files are 0600,
in folders that are 0700. The locks are local (flock), so the folder belongs on a local disk.
If the folder is removed while it is in use, the next write makes it again.
"""

import logging
import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from coatcheck._session.record import LIMIT
from coatcheck.errors import BackendError, ConfigurationError
from coatcheck.storage.arguments import Duration, path_of, seconds_of
from coatcheck.storage.backend import Refused, Stored
from coatcheck.storage.backends.inline import Busy, InlineBackend
from coatcheck.storage.backends.private_paths import check, check_owner, is_ours, make_folder
from coatcheck.storage.clock import TimeSource, system_clock
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.sweeping import SWEEP_EVERY

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

ABANDONED = 3600  # seconds after which no writer uses a temporary file any more

PAUSES = (0.0005, 0.02)
"""Seconds between two looks at a lock that another writer holds: the shortest, the longest."""

SERVER = "the folder of sessions"

_DEADLINE = struct.Struct(">d")
LARGEST = _DEADLINE.size + LIMIT + 8  # a storage around this one may put a mark before a record
_KEY = re.compile(r"[A-Za-z0-9_:-]{2,200}")
_FOLDERS = [f"{number:02x}" for number in range(256)]

_logger = logging.getLogger("coatcheck")


class FileBackend:
    """
    A file a record. A version is the record itself.

    Args:
        directory: Made if it is missing.
        timeout: Seconds to wait for another writer; then a call is `Busy`.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: *directory* is no path, or this system has no flock.
        BackendError: The folders cannot be made, or belong to another user.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, timeout: float, clock: TimeSource
    ) -> None:
        if fcntl is None:
            raise ConfigurationError("FileStorage needs a POSIX system: use another storage here")
        self._directory = path_of("directory", directory)
        self._timeout = timeout
        self._clock = clock
        self._next_folder = 0
        self.swept = 0.0
        with self._telling("open"):
            self._make_folders()

    def get(self, key: str) -> Stored | None:
        with self._telling("read"):
            return self._read(self._path(key))

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        path = self._path(key)
        with self._telling("write"), self._locked(path):
            stored = self._read(path)
            if (stored.version if stored else None) != version:
                return Refused(stored)
            self._write(path, _DEADLINE.pack(self._clock() + ttl) + record)
        return None

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._telling("delete"), self._locked(path):
            path.unlink(missing_ok=True)

    def sweep(self, limit: int = 1000) -> int:
        """
        Remove expired records and abandoned temporary files; return how many.

        Each call goes on where the last one ended, and `swept` tells the share of the round that
        is done; 0 when it has come round. Other processes may read, write and sweep at the same
        time.

        Args:
            limit: How many files to look at, at the least one folder of the 256.

        Raises:
            BackendError: The folder cannot be read or written.
        """
        seen = removed = 0
        for _ in _FOLDERS:
            files, gone = self._sweep_folder(_FOLDERS[self._next_folder])
            self._next_folder = (self._next_folder + 1) % len(_FOLDERS)
            seen, removed = seen + files, removed + gone
            if seen >= limit or self._next_folder == 0:
                break
        self.swept = self._next_folder / len(_FOLDERS)
        return removed

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("a key has letters, digits, '-', '_' and ':', and no others")
        return self._directory / _folder_of(key) / key

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Keep every other thread and process out of the path's folder."""
        lock = self._locked_file(self._directory / "locks" / path.parent.name)
        try:
            yield
        finally:
            os.close(lock)

    def _locked_file(self, path: Path) -> int:
        """Return the lock at *path*, held. If it was removed meanwhile, a new one is made."""
        while True:
            lock = self._opened_lock(path)
            try:
                self._wait_for(lock)
                if _is_at(lock, path):
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _opened_lock(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            self._make_folders()
            return os.open(path, flags, 0o600)

    def _make_folders(self) -> None:
        for folder in (self._directory, self._directory / "locks"):
            make_folder(folder)
            check_owner(folder, follow=folder == self._directory)

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + self._timeout
        pause, longest = PAUSES
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                if time.monotonic() >= deadline:
                    why = f"{self._directory}: another writer holds the lock"
                    raise Busy(SERVER, "lock", why) from held
                time.sleep(pause)
                pause = min(pause * 2, longest)
            else:
                return

    def _read(self, path: Path) -> Stored | None:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            ours = is_ours(os.fstat(file))
            data = os.read(file, LARGEST + 1)
        finally:
            os.close(file)
        if not ours:
            _logger.warning("a session file belongs to another user and counts as absent")
            return None
        if not _DEADLINE.size <= len(data) <= LARGEST:
            _logger.warning("a session file is damaged and counts as absent")
            return None
        if _DEADLINE.unpack_from(data)[0] <= self._clock():
            return None
        record = data[_DEADLINE.size :]
        return Stored(record, version=record)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{token_hex(8)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            try:
                file = os.open(temporary, flags, 0o600)
            except FileNotFoundError:
                make_folder(path.parent)
                file = os.open(temporary, flags, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """Raise what goes wrong in the block as a `BackendError` that names the folder."""
        try:
            yield
        except OSError as error:
            error.filename = str(self._directory)  # not the file: its name is a key
            del error.filename2
            why = f"{self._directory}: {error.strerror}"
            raise BackendError(SERVER, doing, why) from error
        except ConfigurationError as error:
            raise BackendError(SERVER, doing, str(error)) from None

    def _sweep_folder(self, name: str) -> tuple[int, int]:
        """Sweep one folder; return how many files it had, and how many are gone."""
        with self._telling("sweep"):
            try:
                paths = list((self._directory / name).iterdir())
            except FileNotFoundError:
                return 0, 0
            gone = 0
            for path in paths:
                if self._is_spent(path):
                    gone += self._remove_if_spent(path)
            return len(paths), gone

    def _remove_if_spent(self, path: Path) -> bool:
        with self._locked(path):  # looked at again, now that no other writer can change it
            spent = self._is_spent(path)
            if spent:
                path.unlink(missing_ok=True)
            return spent

    def _is_spent(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            if path.suffix == ".tmp":
                return path.stat().st_mtime < self._clock() - ABANDONED
            with path.open("rb") as file:
                header = file.read(_DEADLINE.size)
            return len(header) < _DEADLINE.size or _DEADLINE.unpack(header)[0] <= self._clock()
        return False


def _folder_of(key: str) -> str:
    """Return the folder of a key: its first two digits, if it is a digest, as ours are."""
    return key[:2] if key[:2] in _FOLDERS else "00"


def _is_at(file: int, path: Path) -> bool:
    """Tell whether an open file is the one at *path*."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def holds_sessions(directory: Path) -> bool:
    """Tell whether there is a folder of sessions at a path; nothing is made."""
    return (directory / "locks").is_dir()


def check_folder(directory: Path) -> None:
    """
    Check a folder of sessions that is there already, and the folders and locks in it.

    Raises:
        ConfigurationError: One of them belongs to another user, or is a symbolic link inside it.
    """
    check(directory, follow=True)
    locks = directory / "locks"
    for path in (locks, *(directory / name for name in _FOLDERS)):
        check(path)
    for name in _FOLDERS:
        check(locks / name)


def FileStorage(
    directory: str | os.PathLike[str],
    *,
    timeout: Duration = 5.0,
    sweep_every: int | None = SWEEP_EVERY,
    clock: TimeSource | None = None,
    encrypt: bool = False,
) -> KeyedStorage:
    """
    Return a storage in files below *directory*.

    Args:
        directory: On a local disk; made if it is missing. One folder an application.
        timeout: How long to wait for another writer before a call fails.
        sweep_every: New sessions between two small sweeps; None: the application sweeps.
        clock: Seconds since 1970; None: the system's clock.
        encrypt: Encrypt what a session holds, with a key made from its id, which the folder never
            sees (extra `coatcheck[encrypt]`).

    Raises:
        ConfigurationError: An argument is of another kind; or this system has no flock; or the
            folder, or one in it, was there already and belongs to another user.
        BackendError: The folders cannot be made.

    Warns:
        CoatcheckWarning: Other users may write to the folder.
    """
    clock = clock or system_clock
    check_folder(path_of("directory", directory))
    timeout = seconds_of("timeout", timeout)
    patient = FileBackend(directory, timeout=timeout, clock=clock)
    impatient = FileBackend(directory, timeout=0, clock=clock)
    backend = InlineBackend(impatient, patient)
    aio = AsyncKeyedStorage(
        backend, clock=clock, sweep_every=sweep_every, seldom_waits=True, encrypt=encrypt
    )
    return KeyedStorage(patient, clock=clock, aio=aio, sweep_every=sweep_every, encrypt=encrypt)
