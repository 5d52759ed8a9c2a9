"""
Environments of the packages that people move from, made once and kept in the user's cache folder.

They are of those packages alone: coatcheck is not in them. Of several workers that need one, the
first makes it, and the others wait. Where the network does not answer, the tests that need them
are skipped.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CURRENT = [
    "aiohttp==3.14.5",
    "aiohttp-session[aioredis,secure]==2.12.1",
    "Django==5.2.19",
    "Flask==3.1.3",
    "Flask-Session[redis]==0.8.0",
    "redis==8.1.0",
    "starlette==1.10.0",
    "starsessions[redis]==2.2.1",
    "itsdangerous==2.2.0",
]
"""The packages of today."""

OLDER = ["Flask==2.3.3", "Werkzeug==2.3.8", "Flask-Session==0.5.0", "redis==5.0.8"]
"""Flask-Session that wrote pickles."""

NODE = ["express@5.1.0", "express-session@1.18.2", "connect-redis@9.0.0", "redis@5.8.2"]
"""Packages of npm."""


def cache() -> Path:
    """Return the folder of the environments."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "coatcheck-tests"


def python_with(packages: list[str]) -> Path:
    """Return the interpreter of an environment that has these packages."""
    folder = _folder("python", [*packages, sys.version])
    python = folder / "bin" / "python"
    with _to_be_made(folder) as missing:
        if missing:
            _run([sys.executable, "-m", "venv", str(folder)])
            pip = [str(python), "-m", "pip", "install", "-q", "--retries", "1", "--timeout", "20"]
            _run([*pip, "--disable-pip-version-check", *packages])
    return python


def node_with(packages: list[str]) -> Path:
    """Return a folder in which Node finds these packages."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = _folder("node", packages)
    with _to_be_made(folder) as missing:
        if missing:
            folder.mkdir()
            _run(["npm", "install", "--silent", "--no-audit", "--prefix", str(folder), *packages])
    return folder


@contextmanager
def _to_be_made(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder; yield whether it is to be made, with what is half made removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not (folder / "done").exists()
        if missing:
            shutil.rmtree(folder, ignore_errors=True)
        yield missing
        (folder / "done").touch()


def _folder(kind: str, packages: list[str]) -> Path:
    digest = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:12]
    return cache() / f"{kind}-{digest}"


_failed: dict[tuple[str, ...], str] = {}
"""Commands that failed in this run: they are not tried again for the next test."""


def _run(command: list[str]) -> None:
    if tuple(command) not in _failed:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if not done.returncode:
            return
        _failed[tuple(command)] = done.stderr[-300:]
    pytest.skip(f"{command[0]} could not install: {_failed[tuple(command)]}")
