"""
Cases for the rules of rosters. `python -m tests._session.roster_cases` runs them all.

It prints for each case how many ends were reached, by every order of the calls, and how many broke
a rule. `test_roster_orders` runs those that take no longer than a second or two.
"""

# ruff: noqa: T201 - it is a command

import sys
from collections.abc import Collection
from typing import Any

import pytest

from coatcheck._session.session import Session
from tests._session.roster_scenes import (
    ends,
    ends_others,
    fix_names,
    in_turn,
    looks,
    moves,
    request,
    revokes_all,
    signs_in,
    signs_out,
    store_of,
    visitor,
    writes,
    wrong_with,
)
from tests.explorer import Make, Store, ends_of

CUT = 5.0

EMPTY = store_of()
ONE = store_of("a", listed="a")
TWO = store_of("a", "z", listed="az")
LOST = store_of("a")
LOST_OF_TWO = store_of("a", "z", listed="z")
VISITOR = store_of("x", "z", listed="z")
OLD = store_of("a", listed="a", old=True)
OLD_LOST = store_of("a", old=True)

B, C, D = visitor("b", 1), visitor("c", 1), visitor("d", 1)
B1, C1 = visitor("b", 1, 1), visitor("c", 1, 1)
B2, C2 = visitor("b", 1, 2), visitor("c", 1, 2)
NEW, NEW1 = visitor("n", 9), visitor("n", 9, 1)
MOVES, MOVES2, ROTATES = moves("r"), moves("q"), moves("r", "rotate")
REVOKES, REVOKES2 = revokes_all(CUT), revokes_all(6.0)
SAVES = request("s", "a", writes)
SAVES_Z = request("s", "z", writes)
REFRESHES = request("f", "a", looks)
OTHERS = ends_others()


def click(name: str, limit: int) -> Make:
    return request(name, "x", signs_in, limit)


def over(name: str, limit: int = 9, cookie: str = "a") -> Make:
    """The user of a session signs in again."""
    return request(name, cookie, signs_in, limit)


CASES: dict[str, tuple[list[Make], Store, Collection[int], dict[str, Any]]] = {
    "3 sign-ins": ([B, C, D], ONE, (), {}),
    "2 sign-ins, crashes": ([B, C], ONE, (0, 1), {}),
    "old and new sign-in, revocation, crashes": (
        [B, NEW, REVOKES], ONE, (0, 1, 2), {"cutoff": CUT},
    ),
    "revocation, then a sign-in at the same instant": (
        [in_turn(REVOKES, visitor("n", CUT))], ONE, (), {"cutoff": CUT, "limit": 9},
    ),
    "old sign-in, revocation": ([B, REVOKES], ONE, (0,), {"cutoff": CUT}),
    "save, revocation, crashes": ([SAVES, REVOKES], ONE, (0, 1), {"cutoff": CUT}),
    "new id, revocation, crashes": ([MOVES, REVOKES], ONE, (0, 1), {"cutoff": CUT}),
    "rotation, revocation, crashes": ([ROTATES, REVOKES], ONE, (0, 1), {"cutoff": CUT}),
    "new id, save, revocation": ([MOVES, SAVES, REVOKES], ONE, (0,), {"cutoff": CUT}),
    "new id, sign-in, revocation": ([MOVES, B, REVOKES], ONE, (), {"cutoff": CUT}),
    "two new ids, crashes": ([MOVES, MOVES2], ONE, (0, 1), {}),
    "two rotations, crashes": ([ROTATES, moves("q", "rotate")], ONE, (0, 1), {}),
    "two confirms": ([moves("r", "confirm"), moves("q", "confirm")], ONE, (), {}),
    "refresh, revocation, crashes": ([REFRESHES, REVOKES], OLD, (0, 1), {"cutoff": CUT}),
    "refresh, new id, end": ([REFRESHES, MOVES, ends("a")], OLD, (), {}),
    "two revocations, sign-in, crashes": (
        [REVOKES, REVOKES2, B], EMPTY, (0, 1, 2), {"cutoff": CUT},
    ),
    "two revocations, save": ([REVOKES, REVOKES2, SAVES], ONE, (0,), {"cutoff": CUT}),
    "sign-out, new id, crashes": ([signs_out(), MOVES], ONE, (0, 1), {}),
    "sign-out, two new ids": ([signs_out(), MOVES, MOVES2], ONE, (), {}),
    "sign-out, rotation, revocation": ([signs_out(), ROTATES, REVOKES], ONE, (), {"cutoff": CUT}),
    "end, new id, crashes": ([MOVES, ends("a")], ONE, (0,), {}),
    "end, rotation": ([ROTATES, ends("a")], ONE, (0,), {}),
    "end, new id, save": ([MOVES, SAVES, ends("a")], ONE, (), {}),
    "end all others, new id, crashes": ([MOVES, OTHERS], TWO, (0,), {"spared": True}),
    "end all others, new id, the other's save": (
        [MOVES, OTHERS, SAVES_Z], TWO, (), {"spared": True},
    ),
    "end all others and a new id in one request, another new id": (
        [ends_others(then=Session.regenerate_id), MOVES2], TWO, (), {"spared": True},
    ),
    "a confirm and end all others": (
        [ends_others(then=Session.confirm), B], TWO, (), {"spared": True, "moves": True},
    ),
    "end all others, then a new id": (
        [in_turn(OTHERS, MOVES)], TWO, (), {"spared": True, "moves": True},
    ),
    "end all others, then a sign-in in the same request": (
        [ends_others(then=signs_in), SAVES_Z], TWO, (), {},
    ),
    "end all others, while the spared one signs in": ([over("b"), OTHERS], ONE, (), {}),
    "end all others, sign-out": ([OTHERS, signs_out()], TWO, (), {}),
    "a lost row: new id": ([MOVES], LOST, (), {"moves": True}),
    "a lost row: refresh, new id": ([REFRESHES, MOVES], OLD_LOST, (), {}),
    "a lost row: revocation, then a refresh": (
        [in_turn(REVOKES, REFRESHES)], OLD_LOST, (), {"cutoff": CUT},
    ),
    "a lost row: end all others, then a new id": (
        [in_turn(OTHERS, MOVES)], LOST_OF_TWO, (), {"spared": True, "moves": True},
    ),
    "a lost row: end all others, new id at once": (
        [OTHERS, MOVES], LOST_OF_TWO, (), {"spared": True},
    ),
    "a lost row: sign-out, refresh": ([signs_out(), REFRESHES], OLD_LOST, (), {}),
    "limit 1: 2 sign-ins": ([B1, C1], EMPTY, (), {"limit": 1}),
    "limit 1: 2 sign-ins, one there, crashes": ([B1, C1], ONE, (0, 1), {"limit": 1}),
    "limit 1: sign-in, new id, save": ([B1, MOVES, SAVES], ONE, (), {"limit": 1}),
    "limit 1: sign-in, rotation, crashes": ([B1, ROTATES], ONE, (0, 1), {"limit": 1}),
    "limit 2: 2 sign-ins, two there": ([B2, C2], TWO, (), {"limit": 2}),
    "limit 2: sign-in, new id, two there": ([B2, MOVES], TWO, (), {"limit": 2}),
    "limit 1: sign-in from a session of the same user": ([over("b", 1)], ONE, (), {"limit": 1}),
    "limit 1: the same, another sign-in": ([over("b", 1), C1], ONE, (), {"limit": 1}),
    "limit 2: the same, another session": ([over("b", 2), C2], TWO, (), {"limit": 2}),
    "end, sign-in over the ended session": ([ends("a"), over("b")], ONE, (), {}),
    "limit 1: two clicks on sign in": ([click("b", 1), click("c", 1)], VISITOR, (), {"limit": 1}),
    "limit 2: two clicks on sign in": ([click("b", 2), click("c", 2)], VISITOR, (), {"limit": 2}),
    "limit 1: two clicks and another sign-in": (
        [click("b", 1), visitor("d", 1, 1)], VISITOR, (), {"limit": 1},
    ),
    "limit 1: sign-in, revocation": ([NEW1, REVOKES], ONE, (), {"limit": 1, "cutoff": CUT}),
}  # fmt: skip
"""Requests, the store they begin with, who may crash, what must hold."""


LONG = {
    "limit 2: the same, another session",
    "limit 1: 2 sign-ins, one there, crashes",
    "limit 1: the same, another sign-in",
    "old and new sign-in, revocation, crashes",
    "refresh, new id, end",
    "two revocations, sign-in, crashes",
    "new id, sign-in, revocation",
    "limit 1: sign-in, new id, save",
    "sign-out, rotation, revocation",
    "sign-out, two new ids",
    "end, new id, save",
    "new id, save, revocation",
}
"""Cases that only the command runs."""


def broken(case: str) -> tuple[int, list[str]]:
    """Run a case in every order; return the number of ends, and the rules that were broken."""
    requests, store, crash, rules = CASES[case]
    found = ends_of(requests, store, {}, crash)
    wrong = [f"{rule} {end.results}" for end in found for rule in wrong_with(end, **rules)]
    return len(found), wrong


def main() -> int:
    """Print a table of all cases; return 0 if no rule was broken."""
    print("| case | ends | violations |\n| --- | --- | --- |")
    runs = harm = 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        fix_names(monkeypatch)
        for case in CASES:
            count, wrong = broken(case)
            runs, harm = runs + count, harm + len(wrong)
            print(f"| {case} | {count:,} | {len(wrong)} |", flush=True)
    print(f"| all {len(CASES)} | {runs:,} | {harm} |")
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
