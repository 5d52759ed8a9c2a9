"""What the tests of the Django backend share."""

import importlib
from typing import Any

from tests.frameworks.django_site import PAGES

DAY = 24 * 3600
STORAGES = ["memory", "file", "sqlite", "redis", "postgresql"]


def django_pages() -> Any:
    """The module of the pages: it can be imported once the site is set up."""
    return importlib.import_module(PAGES)


def held(store: Any, key: str | None) -> dict[str, Any]:
    return dict(store(key).items())
