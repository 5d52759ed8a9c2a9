"""
What visitors feel of a sweep: the time of a request beside two sweepers of a large backlog, and
without them.

    python -m benchmarks.sweeping [--rows 1000000] [--window 4] [--only postgresql,mariadb]

Eight threads in one process are the visitors. A visit opens a session, changes it and saves it; one
in ten makes a new one. Between two visits a thread pauses for 10 ms. Two processes do what
`coatcheck sweep` does, until nothing is left: remove some records, and rest for three times as long
as that took. Every few seconds the sweepers stand still for a while. So both figures come from the
same minutes, and other programs on the machine disturb both alike.

Nothing here is part of `make bench`.
"""

import argparse
import sys
import threading
import time
from bisect import bisect
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from statistics import quantiles

from sqlalchemy import URL, create_engine, make_url

from benchmarks.place import Place, place
from coatcheck import BackendError
from coatcheck._commands.sweep import RESTS, STEP
from coatcheck.storage import SqlStorage
from coatcheck.storage.backends.sql import SqlKeyedStorage

VISITORS, SWEEPERS, PAUSE = 8, 2, 0.01

SETTLING = 0.5
"""Seconds at the beginning of a window that do not count: the server ends what it has begun."""

FILL = {
    "postgresql": "INSERT INTO coatcheck_sessions (key, record, version, expires) "
    "SELECT md5(i::text) || md5((-i)::text), decode(repeat('ab', 200), 'hex'), i, "
    "extract(epoch from now()) - i FROM generate_series(1, {rows}) i",
    "mariadb": "INSERT INTO coatcheck_sessions (`key`, record, version, expires) "
    "SELECT CONCAT(MD5(seq), MD5(-seq)), REPEAT('a', 200), seq, UNIX_TIMESTAMP() - seq "
    "FROM seq_1_to_{rows}",
}

LEFT = "SELECT count(*) FROM coatcheck_sessions WHERE version <= 10000000"
"""Counts what FILL made: sessions have longer versions."""


class Options(argparse.Namespace):
    """What the command line says."""

    rows: int
    window: float
    longest: float
    only: str


def url_of(server: str, where: Place) -> URL:
    """Return the URL of the database."""
    socket = where.server(server)
    if server == "postgresql":
        query = {"host": socket}
        return URL.create("postgresql+psycopg", "coatcheck", database="postgres", query=query)
    query = {"unix_socket": socket}
    return URL.create("mysql+pymysql", "coatcheck", "secret", database="coatcheck", query=query)


def storage_at(url: str) -> SqlKeyedStorage:
    """Return a storage whose pool has a connection for each visitor."""
    return SqlStorage(create_engine(make_url(url), isolation_level="AUTOCOMMIT", pool_size=10))


def sweep_all(url: str, may_sweep: Event) -> None:
    """Sweep until nothing is left, with the pauses of `coatcheck sweep`."""
    storage = storage_at(url)
    while True:
        may_sweep.wait()
        begun = time.monotonic()
        if not storage.sweep(STEP):
            return
        time.sleep(RESTS * (time.monotonic() - begun))


class Visitors:
    """Threads that visit until they are told to stop; `seen` has the start and length of visits."""

    def __init__(self, storage: SqlKeyedStorage) -> None:
        self._storage = storage
        self.seen: list[tuple[float, float]] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(VISITORS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each end its visit."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        value, number = None, 0
        while not self._stop.wait(PAUSE):
            begun = time.monotonic()
            try:
                session = self._storage.read(value if number % 10 else None)
                session["n"] = number
                value = self._storage.save(session) or value
            except BackendError as error:
                self.errors.append(repr(error.__cause__))
            self.seen.append((begun, time.monotonic() - begun))
            number += 1


class Windows:
    """The times in which the sweepers stood still, and those in which they did not."""

    def __init__(self) -> None:
        self.alone: list[tuple[float, float]] = []
        self.beside: list[tuple[float, float]] = []

    def alternate(self, url: str, options: Options) -> None:
        """Let sweepers work, with rests, until nothing is left or the time is over."""
        window, until = options.window, time.monotonic() + options.longest
        spawn = get_context("spawn")
        may_sweep = spawn.Event()
        sweepers = [spawn.Process(target=sweep_all, args=(url, may_sweep)) for _ in range(SWEEPERS)]
        for sweeper in sweepers:
            sweeper.start()
        while any(each.is_alive() for each in sweepers) and time.monotonic() < until:
            self.alone.append(timed(lambda: time.sleep(window / 2)))
            may_sweep.set()
            self.beside.append(timed(lambda: wait_for(sweepers, window)))
            may_sweep.clear()
        for sweeper in sweepers:
            sweeper.kill()


def timed(block: Callable[[], object]) -> tuple[float, float]:
    """Run the block; return when it began and ended."""
    begun = time.monotonic()
    block()
    return begun, time.monotonic()


def wait_for(sweepers: Sequence[SpawnProcess], seconds: float) -> None:
    """Wait so long, or until the sweepers have ended."""
    until = time.monotonic() + seconds
    for sweeper in sweepers:
        sweeper.join(max(0.0, until - time.monotonic()))


def felt(seen: Sequence[tuple[float, float]], windows: Sequence[tuple[float, float]]) -> str:
    """Return what visitors felt who came in one of the windows."""
    starts = [start for start, _ in windows]
    times = []
    for begun, took in seen:
        start, end = windows[max(0, bisect(starts, begun) - 1)]
        if start + SETTLING <= begun < end:
            times.append(took)
    cut = [each * 1000 for each in quantiles(times, n=100)]
    lasted = sum(end - start for start, end in windows)
    return (
        f"{len(times):7,} requests in {lasted:5.1f} s; median {cut[49]:5.1f} ms, "
        f"p90 {cut[89]:5.1f} ms, p99 {cut[98]:5.1f} ms, longest {max(times):4.2f} s"
    )


def measure(server: str, where: Place, options: Options) -> None:
    """Print what visitors feel without and with sweepers."""
    url = url_of(server, where).render_as_string(hide_password=False)
    storage = storage_at(url)
    storage.create_table()
    with storage.backend.engine.connect() as connection:
        connection.exec_driver_sql(FILL[server].format(rows=options.rows))
    say(f"{server}, {options.rows:,} expired records")
    visitors, windows = Visitors(storage), Windows()
    windows.alternate(url, options)
    visitors.stop()
    say(f"  alone             {felt(visitors.seen, windows.alone)}")
    say(f"  beside {SWEEPERS} sweepers {felt(visitors.seen, windows.beside)}")
    say(f"  {len(visitors.errors)} of {len(visitors.seen):,} requests failed")
    with storage.backend.engine.connect() as connection:
        left = connection.exec_driver_sql(LEFT).scalar_one()
    say(f"  {left:,} expired records are left")
    storage.backend.engine.dispose()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure each server in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--window", type=float, default=4, help="seconds")
    parser.add_argument("--longest", type=float, default=3600, help="seconds for each server")
    parser.add_argument("--only", default=",".join(FILL))
    options = parser.parse_args(namespace=Options())
    with place() as where:
        for server in options.only.split(","):
            measure(server, where, options)


if __name__ == "__main__":
    main()
