"""The page of faults and promises: what it names exists, and it leaves no cell empty."""

import re
from pathlib import Path

from tests.roundtrips import REQUESTS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/explanation/when-servers-fail.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))


def test_every_test_that_is_named_exists() -> None:
    """A claim names the test that shows it."""
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "src/coatcheck/testing").glob("*.py")]
    exist = set().union(*(names_in(path) for path in files))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    assert named <= exist


def test_every_file_that_is_named_exists() -> None:
    """So that the reader finds it."""
    for name in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_no_cell_is_empty() -> None:
    """What does not apply is said."""
    assert [row for row in ROWS if re.search(r"\|\s*\|", row)] == []


def test_the_questions_are_the_ones_that_are_counted() -> None:
    """The table shows what the test of round trips asserts."""
    for does, (trips, _, _) in REQUESTS.items():
        assert f"| {does} |{f' {trips} |' * 5}" in ROWS
