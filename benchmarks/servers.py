"""Servers of our own: on sockets in a folder, and on another core than ours."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM, Signals

PATIENCE = 20
"""Seconds that a server may take to come up."""


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run Redis, which writes nothing to disk; yield the path of its socket."""
    path = folder / "redis"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    with running("redis-server", *options, "--dir", str(folder), ready=path):
        yield str(path)


@contextmanager
def memcached(folder: Path) -> Iterator[str]:
    """Run Memcached with room for a million sessions; yield the path of its socket."""
    path = folder / "memcached"
    account = ["-u", "root"] if os.getuid() == 0 else []
    with running("memcached", *account, "-s", str(path), "-m", "2048", "-t", "1", ready=path):
        yield str(path)


@contextmanager
def running(
    *command: str, ready: Path, user: str | None = None, ending: Signals = SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a server on every core but ours, until the block ends.

    Args:
        ready: Its socket.
        user: Who runs it; None: whoever runs the benchmark.
        ending: The signal that ends it.
    """
    path = program(command[0])
    if path is None:
        raise SystemExit(f"{command[0]} is not installed: run benchmarks/install")
    process = subprocess.Popen(
        [path, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=leave_our_core,
        user=user,
        cwd="/",
    )
    try:
        _wait_for(ready, process)
        yield process
    finally:
        process.send_signal(ending)
        process.wait(PATIENCE)


def program(name: str) -> str | None:
    """Return the path of a program, if it is installed; Debian keeps PostgreSQL's off the PATH."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, newest_first)]
    return shutil.which(name, path=os.pathsep.join(places))


def pin() -> None:
    """Keep this process on one core: the last it may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def leave_our_core() -> None:
    """Let a process that was just started run on every core but ours, if there is another."""
    others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    if others:
        os.sched_setaffinity(0, others)


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            if path.exists() and client.connect_ex(str(path)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("a server did not come up")
        time.sleep(0.01)
