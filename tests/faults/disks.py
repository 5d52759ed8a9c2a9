"""Disks that tests may fill and make read-only: a small one in memory, and a view of a folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIZE = 2_000_000
"""Bytes of a small disk: room for a database and its log, and soon none."""


def refused(why: str) -> None:
    """Skip what this machine does not allow, or fail in CI."""
    if os.environ.get("CI") and os.getuid() == 0:
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def _mount(*options: str) -> None:
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    if done.returncode:
        refused(f"this user may not mount: {done.stderr.decode().strip()}")


@contextmanager
def small_disk(folder: Path, *, owner: str | None = None, size: int = SIZE) -> Iterator[Path]:
    """Mount a small disk there."""
    folder.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder))
    try:
        if owner:
            shutil.chown(folder, owner, owner)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(folder: Path, view: Path) -> Iterator[Path]:
    """Mount a view of a folder through which nobody can write, not even root."""
    view.mkdir()
    _mount("--bind", str(folder), str(view))
    try:
        _mount("-o", "remount,bind,ro", str(view))
        yield view
    finally:
        subprocess.run(["umount", "-l", str(view)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill a disk to its last byte; there is room again when the block ends."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 1):
            while _took(file.fileno(), size):
                pass
    yield
    filler.unlink()


def _took(file: int, size: int) -> bool:
    try:
        return os.write(file, bytes(size)) > 0
    except OSError:
        return False
