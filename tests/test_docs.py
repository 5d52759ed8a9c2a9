"""
The pages: their code runs, and their links lead somewhere.

A block without a title runs as a part of its page. Blocks with a title are files: what the page
saves under that name, in the order of the page. Each file is imported, as a reader's would be, and
the tests in it are called.
"""

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
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

OWN_PROCESS = {"django.md": "tests/frameworks/test_django_page.py"}
"""Pages whose files need a process of their own, because the settings of Django hold for one."""

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?"
    r"```python(?: title=\"(?P<file>[\w.]+)\")?\n(?P<code>.*?)```",
    re.DOTALL,
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)")

HEADING = re.compile(r"^#+ (.+?)(?: \{ *#(?P<id>\S+) *\})?$", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks_of(path: Path) -> list[tuple[int, str]]:
    """Return the blocks of a page that are to be run, with the line each starts on."""
    text = path.read_text()
    return [
        (text.count("\n", 0, found.start("code")), found["code"])
        for found in BLOCK.finditer(text)
        if not (found["reason"] or found["file"])
    ]


def files_of(path: Path) -> dict[str, str]:
    """Return the files that a page tells its reader to save."""
    files: dict[str, str] = {}
    for found in BLOCK.finditer(path.read_text()):
        if found["file"] and not found["reason"]:
            files[found["file"]] = files.get(found["file"], "") + found["code"]
    return files


@pytest.fixture
def somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A folder to work in, and the environment that the pages speak of."""
    server = request.getfixturevalue
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setenv("SESSION_SECRET", "a-secret-that-only-this-test-knows-0123456789")
    for name in ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_METADATA_URL"):
        monkeypatch.setenv(name, "https://nobody.test")
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


@pytest.fixture
def saved(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules are imported, for the time of a test."""
    monkeypatch.syspath_prepend(somewhere)
    before = set(sys.modules)
    yield somewhere
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(somewhere)):
            del sys.modules[name]


WITH_FILES = [page for page in PAGES if files_of(page) and page.name not in OWN_PROCESS]


@pytest.mark.parametrize("page", WITH_FILES, ids=name_of)
def test_the_files_of_a_page_run(page: Path, saved: Path) -> None:
    """The program is one file and its tests are another; `pytest` runs them."""
    files = files_of(page)
    for name, code in files.items():
        (saved / name).write_text(code)
    for name in files:
        module = importlib.import_module(name.removesuffix(".py"))
        for test in [each for each in dir(module) if each.startswith("test_")]:
            answer = getattr(module, test)()
            assert not inspect.iscoroutine(answer), "pytest alone runs no async tests"


def code_of(path: Path) -> list[ast.Module]:
    """Return the Python of a page, or of a program: each file or run of blocks as one module."""
    if path.suffix == ".py":
        return [ast.parse(path.read_text())]
    plain = "".join(code for _, code in blocks_of(path))
    return [ast.parse(code) for code in (plain, *files_of(path).values())]


def test_session_is_the_session_of_a_request() -> None:
    """
    Never the function: that is `coatcheck.session()`. So `session` is free in every handler, and
    no name hides another.
    """
    for path in [*PAGES, *sorted((ROOT / "examples").glob("*.py"))]:
        for node in [node for module in code_of(path) for node in ast.walk(module)]:
            if isinstance(node, ast.ImportFrom) and node.module in (
                "coatcheck",
                "coatcheck.middleware",
            ):
                names = {each.asname or each.name for each in node.names}
                assert "session" not in names, name_of(path)


def test_links_lead_to_files_and_headings() -> None:
    """Every relative link of a page is a file, and its anchor is a heading there."""
    for text in TEXTS:
        for target, anchor in LINK.findall(text.read_text()):
            there = text.parent / target if target else text
            assert os.path.lexists(there), f"{name_of(text)} links to {target}"
            if anchor and there.suffix == ".md" and not anchor.startswith("coatcheck"):
                assert anchor in anchors_of(there), f"{name_of(text)} links to {target}#{anchor}"


@cache
def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as mkdocs makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = HEADING.finditer(text)
    return {each["id"] or slugify(re.sub(r"[`*]", "", each[1])) for each in found}


def slugify(heading: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_every_page_is_in_the_navigation() -> None:
    """What nobody can find need not have been written."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in navigation
