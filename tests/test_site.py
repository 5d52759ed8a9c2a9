"""
The pages as mkdocs builds them: strictly, with links that lead somewhere, and a search that finds.

The build takes ten seconds, so these tests are thorough ones; `make docs` builds in the same way.
"""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser

from coatcheck import __version__
from tests.chromium import launched

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages; a warning is an error."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Seen(HTMLParser):
    """What a page links to, loads, and names."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.ids: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given[name] or "" for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"] or "")
        loaded = given.get("src") or (given.get("href") if tag == "link" else None)
        if loaded and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.add(loaded)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Seen]:
    """Each page, by its file."""
    return {page.resolve(): Seen(page) for page in site.rglob("*.html")}


def test_every_link_leads_to_a_page_and_a_place_on_it(site: Path, pages: dict[Path, Seen]) -> None:
    """Also links of the menu, of the reference and of the changelog."""
    wrong = {
        f"{page.relative_to(site.resolve())}: {link}"
        for page, link, there in links_of(pages)
        if not (there.exists() and leads_into(pages, there, link))
    }
    assert not wrong


def links_of(pages: dict[Path, Seen]) -> Iterator[tuple[Path, str, Path]]:
    """Yield each link of a page to another, with the file behind it."""
    for page, seen in pages.items():
        if page.name == "404.html":  # served at any path, so its links begin at the root
            continue
        for link in seen.links | seen.loads:
            parts = urlsplit(link)
            if not (parts.scheme or parts.netloc or link.startswith(("data:", "javascript:"))):
                there = (page.parent / unquote(parts.path)) if parts.path else page
                there = Path(os.path.normpath(there))
                yield page, link, there / "index.html" if there.is_dir() else there


def leads_into(pages: dict[Path, Seen], there: Path, link: str) -> bool:
    anchor = unquote(urlsplit(link).fragment)
    return not anchor or there not in pages or anchor in pages[there].ids


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Seen]) -> None:
    """A reader of the pages is seen by no other host."""
    for seen in pages.values():
        assert not [link for link in seen.loads if urlsplit(link).netloc]


def test_the_header_shows_the_version(site: Path) -> None:
    """On the first page and on one further down, with a link to the changelog."""
    for page, changelog in [("index.html", "changelog/"), ("how-to/flask/index.html", "../../")]:
        about = re.search(
            r'<div class="about">\s*<a href="([^"]+)"[^>]*>([^<]+)', read(site / page)
        )
        assert about
        assert about[1].startswith(changelog)
        assert about[2] == __version__


def read(path: Path) -> str:
    return path.read_text()


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("remember me", "how-to/remember-me/"),
        ("SESSION_COOKIE_SECURE", "how-to/django/"),
        ("metrics", "how-to/events-and-metrics/"),
        ("docker", "how-to/containers/"),
        ("kubernetes", "how-to/containers/"),
        ("oauth", "how-to/oauth/"),
        ("503", "how-to/when-the-server-fails/"),
        ("with client", "how-to/flask/"),
        ("csrf", "how-to/protect-requests/"),
        ("on_outage", "reference/middleware/"),
    ],
)
def test_search_finds(site: Path, words: str, page: str) -> None:
    """The page is in the index of the search, with all of the words in one of its parts."""
    index: dict[str, Any] = json.loads(read(site / "search/search_index.json"))
    separator = index["config"]["separator"]
    wanted = set(re.split(separator, words.lower()))
    found = {
        entry["location"].partition("#")[0]
        for entry in index["docs"]
        if wanted <= set(re.split(separator, text_of(entry).lower()))
    }
    assert page in found


def text_of(entry: dict[str, str]) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", f"{entry['title']} {entry['text']}"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not write down what it is asked."""

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """The address of the pages, on this machine."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=site)
    ) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


WIDER = """() => [document.documentElement.scrollWidth - innerWidth,
    ...[...document.querySelectorAll('.md-typeset__scrollwrap')]
        .map(table => table.scrollWidth - table.clientWidth)]"""
"""By how many pixels a page is wider than its window, and each table wider than the page."""


def test_pages_and_tables_fit_the_window(served: str, chromium: Browser) -> None:
    """Of a desktop and of a telephone; and the copy button leaves the prompt out."""
    for width in (1280, 390):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        for path in ("", "how-to/", "explanation/frameworks/", "explanation/benchmarks/"):
            page.goto(served + path)
            assert max(page.evaluate(WIDER)) <= 1, (width, path)
    with chromium.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(served)
        page.locator(".md-clipboard, .md-code__button").first.click()
        page.wait_for_selector(".md-dialog--active")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == "pip install coatcheck starlette uvicorn"
