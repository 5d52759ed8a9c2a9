"""The count of the races' runs, and the page that shows one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from tests.races_table import RACES, STORAGES, Runs, cell_of

PAGE = Path(__file__).parent.parent / "docs/explanation/when-servers-fail.md"
PHASES: list[Literal["setup", "call", "teardown"]] = ["setup", "call", "teardown"]
RACE = "test_a_new_id_signs_nobody_out"


def reports(runs: Runs, parameters: str, outcomes: Sequence[Literal["passed", "failed"]]) -> None:
    """Tell *runs* how the three phases of one run ended, as pytest does."""
    nodeid = f"tests/test_races.py::{RACE}[{parameters}]"
    for when, outcome in zip(PHASES, outcomes, strict=True):
        runs.pytest_runtest_logreport(
            pytest.TestReport(nodeid, ("", None, ""), {}, outcome, None, when)
        )


def test_a_run_that_fails_is_a_violation() -> None:
    """Front ends and drivers of one storage count together."""
    runs = Runs(times=1)
    reports(runs, "wsgi-redis-0", ["passed", "passed", "passed"])
    reports(runs, "asgi-redis-asyncio-10", ["passed", "failed", "passed"])
    (row,) = [line for line in runs.table().splitlines() if RACE in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1 + 1 + list(STORAGES).index("redis")] == "2 / 1"
    assert cells.count("no race") == len(STORAGES) - 1


def test_a_storage_is_found_wherever_it_stands() -> None:
    """Among the parameters of a test, in any order."""
    assert cell_of(f"a.py::{RACE}[asgi-postgresql-asyncio-20]") == (RACE, "postgresql")
    assert cell_of(f"a.py::{RACE}[20-wsgi-file]") == (RACE, "file")
    assert cell_of(f"a.py::{RACE}") == (RACE, "")


def test_the_page_has_a_row_for_every_race_and_no_violation() -> None:
    """As the command prints it."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    for test, race in RACES.items():
        (row,) = [row for row in rows if row.startswith(f"| {race} | `{test}` |")]
        counts = [cell.strip() for cell in row.strip("|").split("|")][2:]
        assert len(counts) == len(STORAGES)
        assert all(count.endswith(" / 0") or count == "no race" for count in counts)
