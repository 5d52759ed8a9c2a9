"""The scripts that keep the repository in order."""

import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from coatcheck import __version__

ROOT = Path(__file__).parent.parent

plain_text: Callable[[str, Mapping[str, str]], str] = runpy.run_path(str(ROOT / "scripts/twins"))[
    "plain_text"
]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_plain_modules_are_in_step_with_the_awaited_ones() -> None:
    """A plain module is what scripts/twins writes from the awaited one, to the letter."""
    done = run("twins", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("awaited", "plain"),
    [
        ("async def get(): return await read()", "def get(): return read()"),
        ("async with AsyncExitStack() as stack: ...", "with ExitStack() as stack: ..."),
        ("async def f(): return [x async for x in y]", "def f(): return [x for x in y]"),
        ("class AsyncShell(_AsyncBase): ...", "class Shell(_Base): ..."),
        ("async def __aenter__(self): ...", "def __enter__(self): ..."),
        ("from package.async_shell import f", "from package.shell import f"),
        ("f(is_async=True)", "f(is_async=True)"),
        ("'''It is awaited, asynchronously.'''", "'''It is awaited, asynchronously.'''"),
    ],
)
def test_awaited_code_becomes_plain(awaited: str, plain: str) -> None:
    """The words of awaited code go, from code and names, and nothing else changes."""
    assert plain_text(awaited, {}) == plain


def test_words_are_replaced_before_the_rules() -> None:
    """What a module says in its own way in awaited code has a plain form of its own."""
    words = {"await sleep(0)": "yield_now()"}
    assert plain_text("async def f(): await sleep(0)", words) == "def f(): yield_now()"


def test_a_marked_statement_is_left_out() -> None:
    """What only the awaited form has is marked on its first line, and goes with its decorators."""
    text = "a = 1\n@cached\nasync def f():  # awaited only\n    return 2\nb = 3\n"
    assert plain_text(text, {}) == "a = 1\nb = 3\n"


def test_a_word_that_occurs_nowhere_is_an_error() -> None:
    """A replacement that is stale is removed, not forgotten."""
    with pytest.raises(SystemExit, match="occurs nowhere"):
        plain_text("a = 1", {"sqlalchemy": "other"})


def test_the_tests_mirror_the_source() -> None:
    """A module has its test file, no test file is too long, and no exception is stale."""
    done = run("mirror")
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_same_wherever_it_stands() -> None:
    """The package has it; `make release` finds it in the changelog, and the pages read it."""
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert runpy.run_path(str(ROOT / "scripts/mkdocs_hooks.py"))["version"]() == __version__
    assert __version__ not in (ROOT / "mkdocs.yml").read_text()
    assert "version = " not in (ROOT / "pyproject.toml").read_text().partition("[tool.")[0]
