"""What was measured, as a page of the documentation and as charts."""

import json
from pathlib import Path
from typing import Any

from benchmarks import chart, work
from benchmarks.chart import Entry, Line, Panel

Row = dict[str, Any]

BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of what was measured -->"

GROUPS = {
    "In the cookie": (
        "cookie",
        "encrypted",
        "starlette",
        "starsessions cookie",
        "litestar cookie",
        "aiohttp cookie",
        "flask coatcheck cookie",
        "flask own",
        "django cookie",
        "beaker cookie",
        "floor",
    ),
    "In memory": (
        "memory",
        "starsessions memory",
        "litestar memory",
        "django memory",
        "beaker memory",
        "memory floor",
    ),
    "In files and databases": ("sqlite", "files", "django database"),
    "In Redis": (
        "redis",
        "starsessions redis",
        "litestar redis",
        "aiohttp redis",
        "flask coatcheck redis",
        "flask session redis",
        "flask session redis refresh",
        "django redis",
        "beaker redis",
    ),
    "In Memcached": ("memcached",),
}

STORAGES = {
    "starlette": "Starlette SessionMiddleware",
    "cookie": "signed cookie",
    "encrypted": "encrypted cookie",
    "memory": "memory",
    "sqlite": "SQLite",
    "files": "files",
    "redis": "Redis",
    "memcached": "Memcached",
}

CHARTED = ("In the cookie", "In memory", "In Redis")


def write(results: Row, page: Path, images: Path, saved: Path) -> None:
    """Write the results as JSON, the charts, and the measured part of the page."""
    for folder in (page.parent, images, saved.parent):
        folder.mkdir(parents=True, exist_ok=True)
    saved.write_text(json.dumps(results, indent=1) + "\n")
    (images / "overhead.svg").write_text(_overhead(results["in process"]))
    (images / "growth.svg").write_text(_growth(results["growth"]))
    replace_measured(page, measured(results))


def replace_measured(page: Path, text: str) -> None:
    """Write *text* between the markers of a page; what stands around them stays."""
    whole = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def measured(results: Row) -> str:
    """Return the measured part of the page."""
    parts = [
        _conditions(results),
        "### What a session adds to a request\n",
        "![What a session adds to a request](../images/overhead.svg)\n",
        _added(results["in process"]),
        "### Beside the bare client of a server\n",
        _clients(results["in process"]),
        "### Over HTTP\n",
        _http(results["http"]),
        "### As sessions become many, or large\n",
        "![A request's time as sessions become many](../images/growth.svg)\n",
        _grown(results["growth"]),
        _sized(results["sizes"]),
        "### The bars\n",
        _bars(results["bars"]),
        "### Versions\n",
        _versions(results["machine"]),
    ]
    return "\n".join(parts)


def _conditions(results: Row) -> str:
    machine = results["machine"]
    return (
        f"Measured on {results['date']}, on {machine['cores']} cores of {machine['processor']} "
        f"({machine['system']}), with {machine['python']}; {results['rounds']} rounds.\n"
    )


def _table(head: list[str], rows: list[list[str]], *, texts: int = 1) -> str:
    """Return a Markdown table whose first columns are text and the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows])


def _added(rows: list[Row]) -> str:
    cell = {(row["subject"], row["work"]): row for row in rows}
    names = {row["subject"]: row["name"] for row in rows}
    lines: list[list[str]] = []
    for group, subjects in GROUPS.items():
        if not any(subject in names for subject in subjects):
            continue
        lines.append([f"*{group}*", *[""] * len(work.WORKS)])
        lines += [
            [_bold(names[subject]), *(_figure(cell.get((subject, name))) for name in work.WORKS)]
            for subject in subjects
            if subject in names
        ]
    return (
        "Microseconds that are added to the bare application, and in brackets their ratio to "
        "Starlette's `SessionMiddleware`.\n\n" + _table(["", *work.WORKS], lines)
    )


def _bold(name: str) -> str:
    return f"**{name}**" if name.startswith("coatcheck") else name


def _figure(row: Row | None) -> str:
    if row is None:
        return ""
    ratio = f"{row['ratio']:.2f}" if row["ratio"] < 10 else f"{row['ratio']:.0f}"
    return f"{_short(row['microseconds'])} ({ratio})"


def _short(number: float) -> str:
    return f"{number:.1f}" if abs(number) < 100 else f"{number:.0f}"


def _clients(rows: list[Row]) -> str:
    lines = [
        [
            row["name"],
            row["work"],
            _short(row["whole"]),
            _short(row["client"]),
            f"{row['to client']:.2f}",
        ]
        for row in rows
        if "to client" in row and row["work"] != "W2 in flight"
    ]
    flight = [row for row in rows if row["work"] == "W2 in flight"]
    sentence = "".join(
        f"\n{row['name']}, with 64 reading requests in flight: {1e6 / row['whole']:,.0f} requests "
        f"a second. The bare client with 64 GETs in flight: {1e6 / row['client']:,.0f} a second "
        f"({row['throughput']:.2f} times as many requests as bare GETs).\n"
        for row in flight
    )
    return (
        "Microseconds of a whole request, application included, and of what the bare client "
        "takes in a tight loop: W2 one GET (SELECT, gets), W3 a GET and a SET (UPDATE, cas).\n\n"
        + _table(["", "work", "whole request", "bare client", "times"], lines, texts=2)
        + sentence
    )


def _http(rows: list[Row]) -> str:
    if not rows:
        return "Not measured: wrk was not there.\n"
    cell = {(row["server"], row["subject"], row["work"]): row for row in rows}
    lines = [
        [
            server,
            _bold(name),
            *(
                f"{cell[server, subject, work_]['requests']:,} "
                f"({cell[server, subject, work_]['share']:.0%})"
                for work_ in ("W2", "W3")
            ),
        ]
        for server, subject, name in dict.fromkeys(
            (row["server"], row["subject"], row["name"]) for row in rows
        )
    ]
    return (
        "Requests a second of one worker under `wrk` with 32 connections and 1,000 clients in "
        "turn, and in brackets their share of what the application without sessions answers.\n\n"
        + _table(["server", "sessions", "W2", "W3"], lines, texts=2)
    )


def _grown(rows: list[Row]) -> str:
    lines = [
        [
            STORAGES[row["storage"]],
            f"{row['sessions']:,}",
            _short(row["W2"]),
            _short(row["W3"]),
            f"{row['bytes']:,}",
        ]
        for row in rows
    ]
    head = ["storage", "stored sessions", "W2, µs", "W3, µs", "bytes a session"]
    return (
        "Whole requests of clients drawn from all that have a session. Bytes are of the process "
        "(memory), the disk (SQLite, files) or what the server itself says it holds.\n\n"
        + _table(head, lines)
    )


def _sized(rows: list[Row]) -> str:
    sizes = sorted({row["size"] for row in rows})
    cell = {(row["storage"], row["size"]): row for row in rows}
    lines = []
    for storage in dict.fromkeys(row["storage"] for row in rows):
        found = (cell.get((storage, size)) for size in sizes)
        figures = [f"{_short(row['W2'])} / {_short(row['W3'])}" if row else "" for row in found]
        lines.append([STORAGES[storage], *figures])
    return (
        "Microseconds of a whole request, W2 / W3, by the size of the session. A cookie has no "
        "room for the larger ones.\n\n"
        + _table(["storage", *(f"{size:,} bytes" for size in sizes)], lines)
    )


def _bars(bars: list[Row]) -> str:
    lines = [
        [
            bar["bar"],
            f"{'at least' if bar['at least'] else 'at most'} {bar['target']:.2f}",
            f"{bar['measured']:.2f}",
            "" if bar["floor"] is None else f"{bar['floor']:.2f}",
            "met" if bar["met"] else "**missed**",
        ]
        for bar in bars
    ]
    met = sum(bar["met"] for bar in bars)
    return (
        f"What this project asked of itself before it began: {met} of {len(bars)} are met. W1 to "
        "W4 are ratios to Starlette's; the floor is what a hand-written minimum took then.\n\n"
        + _table(["bar", "target", "measured", "floor", ""], lines)
    )


def _versions(machine: Row) -> str:
    every = {**machine["versions"], **machine["servers"]}
    return ", ".join(f"{name} {number}" for name, number in every.items()) + ".\n"


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
                storage, [(row["sessions"], row[name]) for row in rows if row["storage"] == storage]
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
