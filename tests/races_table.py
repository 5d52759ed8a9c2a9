"""
Run the races again and again, and count the violations: `python -m tests.races_table --times 3`.

A run is one run of one test over one storage, with one front end and one driver. A violation is a
run that failed.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

RACES = {
    "test_fifty_writers_of_fifty_keys_lose_none": "fifty writers of fifty keys",
    "test_fifty_steps_of_one_count_fifty": "fifty `apply(+1)`",
    "test_logout_holds_against_writers": "logout against writers",
    "test_a_refresh_never_rolls_back_what_others_wrote": "refresh against writers",
    "test_a_new_id_signs_nobody_out": "regeneration against readers and writers",
    "test_processes_lose_no_update": "processes: keys and one counter",
    "test_logout_holds_against_processes_that_write": "processes: logout against writers",
    "test_a_refresh_rolls_back_nothing_that_processes_write": "processes: refresh against writers",
    "test_a_new_id_signs_no_process_out": "processes: regeneration against readers and writers",
}
"""The tests, and what they race."""

STORAGES = {
    "memory": "memory",
    "sqlite": "SQLite",
    "file": "files",
    "redis": "Redis",
    "valkey": "Valkey",
    "memcached": "Memcached",
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
}
"""Storages by their names among the parameters of the tests."""

Cell = tuple[str, str]
"""A test and a storage."""


class Runs:
    """A plugin for pytest: repeats the races, and counts how they end."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.runs: Counter[Cell] = Counter()
        self.violations: Counter[Cell] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        races = [item for item in items if cell_of(item.nodeid)[0] in RACES]
        items[:] = races * self.times

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cell = cell_of(report.nodeid)
        self.runs[cell] += report.when == "call"
        self.violations[cell] += report.failed

    def table(self) -> str:
        """Return the counts as a table in Markdown."""
        lines = [["race", "test", *STORAGES.values()], ["---"] * (len(STORAGES) + 2)]
        for test, race in RACES.items():
            lines.append([race, f"`{test}`", *(self._count((test, kind)) for kind in STORAGES)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _count(self, cell: Cell) -> str:
        return f"{self.runs[cell]} / {self.violations[cell]}" if self.runs[cell] else "no race"


def cell_of(nodeid: str) -> Cell:
    """Return the test, and the storage that is among its parameters."""
    test, _, parameters = nodeid.rpartition("::")[2].rstrip("]").partition("[")
    kinds = [part for part in parameters.split("-") if part in STORAGES]
    return test, kinds[0] if kinds else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return what pytest returns."""
    parser = argparse.ArgumentParser(prog="python -m tests.races_table", description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="runs of every test (default: 3)")
    runs = Runs(parser.parse_args(arguments).times)
    files = sorted(str(path) for path in Path(__file__).parent.glob("test_races*.py"))
    status = pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[runs])
    print(runs.table())  # noqa: T201 - it is a command
    return int(status)


if __name__ == "__main__":
    raise SystemExit(main())
