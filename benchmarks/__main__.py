"""`python -m benchmarks`: see `benchmarks`."""

import argparse
import json
import logging
import sys
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    bars,
    growth,
    in_process,
    machine,
    on_servers,
    over_http,
    pythons,
    report,
    servers,
    sizes,
)

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "latest.json"
DOCS = HERE.parent / "docs"
ROUGH = HERE.parent / "build" / "benchmarks"
"""Where a quick run writes: its figures are too rough to be shown."""


@dataclass(frozen=True)
class Pace:
    """How thoroughly to measure; times in seconds."""

    rounds: int
    batch: float
    clients: int
    http_rounds: int
    http_seconds: int
    sessions: int
    batches: int


WHOLE = Pace(61, 0.01, 10_000, 5, 3, 1_000_000, 15)
QUICK = Pace(7, 0.004, 1000, 1, 1, 10_000, 3)


def main() -> None:
    options = _options()
    pace = QUICK if options.quick else WHOLE
    servers.pin()
    warnings.simplefilter("ignore")  # some peers warn of each cookie that was tampered with,
    logging.getLogger().addHandler(logging.NullHandler())  # and some log it
    if options.report:
        _write(json.loads(RESULTS.read_text()), quick=False)
        return
    only = {name.strip() for name in options.only.split(",") if name.strip()} or None
    rows = in_process.run(
        only,
        rounds=options.rounds or pace.rounds,
        target=pace.batch,
        clients=options.clients or pace.clients,
    )
    judged = bars.judged(rows)
    sys.stdout.write(f"{in_process.table(rows)}\n\n{_said(judged)}\n")
    if only is None:
        _write(_whole(rows, judged, pace, options.rounds or pace.rounds), quick=options.quick)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks", description="What a session costs a request.")
    parser.add_argument("--only", default="", help="rows by key, on the terminal: cookie,memory")
    parser.add_argument("--rounds", type=int, help="rounds of the applications called directly")
    parser.add_argument("--clients", type=int, help="clients, where they are many")
    parser.add_argument("--quick", action="store_true", help="everything, roughly")
    parser.add_argument("--report", action="store_true", help="write pages and charts anew")
    return parser.parse_args()


def _whole(rows: list[Any], judged: list[Any], pace: Pace, rounds: int) -> dict[str, Any]:
    """Measure the rest, and return all results."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "machine": machine.described(),
        "bars": judged,
        "in process": rows,
        "http": over_http.run(rounds=pace.http_rounds, seconds=pace.http_seconds),
        "on servers": on_servers.run(
            rounds=pace.http_rounds, seconds=0.3, clients=min(pace.clients, 10_000)
        ),
        "pythons": pythons.run(rounds=rounds, target=pace.batch, clients=min(pace.clients, 1000)),
        "growth": growth.run(pace.sessions, batches=pace.batches),
        "sizes": sizes.run(batches=pace.batches),
    }


def _write(results: dict[str, Any], *, quick: bool) -> None:
    docs, saved = (ROUGH, ROUGH / "latest.json") if quick else (DOCS, RESULTS)
    report.write(results, docs, saved)
    sys.stdout.write(f"wrote {', '.join(report.PAGES.values())}, the charts and {saved.name}\n")


def _said(judged: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{bar['bar']:42} {'at least' if bar['at least'] else 'at most '} {bar['target']:.2f}, "
        f"measured {bar['measured']:.2f}: {'met' if bar['met'] else 'MISSED'}"
        for bar in judged
    )


if __name__ == "__main__":
    main()
