"""
PostgreSQL and MariaDB of our own: with the settings they come with, so that a commit waits for the
disk.

They do not run as root: where we are root, they run as the user that their package made.
"""

import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from signal import SIGINT

from benchmarks.servers import PATIENCE, program, running

SERVERS = {"postgresql": ("postgres", "postgres"), "mariadb": ("mariadbd", "mysql")}
"""The program of each, and who runs it where we are root."""


@cache
def is_there(name: str) -> bool:
    """Tell whether a server can be run; says so, once, if it cannot."""
    command, user = SERVERS[name]
    found = program(command) is not None and (os.getuid() != 0 or _is_user(user))
    if not found:
        sys.stderr.write(f"{name} is not installed, and left out: run benchmarks/install\n")
    return found


@contextmanager
def postgresql(folder: Path, *, port: int = 0) -> Iterator[str]:
    """
    Run PostgreSQL; yield the folder of its socket. "coatcheck" may do all in "postgres".

    Args:
        port: Of 127.0.0.1, on which it listens, too; 0: on none.
    """
    user, home = _home("postgresql", folder)
    data = str(home / "data")
    _run(user, "initdb", "-D", data, "-U", "coatcheck", "--auth=trust", "-E", "UTF8", "--locale=C")
    options = ["-c", f"unix_socket_directories={home}", "-c", f"port={port or 5432}"]
    options += ["-c", f"listen_addresses={'127.0.0.1' if port else ''}"]
    socket = home / f".s.PGSQL.{port or 5432}"
    # SIGTERM would wait until the last client has left.
    with running(
        "postgres", "-D", data, *options, ready=socket, user=user, ending=SIGINT
    ) as process:
        _wait_until_it_answers(home, port or 5432, process)
        yield str(home)


@contextmanager
def mariadb(folder: Path, *, port: int = 0) -> Iterator[str]:
    """
    Run MariaDB; yield the path of its socket. "coatcheck" may do all in "coatcheck".

    Args:
        port: Of 127.0.0.1, on which it listens, too; 0: on none.
    """
    user, home = _home("mariadb", folder)
    socket, start = home / "socket", home / "start.sql"
    common = ["--no-defaults", f"--datadir={home / 'data'}", f"--tmpdir={home}"]
    _run(user, "mariadb-install-db", *common, "--skip-test-db")
    start.write_text(
        "CREATE DATABASE coatcheck;\n"
        "CREATE USER coatcheck@localhost IDENTIFIED BY 'secret';\n"
        "GRANT ALL ON coatcheck.* TO coatcheck@localhost;\n"
        "CREATE USER coatcheck@'127.0.0.1' IDENTIFIED BY 'secret';\n"
        "GRANT ALL ON coatcheck.* TO coatcheck@'127.0.0.1';\n"
    )
    start.chmod(0o644)
    net = [f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
    options = [f"--socket={socket}", f"--init-file={start}"]
    options += net if port else ["--skip-networking"]
    with running("mariadbd", *common, *options, ready=socket, user=user):
        yield str(socket)


def _home(name: str, folder: Path) -> tuple[str | None, Path]:
    """Return who runs a server, and a folder that is theirs."""
    user = SERVERS[name][1] if os.getuid() == 0 else None
    home = folder / name
    home.mkdir(mode=0o755)
    if user:
        shutil.chown(home, user)
        folder.chmod(0o711)
    return user, home


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _run(user: str | None, command: str, *arguments: str) -> None:
    """Run a program to its end, and fail if it does."""
    whole = [program(command) or command, *arguments]
    done = subprocess.run(whole, capture_output=True, check=False, user=user, cwd="/")
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).decode())


def _wait_until_it_answers(home: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until PostgreSQL, which listens before it answers, does both."""
    ready = [program("pg_isready") or "pg_isready", "-q", "-h", str(home), "-p", str(port)]
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(ready, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("PostgreSQL did not come up")
        time.sleep(0.01)


@contextmanager
def pgbouncer(folder: Path, behind: int, *, port: int) -> Iterator[None]:
    """Run a PgBouncer on a port; it gives each transaction one of ten connections."""
    user = SERVERS["postgresql"][1] if os.getuid() == 0 else None
    home = folder / "pgbouncer"
    home.mkdir(mode=0o755)
    if user:
        shutil.chown(home, user)
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": str(home),
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "10",
    }
    database = f"postgres = host=127.0.0.1 port={behind} user=coatcheck"
    lines = ["[databases]", database, "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    (home / "ini").write_text("\n".join(lines) + "\n")
    socket = home / f".s.PGSQL.{port}"
    with running("pgbouncer", "-q", str(home / "ini"), ready=socket, user=user):
        yield
