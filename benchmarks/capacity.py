"""
How many requests and sessions for which hardware: the formulas, and a simulation that checks them.

    python -m benchmarks.capacity              a table for 10^6 to 10^9 sessions
    python -m benchmarks.capacity --simulate   10^6 sessions, and the formulas beside what happened

What is measured goes in as numbers (`MEASURED`); everything else follows from them. Pure, but for
the generator of random numbers, which is seeded.
"""

import argparse
import random
from typing import NamedTuple

NEAR = "messages a second, near in 20 processes | primaries with near"


class Measured(NamedTuple):
    """
    What one machine showed.

    Args:
        record: Bytes that a session takes in Redis, its key and all overhead included.
        near: Bytes that a copy takes in a process.
        row: Bytes of a user's roster with one session, all overhead included.
        core: Requests that read a session, in a second, that one core serves (application apart).
        primary: Commands in a second that one Redis serves; not measured here.
    """

    record: int = 420
    near: int = 840
    row: int = 350
    core: int = 20_000
    primary: int = 100_000


class Use(NamedTuple):
    """
    How an application uses its sessions.

    Args:
        sessions: That live at the same time.
        visits: Requests of one session in a day.
        writes: The share of requests that change the session.
        idle: Seconds that an unused session lives.
        refresh: The share of *idle* after which a session in use is written again.
        processes: That keep near copies; 0: none.
        peak: How much more than the mean comes in the busiest hour.
    """

    sessions: int
    visits: float = 20
    writes: float = 0.05
    idle: float = 14 * 24 * 3600
    refresh: float = 0.1
    processes: int = 0
    peak: float = 3

    @property
    def requests(self) -> float:
        """Requests in a second, at the peak."""
        return self.sessions * self.visits / 86_400 * self.peak


def refreshes(use: Use) -> float:
    """
    Return the share of requests that write only because the deadline is to be moved.

    A session in use is written once in `refresh * idle` and a mean pause between two requests.
    """
    pause = 86_400 / use.visits
    return pause / (use.refresh * use.idle + pause)


def hit_rate(use: Use) -> float:
    """
    Return the share of reads that a near copy answers, with memory enough for all.

    A process has a copy if, of its own last read and the last write of any process, the read came
    later. Requests that only read come to one process as a random 1/processes of all; a write drops
    what its own request has read.
    """
    reads = 1 - use.writes
    return reads / (reads + use.writes * use.processes) if use.processes else 0.0


def commands(use: Use) -> float:
    """Return the commands in a second that the servers get, at the peak."""
    writes = use.writes + (1 - use.writes) * refreshes(use)
    return use.requests * (1 - hit_rate(use) + writes)


def told(use: Use) -> float:
    """Return the messages about changes in a second that the servers send, at the peak."""
    return use.requests * use.writes * use.processes


def shards(use: Use, measured: Measured, *, memory: float = 16e9) -> int:
    """Return how many primaries are needed, for the memory or for the commands."""
    by_memory = use.sessions * (measured.record + measured.row) / memory
    by_commands = (commands(use) + told(use)) / measured.primary
    return max(1, -int(-max(by_memory, by_commands) // 1))


def cores(use: Use, measured: Measured) -> int:
    """Return the cores that sessions take from the application's machines, at the peak."""
    return max(1, -int(-use.requests / measured.core // 1))


class Seen(NamedTuple):
    """What a simulation showed: shares of all requests."""

    hits: float
    refreshes: float


def simulate(use: Use, *, each: int, seed: int = 1) -> Seen:
    """
    Let visitors come at random, and count.

    Args:
        each: Requests for each session, on average; the first half is not counted.
    """
    chance = random.Random(seed)
    there = [bytearray(use.sessions) for _ in range(max(1, use.processes))]
    written = [0.0] * use.sessions
    total = use.sessions * each
    step = 86_400 / use.visits / use.sessions
    hits = renewed = counted = 0
    for number in range(total):
        now = number * step
        session = int(chance.random() * use.sessions)
        near = there[int(chance.random() * len(there))]
        if number * 2 >= total:
            counted += 1
            hits += near[session]
        near[session] = 1
        changes = chance.random() < use.writes
        if now - written[session] >= use.refresh * use.idle:
            written[session] = now
            renewed += number * 2 >= total
        if changes:
            for each_near in there:
                each_near[session] = 0
    return Seen(hits / counted, renewed / counted)


def table(measured: Measured) -> list[str]:
    """Return the rows of the page."""
    lines = [
        f"| sessions | requests a second | memory | primaries | cores | {NEAR} |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for power in range(6, 10):
        use = Use(10**power)
        near = use._replace(processes=20)
        size = use.sessions * (measured.record + measured.row) / 1e9
        lines.append(
            f"| 10^{power} | {use.requests:,.0f} | {size:,.1f} GB | {shards(use, measured)} | "
            f"{cores(use, measured)} | {told(near):,.0f} | {shards(near, measured)} |"
        )
    return lines


def main() -> None:
    """Print the table, or what a simulation showed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--sessions", type=int, default=10**6)
    wanted = parser.parse_args()
    if not wanted.simulate:
        print("\n".join(table(Measured())))  # noqa: T201
        return
    use = Use(wanted.sessions, processes=2, writes=0.1, refresh=0.01)
    seen = simulate(use, each=16)
    print(f"near hits: {seen.hits:.4f}, by the formula {hit_rate(use):.4f}")  # noqa: T201
    print(f"refreshes: {seen.refreshes:.4f}, by the formula {refreshes(use):.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
