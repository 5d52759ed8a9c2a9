"""
What sessions must hold, said once more and simply: dicts, and steps replayed on the newest state.

It shares no code with the package. A save is one step here, so every race has one right outcome.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

IDLE = 100.0
REFRESH = 0.1
GRACE = 60.0

NEW = "a new id"
"""Stands for an id that only the storage knows."""


@dataclass
class Held:
    """Values and flashes, by key."""

    values: dict[str, Any] = field(default_factory=dict)
    flashes: dict[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.values or self.flashes)

    def put(self, key: str, value: Any) -> None:
        self.values[key] = deepcopy(value)

    def add(self, key: str) -> None:
        self.values[key] = self.values.get(key, 0) + 1

    def remove(self, key: str) -> None:
        self.values.pop(key, None)
        self.flashes.pop(key, None)

    def leave(self, key: str, value: int) -> None:
        self.flashes[key] = value

    def consume(self, key: str, value: int) -> None:
        if self.flashes.get(key) == value:
            del self.flashes[key]

    def empty_out(self) -> None:
        self.values.clear()
        self.flashes.clear()


Step = Callable[[Held], None]


@dataclass
class Kept:
    """What lies under an id; nothing is held if the id was regenerated."""

    held: Held | None
    expires: float

    def is_due(self, now: float) -> bool:
        """Tell whether the deadline is to be put off."""
        return now + IDLE - self.expires >= REFRESH * IDLE


class Request:
    """What one request found, did, and sees now."""

    def __init__(self, id: str | None, kept: Kept | None, now: float) -> None:
        found = kept.held if kept else None
        self.issued = None if found is None else id
        self.moved_before = kept is not None and found is None
        self.was_due = kept is not None and found is not None and kept.is_due(now)
        self.held = deepcopy(found) if found else Held()
        self.shown = dict(self.held.flashes)
        self.unread = set(self.shown)
        self.steps: list[Step] = []
        self.cleared = self.destroyed = self.moves = self.keeps_old = False

    @property
    def ends(self) -> bool:
        return self.destroyed or (self.cleared and self.held.empty)

    def get(self, key: str) -> Any:
        """Return what the key shows; a flash that is read goes with the save."""
        if key not in self.shown:
            return self.held.values.get(key)
        value = self.shown[key]
        if key in self.unread:
            self.unread.discard(key)
            self._do(lambda held: held.consume(key, value))
        return value

    def set(self, key: str, value: Any) -> None:
        if self.held.values.get(key) != value:
            self._do(lambda held: held.put(key, value))

    def push(self, key: str, value: int) -> None:
        self.set(key, [*self.held.values.get(key, []), value])

    def add(self, key: str) -> None:
        self._do(lambda held: held.add(key))

    def unset(self, key: str) -> None:
        if key in self.held.values or key in self.shown:
            self._do(lambda held: held.remove(key))
            self.shown.pop(key, None)

    def flash(self, key: str, value: int) -> None:
        self.unread.discard(key)
        self._do(lambda held: held.leave(key, value))

    def clear(self) -> None:
        if self.issued is not None or not self.held.empty:
            self._do(Held.empty_out)
            self.shown, self.cleared = {}, True

    def regenerate(self, *, keep_old: bool) -> None:
        self.moves = self.issued is not None or self.moved_before
        self.keeps_old = keep_old

    def destroy(self) -> None:
        self.destroyed, self.held, self.shown, self.steps = True, Held(), {}, []

    def replayed_on(self, held: Held) -> Held:
        """Return what *held* becomes by what this request did."""
        held = deepcopy(held)
        for step in self.steps:
            step(held)
        return held

    def _do(self, step: Step) -> None:
        step(self.held)
        self.steps.append(step)


class Model:
    """Everything that is stored, by id."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}

    def living(self, id: str | None, now: float) -> Kept | None:
        """Return what a request that comes now with this id finds."""
        kept = self.kept.get(id) if id is not None else None
        return kept if kept and now < kept.expires else None

    def open(self, id: str | None, now: float) -> Request:
        return Request(id, self.living(id, now), now)

    def save(self, request: Request, now: float) -> str | None:
        """Save, and return what the cookie is to carry: None: what it carries; "": nothing."""
        issued = request.issued
        if request.ends:
            if issued is not None:
                self.kept.pop(issued, None)
            return None if issued is None else ""
        if issued is None:
            wanted = request.moves or not request.moved_before
            return self._claim(request, Held(), now) if wanted else None
        kept = self.living(issued, now)
        if kept is None or not (request.steps or request.moves or request.was_due):
            return None
        if kept.held is None:
            return self._claim(request, Held(), now) if request.moves else None
        if request.moves:
            return self._move(request, issued, kept.held, now)
        renews = kept.is_due(now)
        expires = now + IDLE if renews else kept.expires
        self.kept[issued] = Kept(request.replayed_on(kept.held), expires)
        return issued if renews else None

    def _move(self, request: Request, issued: str, held: Held, now: float) -> str:
        self.kept[NEW] = Kept(request.replayed_on(held), now + IDLE)
        if not request.keeps_old:
            self.kept[issued] = Kept(None, now + GRACE)
        return NEW

    def _claim(self, request: Request, held: Held, now: float) -> str | None:
        """Keep, under an id of its own, what the request itself wrote."""
        written = request.replayed_on(held)
        if written.empty:
            return None
        self.kept[NEW] = Kept(written, now + IDLE)
        return NEW

    def name(self, id: str) -> None:
        """Note the id that the storage made."""
        self.kept[id] = self.kept.pop(NEW)
