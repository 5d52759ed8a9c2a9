"""
How old a copy near by can be, while another process writes as fast as it can.

    python -m benchmarks.staleness [--writes 100000]

One process writes records under one prefix, one of them again and again. This one reads that record
through copies (`near=`), and tells how long before each read the first write was answered that the
read does not show. Nothing here is part of `make bench`; the figures are in
`docs/how-to/near-cache.md`.
"""

import argparse
import logging
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks import servers
from coatcheck.storage import Near
from coatcheck.storage.backends.near_backend import NearRedisBackend
from coatcheck.storage.backends.redis import RedisBackend

TOGETHER = 200
"""Writes of other records between two of the one that is read."""

WRITER = """
import sys, time
from redis import Redis
client, rounds, together = Redis(unix_socket_path=sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(1, rounds + 1):
    pipe = client.pipeline(transaction=False)
    for other in range(together - 1):
        pipe.set(f"near:{other}", "markmark")
    pipe.set("near:n", f"markmark{number}")
    pipe.execute()
    print(time.monotonic(), flush=True)
"""
"""Prints the time at which each of its rounds was answered."""


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.staleness", description=__doc__)
    parser.add_argument("--writes", type=int, default=100_000)
    rounds = max(1, parser.parse_args().writes // TOGETHER)
    servers.pin()
    logging.disable(logging.WARNING)  # the server ends before what listens to it
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        path = stack.enter_context(servers.redis(folder))
        client = stack.enter_context(Redis(unix_socket_path=path))
        near = Near(max_bytes=1_000_000)
        backend = NearRedisBackend(RedisBackend(client), client, "near:", near)
        stack.callback(backend.close)
        client.set("near:n", "markmark0")
        while not backend.copies.get("near:n"):
            backend.get("near:n")
        ages, hits = flooded(backend, path, rounds)
    sys.stdout.write(f"{rounds * TOGETHER:,} writes, max_stale {near.max_stale:.0f} s\n")
    sys.stdout.write(told(sorted(ages), hits))


def told(ages: list[float], hits: int) -> str:
    """Return how old the records were that were read, in milliseconds."""
    slowest, last = ages[int(len(ages) * 0.99)], ages[-1]
    return (
        f"{len(ages):,} reads, {hits / len(ages):.0%} of them from copies; their age: "
        f"{median(ages) * 1000:.2f} ms in the middle, {slowest * 1000:.1f} ms the oldest "
        f"hundredth, {last * 1000:.1f} ms at most\n"
    )


def flooded(backend: NearRedisBackend, path: str, rounds: int) -> tuple[list[float], int]:
    """Read while another process writes; return the ages of what was read, and how many copies."""
    reads: list[tuple[float, int]] = []
    hits = 0
    command = [sys.executable, "-c", WRITER, path, str(rounds), str(TOGETHER)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=servers.leave_our_core)
    while writer.poll() is None:
        began = time.monotonic()
        copy = backend.copies.get("near:n")
        stored = copy or backend.get("near:n")
        hits += copy is not None
        assert stored
        reads.append((began, int(stored.record)))
    assert writer.stdout
    wrote = [float(line) for line in writer.stdout]
    assert len(wrote) == rounds
    # The first write that a read does not show is the one after what it shows.
    return [max(0.0, at - wrote[n]) if n < rounds else 0.0 for at, n in reads], hits


if __name__ == "__main__":
    main()
