"""
Soak: many visitors for a long time, over each storage, while servers restart and stand still.

    make soak                          30 minutes
    make soak ARGS="--seconds 120 --only sqlite,redis"

"sql" is `SqlStorage` over an engine of the application. For each storage an ASGI server with two
workers and a threaded WSGI server serve `tests.soak.site`, one after the other. 64 visitors
(`tests.soak.visitor`) check every answer. Meanwhile the storage's server is paused, the web server
is restarted, and after a warm-up memory, descriptors and connections of the web server's processes
are measured: they may not grow.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import aiohttp

from tests import servers
from tests.faults.breakable_servers import place_of
from tests.servers import Server
from tests.soak.site import ENGINE
from tests.soak.visitor import PATIENCE, Tally, Visitor

VISITORS = 64
STORAGES = ["file", "sqlite", "redis", "valkey", "memcached", "postgresql", "mariadb", "sql"]
HOSTS = ["asgi", "wsgi"]

GROWTH = 1.25
"""How much more memory may be in use at the end than after the warm-up."""

SLACK = 30_000_000
"""Bytes of memory that may come on top, in all processes of a server."""

DESCRIPTORS = 40
"""Descriptors that may come on top: connections of pools that fill later."""

PAUSE = 1.5
"""Seconds for which the storage's server stands still."""


@dataclass
class Use:
    """What the processes of a web server use."""

    memory: int
    descriptors: int


@dataclass
class Soaked:
    """How one storage did under one server."""

    storage: str
    host: str
    tally: Tally
    before: Use
    after: Use

    @property
    def faults(self) -> list[str]:
        faults = list(self.tally.violations)
        if self.after.memory > self.before.memory * GROWTH + SLACK:
            faults.append(f"memory grew from {self.before.memory:,} to {self.after.memory:,}")
        if self.after.descriptors > self.before.descriptors + DESCRIPTORS:
            faults.append(
                f"descriptors grew from {self.before.descriptors} to {self.after.descriptors}"
            )
        if self.tally.requests == self.tally.lost:
            faults.append("no request was answered")
        return faults

    def __str__(self) -> str:
        memory = f"{self.before.memory // 2**20} to {self.after.memory // 2**20} MiB"
        descriptors = f"{self.before.descriptors} to {self.after.descriptors} descriptors"
        return (
            f"{self.storage:<11}{self.host:<5} {self.tally.requests:>8,} requests, "
            f"{self.tally.lost:>5,} without an answer, {memory}, {descriptors}, "
            f"{len(self.tally.violations)} violations"
        )


@contextmanager
def storage_at(kind: str, folder: Path) -> Iterator[tuple[str, Server | None]]:
    """Yield the URL of a storage, and its server."""
    if kind == "file":
        yield f"file:{folder}/sessions", None
    elif kind == "sqlite":
        yield f"sqlite:{folder}/sessions/db", None
    elif kind == "sql":
        with place_of("mariadb", folder) as place:
            yield ENGINE + place.url.partition("?")[0], place.server
    else:
        with place_of(kind, folder) as place:
            yield place.url, place.server


def web_server(host: str, url: str, port: int) -> Server:
    """Return a web server with two workers, or one with many threads."""
    environment = ["env", f"STORAGE={url}", f"PYTHONPATH={os.pathsep.join(sys.path)}"]
    if host == "asgi":
        program = [sys.executable, "-m", "uvicorn", "--factory", "tests.soak.site:asgi_app"]
        program += ["--workers", "2", "--port", str(port), "--log-level", "critical"]
    else:
        program = [sys.executable, "-m", "gunicorn", "tests.soak.site:wsgi_app()"]
        program += ["--worker-class", "gthread", "--threads", "16", "--workers", "1"]
        program += ["--bind", f"127.0.0.1:{port}", "--log-level", "critical"]
    return Server(*environment, *program, ready=lambda: servers.answers(port))


def web_use(web: Server) -> Use:
    """Return what the processes of a server use."""
    memory = descriptors = 0
    for each in web.family():
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            descriptors += len(list(Path(f"/proc/{each}/fd").iterdir()))
        except OSError:  # it has ended
            continue
        memory += pages * os.sysconf("SC_PAGE_SIZE")
    return Use(memory, descriptors)


async def soak(kind: str, host: str, seconds: float, seed: int, folder: Path) -> Soaked:
    """Let visitors act for so many seconds."""
    with ExitStack() as stack:
        url, server = stack.enter_context(storage_at(kind, folder))
        port = servers.free_port()
        web = stack.enter_context(web_server(host, url, port))
        tally = Tally()
        site = f"http://127.0.0.1:{port}"
        visitors = [
            Visitor(f"v{number}", site, Random(seed * 1000 + number), tally)
            for number in range(VISITORS)
        ]
        end = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        connector = aiohttp.TCPConnector(limit=VISITORS * 2)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
            acting = [asyncio.ensure_future(_act(each, client, end)) for each in visitors]
            await asyncio.sleep(seconds * 0.15)
            await asyncio.to_thread(web.stop)
            await asyncio.to_thread(web.start)
            await asyncio.sleep(seconds * 0.15)
            before = web_use(web)
            if server:
                server.pause()
                await asyncio.sleep(PAUSE)
                server.resume()
            await asyncio.gather(*acting)
            after = web_use(web)
    return Soaked(kind, host, tally, before, after)


async def _act(visitor: Visitor, client: aiohttp.ClientSession, end: float) -> None:
    while time.monotonic() < end:
        lost = visitor.tally.lost
        await visitor.act(client)
        await asyncio.sleep(0.2 if visitor.tally.lost > lost else 0.005)


def main() -> int:
    """Soak every storage under every server, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="in all (default: 1800)")
    parser.add_argument("--only", help="storages, as in sqlite,redis")
    parser.add_argument("--seed", type=int, default=1, help="of the visitors' choices")
    arguments = parser.parse_args()
    storages = arguments.only.split(",") if arguments.only else STORAGES
    rounds = [(kind, host) for kind in storages for host in HOSTS]
    servers.PATIENCE = 120  # the machine is busy
    failed = 0
    for kind, host in rounds:
        with TemporaryDirectory(prefix="soak-") as folder:
            seconds = arguments.seconds / len(rounds)
            soaked = asyncio.run(soak(kind, host, seconds, arguments.seed, Path(folder)))
        print(soaked, flush=True)
        for fault in soaked.faults[:20]:
            print(f"    {fault}", flush=True)
        failed += bool(soaked.faults)
    print(f"{len(rounds) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
