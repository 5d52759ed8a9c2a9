"""The tables of the report, as Markdown: each of the rows that one part of the benchmark found."""

from typing import Any

from benchmarks import work

Row = dict[str, Any]

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
        "memory encrypt",
        "starsessions memory",
        "litestar memory",
        "django memory",
        "beaker memory",
        "memory floor",
    ),
    "In files and databases": ("sqlite", "files", "postgresql", "mariadb", "django database"),
    "In Redis": (
        "redis",
        "redis encrypt",
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
    "memory encrypt": "memory, encrypt=True",
    "sqlite": "SQLite",
    "files": "files",
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "redis": "Redis",
    "redis encrypt": "Redis, encrypt=True",
    "memcached": "Memcached",
}


def _table(head: list[str], rows: list[list[str]], *, texts: int = 1) -> str:
    """Return a Markdown table whose first columns are text and the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows])


SHOWN = {"W1": "not used", "W2 cold": "one key is read", "W3 cold": "one is read, one is set"}
"""The works that a user compares, in plain words."""


def own(rows: list[Row]) -> str:
    """Return what the storages of this package add to a request."""
    cell = {(row["subject"], row["work"]): row for row in rows}
    lines = [
        [name, *(_short(cell[storage, each]["microseconds"]) for each in SHOWN)]
        for storage, name in STORAGES.items()
        if storage != "starlette" and all((storage, each) in cell for each in SHOWN)
    ]
    return "Microseconds that a session adds to a request, by the storage:\n\n" + _table(
        ["storage", *SHOWN.values()], lines
    )


def added(rows: list[Row]) -> str:
    """Return what each adds to a request, in its group."""
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


def clients(rows: list[Row]) -> str:
    """Return ours beside the bare clients of servers."""
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


def http(rows: list[Row]) -> str:
    """Return requests a second over HTTP."""
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


def grown(rows: list[Row]) -> str:
    """Return what a request takes, by the number of stored sessions."""
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


def sized(rows: list[Row]) -> str:
    """Return what a request takes, by the size of its session."""
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


def bars(bars: list[Row]) -> str:
    """Return the bars, and whether they are met."""
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
        f"{met} of {len(bars)} are met. W1 to W4 are ratios to Starlette's; the floor is what a "
        "hand-written minimum took then.\n\n"
        + _table(["bar", "target", "measured", "floor", ""], lines)
    )


def versions(machine: Row) -> str:
    """Return what was installed."""
    every = {**machine["versions"], **machine["servers"]}
    return ", ".join(f"{name} {number}" for name, number in every.items()) + ".\n"


def on_servers(rows: list[Row]) -> str:
    """Return what storages and bare drivers did, one request at a time and in flight."""
    head = ["server", "work", "in flight", "subject", "requests a second", "p50 ms", "p99 ms"]
    head += ["failed", "to the bare driver"]
    ordered = sorted(rows, key=lambda row: (row["server"], row["in flight"], row["work"]))
    return _table(
        head,
        [
            [
                row["server"],
                row["work"],
                str(row["in flight"]),
                _bold(row["subject"]),
                f"{row['rate']:,.0f}",
                f"{row['p50']:.2f}",
                f"{row['p99']:.2f}",
                str(row["failed"]),
                f"{row['to bare']:.2f}" if row["subject"].startswith("coatcheck") else "",
            ]
            for row in ordered
        ],
        texts=4,
    )


def pythons(rows: list[Row]) -> str:
    """Return what each adds to a request, by the version of Python."""
    cell = {(row["python"], row["subject"], row["work"]): row for row in rows}
    names = {row["subject"]: row["name"] for row in rows}
    versions = dict.fromkeys(row["python"] for row in rows)
    works = ("W2 cold", "W3 cold")
    lines = [
        [
            _bold(name),
            work_,
            *(_figure(cell.get((version, subject, work_))) for version in versions),
        ]
        for subject, name in names.items()
        for work_ in works
    ]
    return (
        "Microseconds that are added to the bare application, and in brackets their ratio to "
        "Starlette's `SessionMiddleware` on the same Python.\n\n"
        + _table(["", "work", *versions], lines, texts=2)
    )
