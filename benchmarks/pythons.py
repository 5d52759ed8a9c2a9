"""
The same rows on other versions of Python: what a session adds to a request, in microseconds.

Each version has an environment of its own, such as `.venv-bench-3.13`, which `benchmarks/install`
makes where it finds that Python. `python -m benchmarks.pythons` measures the rows of one.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import in_process, servers

ROOT = Path(__file__).parent.parent
ROWS = ("cookie", "memory", "sqlite")


def run(*, rounds: int, target: float, clients: int) -> list[dict[str, Any]]:
    """Return the rows of this Python and of each other that is there."""
    found = []
    others = sorted(ROOT.glob(".venv-bench-*/bin/python"))
    for python in [Path(sys.executable), *others]:
        options = [f"--rounds={rounds}", f"--target={target}", f"--clients={clients}"]
        done = subprocess.run(
            [python, "-m", "benchmarks.pythons", *options],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        found += json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.pythons", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--target", type=float, default=0.004)
    parser.add_argument("--clients", type=int, default=1000)
    options = parser.parse_args()
    servers.pin()
    rows = in_process.run(
        set(ROWS), rounds=options.rounds, target=options.target, clients=options.clients
    )
    python = ".".join(map(str, sys.version_info[:3]))
    json.dump([{**row, "python": python} for row in rows], sys.stdout)


if __name__ == "__main__":
    main()
