"""
The bars that this project set itself, and whether they are met.

A ratio is a median over rounds of what two did in the same round. Where a bar names no clients, the
worse of one that comes back and of many counts.
"""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """
    One bar.

    Args:
        name: The work, in the table's words.
        subject: Whose rows count.
        works: Which of them; the worst counts.
        figure: Which figure of the row.
        target: What it may be at most, or at least where more is better.
        floor: What a hand-written minimum measured.
    """

    name: str
    subject: str
    works: tuple[str, ...]
    figure: str
    target: float
    floor: float | None = None
    at_least: bool = False


W2, W3 = ("W2 warm", "W2 cold"), ("W3 warm", "W3 cold")

BARS = [
    Bar("W1", "cookie", ("W1",), "ratio", 0.40, 0.36),
    Bar("W2 signed cookie, cold", "cookie", ("W2 cold",), "ratio", 0.36, 0.29),
    Bar("W2 signed cookie, warm", "cookie", ("W2 warm",), "ratio", 0.25),
    Bar("W2 encrypted cookie", "encrypted", W2, "ratio", 0.36),
    Bar("W3 signed cookie", "cookie", W3, "ratio", 0.36, 0.26),
    Bar("W4", "cookie", ("W4",), "ratio", 0.22, 0.16),
    Bar("W2 memory", "memory", W2, "ratio", 0.40, 0.33),
    Bar("W3 memory", "memory", W3, "ratio", 0.45, 0.36),
    Bar("W2 SQLite, to a bare SELECT", "sqlite", W2, "to client", 2.5, 1.0),
    Bar("W3 SQLite, to a bare SELECT and UPDATE", "sqlite", W3, "to client", 2.5, 1.0),
    Bar("W2 Redis, to a bare GET", "redis", W2, "to client", 1.30, 1.20),
    Bar("W3 Redis, to a bare GET and SET", "redis", W3, "to client", 1.45, 1.38),
    Bar(
        "Redis, 64 in flight, to bare GETs",
        "redis",
        ("W2 in flight",),
        "throughput",
        2.5,
        3.2,
        at_least=True,
    ),
    Bar("W2 Memcached, to a bare gets", "memcached", W2, "to client", 1.30),
    Bar("W3 Memcached, to a bare gets and cas", "memcached", W3, "to client", 1.45),
    Bar("WSGI W2, to Flask's own", "flask coatcheck cookie", W2, "to flask own", 0.2),
    Bar("WSGI W3, to Flask's own", "flask coatcheck cookie", W3, "to flask own", 0.2),
    Bar(
        "WSGI W2 Redis, to Flask-Session",
        "flask coatcheck redis",
        W2,
        "to flask session redis refresh",
        0.4,
    ),
    Bar(
        "WSGI W3 Redis, to Flask-Session",
        "flask coatcheck redis",
        W3,
        "to flask session redis refresh",
        0.4,
    ),
]


def judged(rows: list[Row]) -> list[Row]:
    """Return what was measured for each bar whose rows are there."""
    found = {(row["subject"], row["work"]): row for row in rows}
    verdicts = []
    for bar in BARS:
        measured = [
            found[bar.subject, work][bar.figure]
            for work in bar.works
            if bar.figure in found.get((bar.subject, work), {})
        ]
        if not measured:
            continue
        worst = min(measured) if bar.at_least else max(measured)
        met = worst >= bar.target if bar.at_least else worst <= bar.target
        verdicts.append(
            {
                "bar": bar.name,
                "target": bar.target,
                "at least": bar.at_least,
                "floor": bar.floor,
                "measured": worst,
                "met": met,
            }
        )
    return verdicts
