"""What was measured, as a page of the documentation and as charts."""

import json
from pathlib import Path

from benchmarks import chart
from benchmarks import report_tables as tables
from benchmarks.chart import Entry, Line, Panel
from benchmarks.report_tables import GROUPS, Row

BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of what was measured -->"

CHARTED = ("In the cookie", "In memory", "In Redis")


PAGES = {
    "benchmarks": "explanation/benchmarks.md",
    "figures": "explanation/benchmark-figures.md",
    "bars": "decisions/0036-the-bars-of-speed.md",
}
"""For users, for who wants to know more, and what this project asked of itself."""


def write(results: Row, docs: Path, saved: Path) -> None:
    """Write the results as JSON, the charts, and the measured parts of the pages below *docs*."""
    images = docs / "images"
    for folder in (*(docs / page for page in PAGES.values()), images / "any", saved):
        folder.parent.mkdir(parents=True, exist_ok=True)
    saved.write_text(json.dumps(results, indent=1) + "\n")
    (images / "overhead.svg").write_text(_overhead(results["in process"]))
    (images / "growth.svg").write_text(_growth(results["growth"]))
    parts = {
        "benchmarks": summary(results),
        "figures": figures(results),
        "bars": tables.bars(results["bars"]),
    }
    for name, text in parts.items():
        replace_measured(docs / PAGES[name], text)


def replace_measured(page: Path, text: str) -> None:
    """Write *text* between the markers of a page; what stands around them stays."""
    whole = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def summary(results: Row) -> str:
    """Return what a user wants to know: two charts and a table."""
    parts = [
        _conditions(results),
        "![What a session adds to a request](../images/overhead.svg)\n",
        "![A request's time as sessions become many](../images/growth.svg)\n",
        tables.own(results["in process"]),
    ]
    return "\n".join(parts)


def figures(results: Row) -> str:
    """Return all the rest that was measured."""
    parts = [
        _conditions(results),
        "## What a session adds to a request\n",
        tables.added(results["in process"]),
        "## Beside the bare client of a server\n",
        tables.clients(results["in process"]),
        *_on_servers(results.get("on servers", [])),
        *_pythons(results.get("pythons", [])),
        "## Over HTTP\n",
        tables.http(results["http"]),
        "## As sessions become many, or large\n",
        tables.grown(results["growth"]),
        tables.sized(results["sizes"]),
        "## Versions\n",
        tables.versions(results["machine"]),
    ]
    return "\n".join(parts)


def _on_servers(rows: list[Row]) -> list[str]:
    return (
        [
            "## Storages on servers, one request at a time and 64 in flight\n",
            tables.on_servers(rows),
        ]
        if rows
        else []
    )


def _pythons(rows: list[Row]) -> list[str]:
    return ["## On other versions of Python\n", tables.pythons(rows)] if rows else []


def _conditions(results: Row) -> str:
    machine = results["machine"]
    return (
        f"Measured on {results['date']}, on {machine['cores']} cores of {machine['processor']} "
        f"({machine['system']}), with {machine['python']}; {results['rounds']} rounds.\n"
    )


def _overhead(rows: list[Row]) -> str:
    cell = {(row["subject"], row["work"]): row for row in rows}
    panels = []
    for group in CHARTED:
        entries = [
            _entry(cell[subject, "W2 cold"], cell[subject, "W3 cold"])
            for subject in GROUPS[group]
            if (subject, "W2 cold") in cell and "floor" not in subject
        ]
        if entries:
            panels.append(Panel(group, sorted(entries, key=lambda entry: entry.write)))
    return chart.bars(
        "What a session adds to a request",
        "Microseconds over the bare application of the same framework; 10,000 clients in turn. "
        "Each panel has its own scale.",
        panels,
    )


def _entry(read: Row, write: Row) -> Entry:
    ours = read["name"].startswith("coatcheck")
    return Entry(read["name"], max(read["microseconds"], 0), max(write["microseconds"], 0), ours)


def _growth(rows: list[Row]) -> str:
    panels = []
    for heading, name in (("Reads one key", "W2"), ("Reads one, sets one", "W3")):
        drawn = [
            Line(
                tables.STORAGES[storage],
                [(row["sessions"], row[name]) for row in rows if row["storage"] == storage],
            )
            for storage in dict.fromkeys(row["storage"] for row in rows)
        ]
        panels.append((heading, drawn))
    return chart.lines(
        "A request's time as sessions become many",
        "Whole requests of coatcheck, by the number of stored sessions. Both axes count in powers "
        "of ten.",
        panels,
    )
