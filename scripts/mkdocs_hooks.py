"""
What mkdocs adds to the pages: the version, the home of the source, the changelog.

The version is the one of the package. The addresses are those of `[project.urls]`, if it names any.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")


def version() -> str:
    """Return the version of the package, without importing it."""
    text = (ROOT / "src/coatcheck/__init__.py").read_text(encoding="utf-8")
    found: list[str] = re.findall(r'^__version__ = "(.+)"', text, re.MULTILINE)
    return found[0]


def address(name: str) -> str | None:
    """Return an address of `[project.urls]`: "Source" or "Documentation"; None: there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: str | None = project.get("urls", {}).get(name)
    return found


def page_of(text: str) -> str:
    """Return a file of the repository as a page: links to pages stay, others become text."""
    return _LINK.sub(_as_page, text)


def _as_page(link: re.Match[str]) -> str:
    text, target, anchor = link[1], link[2], link[3] or ""
    if target.startswith("docs/") and target.endswith(".md"):
        return f"[{text}]({target.removeprefix('docs/')}{anchor})"
    return text


def on_config(config: Any) -> Any:
    """Give the header the version and the source, and the pages their address."""
    config.extra["version_of_package"] = version()
    config.extra["source"] = address("Source")
    config.repo_url = config.extra["source"] or "changelog/"
    if documentation := address("Documentation"):
        config.site_url = f"{documentation.rstrip('/')}/"
    config.copyright = f"coatcheck {version()}, MIT licence"
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the changelog, which is kept where a reader of the repository looks for it."""
    from mkdocs.structure.files import File

    text = page_of((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    files.append(File.generated(config, "changelog.md", content=text))
    return files
