"""
How old a copy near by can be, while another process writes as fast as it can.

    python -m benchmarks.staleness [--writes 100000]

One process writes records under one prefix, one of them again and again. This one reads that record
through copies (`near=`), of a thread and then of an event loop, and tells how long before each read
the first write was answered that the read does not show. Nothing here is part of `make bench`; the
figures are in `docs/how-to/near-cache.md`.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import redis
import redis.asyncio

from benchmarks import servers
from coatcheck.storage import Near
from coatcheck.storage.backends.async_near_backend import AsyncNearRedisBackend
from coatcheck.storage.backends.near_backend import NearRedisBackend
from coatcheck.storage.backends.redis import RedisBackend

TOGETHER = 200
"""Writes of other records between two of the one that is read."""

Found = tuple[list[float], int]

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
    near = Near(max_bytes=1_000_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        path = stack.enter_context(servers.redis(folder))
        sys.stdout.write(f"{rounds * TOGETHER:,} writes, max_stale {near.max_stale:.0f} s\n")
        client = stack.enter_context(redis.Redis(unix_socket_path=path))
        client.set("near:n", "markmark0")
        backend = NearRedisBackend(RedisBackend(client), client, "near:", near)
        stack.callback(backend.close)
        while not backend.copies.get("near:n"):
            backend.get("near:n")
        sys.stdout.write(f"a thread listens: {told(*flooded(backend, path, rounds))}")
        client.set("near:n", "markmark0")
        found = asyncio.run(flooded_loop(path, near, rounds))
        sys.stdout.write(f"an event loop: {told(*found)}")


def told(ages: list[float], hits: int) -> str:
    """Return how old the records were that were read, in milliseconds."""
    ages = sorted(ages)
    slowest, last = ages[int(len(ages) * 0.99)], ages[-1]
    return (
        f"{len(ages):,} reads, {hits / len(ages):.0%} of them from copies; their age: "
        f"{median(ages) * 1000:.2f} ms in the middle, {slowest * 1000:.1f} ms the oldest "
        f"hundredth, {last * 1000:.1f} ms at most\n"
    )


def flooded(backend: NearRedisBackend, path: str, rounds: int) -> Found:
    """Read while another process writes; return the ages of what was read, and how many copies."""
    reads: list[tuple[float, int]] = []
    hits = 0
    writer = begun(path, rounds)
    while writer.poll() is None:
        began = time.monotonic()
        copy = backend.copies.get("near:n")
        stored = copy or backend.get("near:n")
        hits += copy is not None
        assert stored
        reads.append((began, int(stored.record)))
    return ages(reads, writer, rounds), hits


async def flooded_loop(path: str, near: Near, rounds: int) -> Found:
    """Return the same for an event loop, in which each read lets other tasks work."""
    reads: list[tuple[float, int]] = []
    hits = 0
    async with redis.asyncio.Redis(unix_socket_path=path) as client:
        backend = AsyncNearRedisBackend(client, "near:", near)
        await backend.get("near:n")
        writer = begun(path, rounds)
        while writer.poll() is None:
            began = time.monotonic()
            connection = backend.current
            copy = connection and connection.copies.get("near:n")
            stored = copy or await backend.get("near:n")
            hits += copy is not None
            assert stored
            reads.append((began, int(stored.record)))
            await asyncio.sleep(0)
        await backend.close()
    return ages(reads, writer, rounds), hits


def begun(path: str, rounds: int) -> "subprocess.Popen[bytes]":
    """Begin the process that writes."""
    command = [sys.executable, "-c", WRITER, path, str(rounds), str(TOGETHER)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=servers.leave_our_core)


def ages(
    reads: list[tuple[float, int]], writer: "subprocess.Popen[bytes]", rounds: int
) -> list[float]:
    """Return how old each read was, in seconds, when it began."""
    assert writer.stdout
    wrote = [float(line) for line in writer.stdout]
    assert len(wrote) == rounds
    # The first write that a read does not show is the one after what it shows.
    return [max(0.0, at - wrote[n]) if n < rounds else 0.0 for at, n in reads]


if __name__ == "__main__":
    main()
