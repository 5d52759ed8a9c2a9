"""What a process writes until `tests.kills` ends it, and what it tells of that."""

import os
from collections.abc import Iterator
from itertools import count
from random import Random

from coatcheck import Session
from coatcheck.storage import KeyedStorage

SLOTS = 8
"""Sessions that a process keeps at a time."""

LARGEST = 60_000
"""Bytes of a session, about: many pages of a database, and of a file."""


class Ledger:
    """What a writer told: lines of "begin ACTION SLOT NUMBER", and "done VALUE"."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[str, int]] = {}
        """By slot: the value of its cookie, and the number that was written last."""
        self.ended: set[str] = set()
        """Values that lead nowhere any more."""
        self.pending: tuple[str, int, int] | None = None
        self.counted = self.done = 0

    def note(self, word: str, *rest: str) -> None:
        """Take down one line."""
        if word == "begin":
            self.pending = rest[0], int(rest[1]), int(rest[2])
            return
        assert self.pending
        action, slot, number = self.pending
        self.pending = None
        self.done += 1
        self.counted += action == "count"
        if action in ("move", "end"):
            self.ended.add(self.kept.pop(slot)[0])
        if action in ("create", "change", "move"):
            self.kept[slot] = rest[0], number

    def allowed(self, slot: int) -> set[int | None]:
        """Return the numbers that a session may hold now: None where it may be gone."""
        numbers: set[int | None] = {self.kept[slot][1]}
        if self.pending and self.pending[1] == slot and not self.is_counting:
            action, _, number = self.pending
            # Of a move that was under way, the client has not heard: its old id may lead nowhere.
            numbers.add(number if action == "change" else None)
        return numbers

    @property
    def is_counting(self) -> bool:
        return self.pending is not None and self.pending[0] == "count"


def work(storage: KeyedStorage, shared: str, random: Random, pipe: int) -> None:
    """Write for ever, and tell of each write before and after."""
    values: dict[int, str] = {}
    for action, slot, number in actions(values, random):
        os.write(pipe, f"begin {action} {slot} {number}\n".encode())
        session = storage.read(shared if action == "count" else values.get(slot))
        match action:
            case "count":
                session.apply("count", lambda n: n + 1, 0)
            case "end":
                session.destroy()
            case _:
                fill(session, number)
        if action == "move":
            session.regenerate_id()
        value = storage.save(session) or values.get(slot, "")
        if action == "end":
            del values[slot]
        elif action != "count":
            values[slot] = value
        os.write(pipe, f"done {value}\n".encode())


def actions(values: dict[int, str], random: Random) -> Iterator[tuple[str, int, int]]:
    """Yield what to do next, with which slot, and a number to write."""
    for number in count(1):
        slot = random.randrange(SLOTS)
        does = ["change"] * 6 + ["move", "end"] if slot in values else ["create"]
        yield random.choice(["count", *does]), slot, number


def fill(session: Session, number: int) -> None:
    """Write a number all over a session."""
    session["number"] = number
    session["filler"] = filler(number)


def filler(number: int) -> str:
    size = number * 7919 % LARGEST
    return (f"{number}," * (size // 2 + 1))[:size]


def is_whole(session: Session) -> bool:
    """Tell whether a session is empty, or holds one write and nothing of another."""
    number = session.get("number")
    if number is None:
        return "filler" not in session
    return isinstance(number, int) and session.get("filler") == filler(number)
