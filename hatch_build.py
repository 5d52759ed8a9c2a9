"""
The README as a package index shows it: links to files of the repository become plain text.

    [Starlette](docs/how-to/starlette.md)    Starlette (docs/how-to/starlette.md)
    ![What it costs](docs/images/a.svg)      left out, with its paragraph of nothing but the image

An index shows the README alone, so a link relative to it would lead nowhere. When the project has a
home, `[project.urls]` names it as "Source", and the links lead there.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_IMAGE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")


def for_an_index(readme: str, source: str | None = None) -> str:
    """
    Return the text of a README with links that lead somewhere wherever it is shown.

    Args:
        source: Where the files of the repository are, such as "https://code.example/coatcheck";
            None: nowhere yet.
    """
    if source:
        return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", rf"]({source.rstrip('/')}/\1)", readme)
    return _LINK.sub(r"\1 (`\2`)", _IMAGE.sub("", readme))


class ReadmeHook(MetadataHookInterface):
    """Gives the package its description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": for_an_index(text, source),
        }
