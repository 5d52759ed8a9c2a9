"""
Applications called directly: what each adds to a request, and its ratio to Starlette's sessions.
"""

from statistics import median
from typing import Any

from benchmarks import bare_clients, floor, peers, storages, subjects, work
from benchmarks.cases import cases_of, check, in_turn
from benchmarks.measure import Case, less, measure, progress, ratio, spread
from benchmarks.place import Place, place
from benchmarks.subjects import Subject

REFERENCE = "starlette"

AGAINST = {
    "flask coatcheck cookie": ("flask own",),
    "flask coatcheck redis": ("flask session redis", "flask session redis refresh"),
}
"""Ours, and what the same application would have instead."""


def wanted(only: set[str] | None, place: Place) -> list[Subject]:
    """Return the subjects to measure, the reference first."""
    found = [subjects.starlette(), *floor.subjects()]
    ours = [key for key in storages.OURS if is_wanted(key, only) and storages.can_be_made(key)]
    found += [storages.made(key, place).subject for key in ours]
    return found + [make(place) for key, make in peers.PEERS.items() if is_wanted(key, only)]


def is_wanted(key: str, only: set[str] | None) -> bool:
    return not only or key in only or key.split(maxsplit=1)[0] in only


def run(only: set[str] | None, *, rounds: int, target: float, clients: int) -> list[dict[str, Any]]:
    """Measure, and return a row for each subject and work."""
    with place() as where:
        chosen = wanted(only, where)
        bares = {subject.bare.key: subject.bare for subject in chosen}
        cases = [
            Case(f"bare {bare.key}", "", in_turn(bare.make(), bare.driver, ["session=none"]))
            for bare in bares.values()
        ]
        for subject in chosen:
            progress(f"signing in: {subject.name}")
            check(subject)
            cases += cases_of(subject, clients=clients)
            cases += bare_client(subject.key, where, clients=clients)
        measure(cases, rounds=rounds, target=target)
    return rows(cases, {subject.key: subject for subject in chosen})


def bare_client(key: str, place: Place, *, clients: int) -> list[Case]:
    """Return the cases of the bare client of a storage of ours."""
    if key == "sqlite":
        return bare_clients.sqlite(place.folder / "bare.db", clients=clients)
    if key == "redis":
        return bare_clients.redis(place.server("redis"), clients=clients)
    if key == "memcached":
        return bare_clients.memcached(place.server("memcached"), clients=clients)
    return []


def rows(cases: list[Case], chosen: dict[str, Subject]) -> list[dict[str, Any]]:
    """Return what is told of each case."""
    took = {(case.subject, case.work): case.took for case in cases}
    found = []
    for (key, name), whole in took.items():
        if key not in chosen:
            continue
        added = less(whole, took[f"bare {chosen[key].bare.key}", ""])
        low, high = spread(added)
        row = {
            "subject": key,
            "name": chosen[key].name,
            "work": name,
            "microseconds": round(median(added), 3),
            "quartiles": [round(low, 3), round(high, 3)],
            "whole": round(median(whole), 3),
        }
        if reference := took.get((REFERENCE, name)):
            row["ratio"] = round(ratio(added, less(reference, took["bare asgi", ""])), 3)
        if client := took.get((f"bare {key}", name)):
            row["client"] = round(median(client), 3)
            row["to client"] = round(ratio(whole, client), 3)
            row["throughput"] = round(ratio(client, whole), 3)
        for other in AGAINST.get(key, ()):
            if theirs := took.get((other, name)):
                base = took[f"bare {chosen[other].bare.key}", ""]
                row[f"to {other}"] = round(ratio(added, less(theirs, base)), 3)
        found.append(row)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return rows as text: microseconds added, and the ratio to Starlette."""
    names = {row["subject"]: row["name"] for row in found}
    cell = {(row["subject"], row["work"]): row for row in found}
    lines = [f"{'':32}" + "".join(f"{name:>16}" for name in work.WORKS)]
    for key, name in names.items():
        line = f"{name:32}"
        for column in work.WORKS:
            row = cell.get((key, column))
            line += f"{row['microseconds']:9.2f} {row['ratio']:6.2f}" if row else f"{'':16}"
        lines.append(line)
    lines += [
        f"{row['name']}, {row['work']}: whole {row['whole']:.2f}, bare client "
        f"{row['client']:.2f}, {row['to client']:.2f} times"
        for row in found
        if "to client" in row
    ]
    return "\n".join(lines)
