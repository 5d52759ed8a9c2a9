"""The formulas of the capacity page, beside a simulation, and its table, beside the script."""

from pathlib import Path

import pytest

from benchmarks.capacity import Measured, Use, cores, hit_rate, refreshes, shards, simulate, table

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "capacity.md"


@pytest.mark.parametrize(("processes", "writes"), [(1, 0.2), (4, 0.05)])
def test_formulas_say_what_happens(processes: int, writes: float) -> None:
    """Within a hundredth, for the share of near hits and of refreshes."""
    use = Use(1000, processes=processes, writes=writes, refresh=0.01)
    seen = simulate(use, each=60)
    assert seen.hits == pytest.approx(hit_rate(use), abs=0.01)
    assert seen.refreshes == pytest.approx(refreshes(use), abs=0.01)


def test_without_near_there_are_no_hits() -> None:
    """Small sites fit on one core and one server."""
    assert hit_rate(Use(10)) == 0
    assert (cores(Use(10), Measured()), shards(Use(10), Measured())) == (1, 1)


def test_the_page_has_the_table_of_the_script() -> None:
    """So a changed figure changes both."""
    page = PAGE.read_text()
    assert all(line in page for line in table(Measured()))
