"""
What visitors feel of a sweep: the time of a request beside two sweepers of a large backlog, and
without them.

    python -m benchmarks.sweeping [--rows 1000000] [--seconds 20] [--only postgresql,mariadb]

Eight threads in one process are the visitors. A visit opens a session, changes it and saves it; one
in ten makes a new one. Between two visits a thread pauses for 10 ms. First the visitors are alone
with the backlog. Then two processes do what `coatcheck sweep` does, until nothing is left: remove a
thousand records, and rest for three times as long as that took.

Nothing here is part of `make bench`.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from statistics import quantiles

from sqlalchemy import URL, create_engine, make_url

from benchmarks.place import Place, place
from coatcheck import BackendError
from coatcheck._commands.sweep import RESTS
from coatcheck.storage import SqlStorage
from coatcheck.storage.backends.sql import SqlKeyedStorage

VISITORS, SWEEPERS, PAUSE = 8, 2, 0.01

FILL = {
    "postgresql": "INSERT INTO coatcheck_sessions (key, record, version, expires) "
    "SELECT md5(i::text) || md5((-i)::text), decode(repeat('ab', 200), 'hex'), i, "
    "extract(epoch from now()) - i FROM generate_series(1, {rows}) i",
    "mariadb": "INSERT INTO coatcheck_sessions (`key`, record, version, expires) "
    "SELECT CONCAT(MD5(seq), MD5(-seq)), REPEAT('a', 200), seq, UNIX_TIMESTAMP() - seq "
    "FROM seq_1_to_{rows}",
}


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


def sweep_all(url: str) -> None:
    """Sweep until nothing is left, with the pauses of `coatcheck sweep`."""
    storage = storage_at(url)
    begun = time.monotonic()
    while storage.sweep(1000):
        time.sleep(RESTS * (time.monotonic() - begun))
        begun = time.monotonic()


class Visitors:
    """Threads that visit until they are told to stop."""

    def __init__(self, storage: SqlKeyedStorage) -> None:
        self._storage = storage
        self.times: list[float] = []
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
            begun = time.perf_counter()
            try:
                session = self._storage.read(value if number % 10 else None)
                session["n"] = number
                value = self._storage.save(session) or value
            except BackendError as error:
                self.errors.append(repr(error.__cause__))
            self.times.append(time.perf_counter() - begun)
            number += 1


def during(storage: SqlKeyedStorage, block: Callable[[], object]) -> str:
    """Let visitors come while the block runs; return what they felt."""
    visitors, begun = Visitors(storage), time.perf_counter()
    block()
    lasted = time.perf_counter() - begun
    visitors.stop()
    cut = [each * 1000 for each in quantiles(visitors.times, n=100)]
    return (
        f"{len(visitors.times):7,} requests in {lasted:5.1f} s, {len(visitors.errors)} errors; "
        f"median {cut[49]:5.1f} ms, p99 {cut[98]:5.1f} ms, longest {max(visitors.times):4.2f} s"
    )


def sweep_by_processes(url: str) -> None:
    """Let the sweepers do their work, each in a process of its own."""
    spawn = get_context("spawn")
    sweepers = [spawn.Process(target=sweep_all, args=(url,)) for _ in range(SWEEPERS)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()


def measure(server: str, where: Place, rows: int, seconds: float) -> None:
    """Print what visitors feel without and with sweepers."""
    url = url_of(server, where).render_as_string(hide_password=False)
    storage = storage_at(url)
    storage.create_table()
    with storage.backend.engine.connect() as connection:
        connection.exec_driver_sql(FILL[server].format(rows=rows))
    say(f"{server}, {rows:,} expired records")
    say(f"  alone             {during(storage, lambda: time.sleep(seconds))}")
    say(f"  beside {SWEEPERS} sweepers {during(storage, lambda: sweep_by_processes(url))}")
    storage.backend.engine.dispose()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure each server in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", default=",".join(FILL))
    options = parser.parse_args()
    with place() as where:
        for server in options.only.split(","):
            measure(server, where, options.rows, options.seconds)


if __name__ == "__main__":
    main()
