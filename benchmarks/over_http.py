"""
Applications over real HTTP: uvicorn and granian, one worker on one core, under wrk on another.

All servers run at once and wait; wrk asks one after another, in rounds whose order is shuffled.
"""

import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import work
from benchmarks.drivers import after
from benchmarks.measure import progress
from benchmarks.place import place
from benchmarks.served import NAMES
from benchmarks.servers import PATIENCE, leave_our_core

CONNECTIONS = 32
CLIENTS = 1000
"""Clients that come in turn: two requests for one session at once are rare."""

SCRIPT = Path(__file__).parent / "clients.lua"
WORKS = {"W2": "/", "W3": "/write"}


@dataclass
class Served:
    """An application that a server serves; and what wrk found."""

    server: str
    app: str
    port: int
    cookies: Path
    found: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in WORKS})


def run(*, rounds: int, seconds: int) -> list[dict[str, Any]]:
    """Measure, and return a row for each server, application and work."""
    if not shutil.which("wrk"):
        sys.stderr.write("wrk is not installed: no figures over HTTP\n")
        return []
    with ExitStack() as stack:
        where = stack.enter_context(place())
        environ = {**os.environ, "BENCHMARK_REDIS": where.server("redis")}
        all_served = [
            stack.enter_context(serve(server, app, environ, where.folder))
            for server in ("uvicorn", "granian")
            for app in NAMES
        ]
        for served in all_served:
            if served.app != "bare":
                _sign_in(served)
        for served in all_served:
            if served.app == "bare":  # the same bytes to receive and to parse, for nothing
                like = where.folder / f"{served.server}-cookie"
                served.cookies.write_text(like.read_text())
        turns = [(served, name) for served in all_served for name in WORKS]
        order = random.Random(5)
        for number in range(rounds):
            order.shuffle(turns)
            for served, name in turns:
                progress(f"HTTP round {number + 1} of {rounds}: {served.server}, {served.app}")
                served.found[name].append(_wrk(served, WORKS[name], seconds))
        progress("")
    return _rows(all_served)


@contextmanager
def serve(server: str, app: str, environ: dict[str, str], folder: Path) -> Iterator[Served]:
    """Serve an application on a port of this machine, on our core, until the block ends."""
    port = _free_port()
    address = ["--host", "127.0.0.1", "--port", str(port)]
    options = {
        "uvicorn": ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log"],
        "granian": ["--factory", "--interface", "asgi", "--loop", "uvloop", "--workers", "1"],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", server, *options[server], *address, "benchmarks.served:app"],
        env={**environ, "BENCHMARK_APP": app},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield Served(server, app, port, folder / f"{server}-{app}")
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _sign_in(served: Served) -> None:
    """Get the cookies of many clients, and make sure that they have sessions."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    cookies = [after(None, _asked(connection, "/fill", "")[0]) or "" for _ in range(CLIENTS)]
    _, body = _asked(connection, "/show", cookies[0])
    connection.close()
    if json.loads(body) != work.data_of(1):
        raise AssertionError(f"{served.app} under {served.server} has no session")
    served.cookies.write_text("".join(f"{cookie}\n" for cookie in cookies))


def _asked(
    connection: http.client.HTTPConnection, path: str, cookie: str
) -> tuple[list[str], bytes]:
    connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
    response = connection.getresponse()
    return response.headers.get_all("set-cookie", []), response.read()


def _wrk(served: Served, path: str, seconds: int) -> float:
    """Return the requests of a second."""
    url = f"http://127.0.0.1:{served.port}{path}"
    options = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s"]
    done = subprocess.run(
        ["wrk", *options, "-s", str(SCRIPT), url, "--", str(served.cookies)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=leave_our_core,
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        raise RuntimeError(f"wrk: {done.stdout}")
    return float(found[1])


def _rows(all_served: list[Served]) -> list[dict[str, Any]]:
    bare = {served.server: served for served in all_served if served.app == "bare"}
    return [
        {
            "server": served.server,
            "subject": served.app,
            "name": NAMES[served.app],
            "work": name,
            "requests": round(median(found)),
            "share": round(
                median(
                    one / other
                    for one, other in zip(found, bare[served.server].found[name], strict=True)
                ),
                3,
            ),
        }
        for served in all_served
        for name, found in served.found.items()
    ]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("a server did not come up")
        time.sleep(0.05)
