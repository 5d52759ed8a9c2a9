"""The page of frameworks, servers and packages: what it names exists, and is what is installed."""

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/explanation/frameworks.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]

FRAMEWORKS = [
    "Starlette", "FastAPI", "Litestar", "Flask", "Quart", "Django", "aiohttp", "Falcon",
    "BlackSheep", "Bottle", "Pyramid", "Authlib", "Flask-Login", "Flask-WTF", "sqladmin", "uvicorn",
    "Hypercorn", "Granian", "Gunicorn",
]  # fmt: skip


def names_in(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    kinds = ast.FunctionDef, ast.AsyncFunctionDef
    return {node.name for node in tree if isinstance(node, kinds)}


def test_every_test_that_is_named_exists() -> None:
    """A claim names the test that shows it."""
    exist = set().union(*(names_in(path) for path in (ROOT / "tests").rglob("test_*.py")))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    assert named <= exist


def test_no_cell_is_empty() -> None:
    """What does not apply is said."""
    assert [row for row in ROWS if re.search(r"\|\s*\|", row)] == []


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_versions_are_the_ones_that_are_tested(name: str) -> None:
    """Whoever locks newer ones writes the page anew."""
    assert re.search(rf"\b{re.escape(name)} {re.escape(version(name))}\b", PAGE)
