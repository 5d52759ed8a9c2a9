"""The pages: their code runs, and their links lead somewhere."""

import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.engines import PLAIN, with_driver

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [
    *PAGES,
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY", "RELEASING")),
]

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks_of(path: Path) -> list[tuple[int, str]]:
    """Return the blocks of a page that are to be run, with the line each starts on."""
    text = path.read_text()
    return [
        (text.count("\n", 0, found.start("code")), found["code"])
        for found in BLOCK.finditer(text)
        if not found["reason"]
    ]


@pytest.fixture
def somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A folder to work in, and the environment that the pages speak of."""
    server = request.getfixturevalue
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setenv("SESSION_SECRET", "a-secret-that-only-this-test-knows-0123456789")
    monkeypatch.setenv("REDIS_URL", f"unix://{server('redis_socket')}")
    monkeypatch.setenv("VALKEY_URL", f"unix://{server('valkey_socket')}")
    monkeypatch.setenv("MEMCACHED_NODES", ",".join(server("memcached_nodes")))
    monkeypatch.setenv("DATABASE_URL", with_driver(server("postgresql_url"), PLAIN))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
@pytest.mark.usefixtures("somewhere")
def test_the_code_of_a_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom, as one module, with warnings as errors."""
    module = ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for line, code in blocks_of(page):
        exec(compile("\n" * line + code, str(page), "exec", dont_inherit=True), vars(module))


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_links_lead_to_files(text: Path) -> None:
    """Every relative link of a page is a file."""
    for target in LINK.findall(text.read_text()):
        assert os.path.lexists(text.parent / target), f"{name_of(text)} links to {target}"


def test_every_page_is_in_the_navigation() -> None:
    """What nobody can find need not have been written."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in navigation
