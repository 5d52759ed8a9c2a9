"""
Short rounds, in which every case runs once in an order that is shuffled anew.

A case is what one subject does with one work. A round gives each a batch of some milliseconds, so
that whatever else the machine does meets all alike; what is told of a case are medians over rounds,
and what is told of two is the median of what they did in the same round.

The garbage collector stays on. Before each batch it runs, and what lives then is set aside, so that
a case pays for its own garbage and for nobody else's objects.
"""

import gc
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median, quantiles

LEAST, MOST = 16, 2000
"""Requests of a batch."""


@dataclass
class Case:
    """
    What one subject does with one work.

    Args:
        batch: Does it so many times; returns the nanoseconds that took.
        milliseconds: About how long a batch is to take, as a multiple of the usual.
        multiple: Batches are of a multiple of so many.
    """

    subject: str
    work: str
    batch: Callable[[int], int]
    multiple: int = 1
    size: int = 0
    took: list[float] = field(default_factory=list)

    def calibrate(self, target: float) -> None:
        """Choose the size of a batch that takes about *target* seconds; warms up, too."""
        self.batch(LEAST * self.multiple)
        count = 2 * LEAST * self.multiple
        each = self.batch(count) / count
        wanted = int(target * 1e9 / each)
        size = max(LEAST, min(MOST, wanted))
        self.size = -(-size // self.multiple) * self.multiple

    def run(self) -> None:
        """Run a batch, and note the microseconds of each request."""
        self.took.append(self.batch(self.size) / self.size / 1000)


def settle() -> None:
    """Set aside what lives: a batch that begins now pays for its own garbage alone."""
    gc.collect()
    gc.freeze()


def measure(cases: list[Case], *, rounds: int, target: float) -> None:
    """Run all cases, round after round."""
    shuffled = list(cases)
    for case in cases:
        case.calibrate(target)
    order = random.Random(5)
    for number in range(rounds):
        order.shuffle(shuffled)
        for case in shuffled:
            case.run()
        progress(f"round {number + 1} of {rounds}")
    progress("")


def progress(text: str) -> None:
    """Show how far it is, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def less(took: list[float], bare: list[float]) -> list[float]:
    """Return, round by round, what was added to the bare application."""
    return [whole - base for whole, base in zip(took, bare, strict=True)]


def ratio(one: list[float], other: list[float]) -> float:
    """Return the median of the ratios of two, round by round."""
    return median(a / b for a, b in zip(one, other, strict=True) if b > 0)


def spread(took: list[float]) -> tuple[float, float]:
    """Return the first and the third quartile."""
    if len(took) < 2:
        return took[0], took[0]
    first, _, third = quantiles(took, n=4)
    return first, third
