"""
`[project.urls]` is the only place for the addresses of the project.

The project has none yet, so these tests fill in samples.
"""

import re
import shutil
import subprocess
import sys
from email.message import Message
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from coatcheck import __version__
from coatcheck.storage import MemoryStorage

ROOT = Path(__file__).parent.parent

SOURCE, DOCUMENTATION = "https://code.example/coatcheck", "https://coatcheck.example"

URLS = f"""
[project.urls]
Source = "{SOURCE}"
Documentation = "{DOCUMENTATION}"
"""

SITE = """
site_name: coatcheck
theme: { name: material, font: false, custom_dir: theme }
hooks: [scripts/mkdocs_hooks.py]
plugins: []
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that name an address, with samples filled in, and one page."""
    for name in ("scripts/mkdocs_hooks.py", "src/coatcheck/__init__.py", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs/theme", tmp_path / "theme")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + URLS)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Home\n")
    (tmp_path / "mkdocs.yml").write_text(SITE)
    return tmp_path


def test_the_header_of_the_pages_shows_version_and_repository(project: Path) -> None:
    """And each page names its own address."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", "site"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (project / "site/index.html").read_text()
    about = re.search(r'<div class="about">(.*?)</div>', page, re.DOTALL)
    assert about
    assert re.findall(r'href="([^"]+)"', about[1]) == ["changelog/", SOURCE]
    assert __version__ in about[1]
    assert f'<link rel="canonical" href="{DOCUMENTATION}/">' in page


def test_the_links_of_the_readme_lead_to_the_repository() -> None:
    """Where an index shows it."""
    sys.path.insert(0, str(ROOT))
    try:
        from hatch_build import for_an_index
    finally:
        sys.path.remove(str(ROOT))
    text = for_an_index("[Starlette](docs/how-to/starlette.md) ![a](docs/a.svg)", SOURCE)
    assert text == f"[Starlette]({SOURCE}/docs/how-to/starlette.md) ![a]({SOURCE}/docs/a.svg)"


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([f"Source, {SOURCE}", f"Documentation, {DOCUMENTATION}"], DOCUMENTATION),
        ([f"Source, {SOURCE}"], SOURCE),
        ([], ""),
        (None, ""),
    ],
)
def test_the_demo_links_to_the_documentation(
    lines: list[str] | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the package was built; a package that is not installed tells no address."""
    rendering = pytest.importorskip("coatcheck.demo.rendering")
    serving = pytest.importorskip("coatcheck.demo.serving")
    checkroom = pytest.importorskip("coatcheck.demo.checkroom").Checkroom
    shop = checkroom(MemoryStorage(), "memory", "here")

    def metadata(_: str) -> Message:
        if lines is None:
            raise PackageNotFoundError
        told = Message()
        for line in lines:
            told["Project-URL"] = line
        return told

    monkeypatch.setattr(rendering, "metadata", metadata)
    rendering.documentation.cache_clear()
    try:
        footer = rendering._templates.get_template("failed.html").render(status=503, checkroom=shop)
        assert rendering.documentation() == address
        assert (f'<a href="{address}">Documentation</a>' in footer) == bool(address)
        told = serving.greeting(shop, "http://127.0.0.1")
        assert f"Read      {address or 'docs/index.md'}" in told
    finally:
        rendering.documentation.cache_clear()


def test_no_file_names_an_address_of_its_own() -> None:
    """An address that moves is changed in one line."""
    named = re.compile(r"https://(github|gitlab|codeberg|coatcheck|pypi)\.")
    for name in ("mkdocs.yml", "README.md", "SECURITY.md", "docs/index.md", "hatch_build.py"):
        assert not named.search((ROOT / name).read_text())
