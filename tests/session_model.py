"""
What sessions must hold, said once more and simply: dicts, and steps replayed on the newest state.

It shares no code with the package. A save is one step here, so every race has one right outcome.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

IDLE = 100.0
REFRESH = 0.1
GRACE = 900.0
HUSH = 60.0

NEW = "a new id"
"""Stands for an id that only the storage knows."""

REGENERATE = "regenerate_id()"
"""Stands for a change of the id that is no sign-in; a sign-in is named by its user."""


@dataclass
class Held:
    """Values and flashes, by key, and who is signed in."""

    values: dict[str, Any] = field(default_factory=dict)
    flashes: dict[str, int] = field(default_factory=dict)
    user: str | None = None

    @property
    def empty(self) -> bool:
        return not (self.values or self.flashes or self.user)

    def put(self, key: str, value: Any) -> None:
        self.values[key] = deepcopy(value)

    def put_default(self, key: str) -> None:
        self.values.setdefault(key, [])

    def append(self, key: str, before: list[int], value: int) -> None:
        """Append to a list that is there; an equal entry that another request added counts."""
        there = self.values.get(key)
        if there is not None and not (Counter(there) - Counter(before))[value]:
            there.append(value)

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

    def moved(self, move: str | None) -> "Held":
        """Return what goes along to a new id: what another user left does not."""
        if move in (None, REGENERATE):
            return deepcopy(self)
        if self.user in (None, move):
            return Held(deepcopy(self.values), dict(self.flashes), move)
        return Held(user=move)


Step = Callable[[Held], None]


@dataclass
class Session:
    """A session at rest."""

    held: Held
    expires: float
    until: float
    """When the storage forgets it."""

    def is_due(self, now: float) -> bool:
        """Tell whether the deadline is to be put off."""
        return now + IDLE - self.expires >= REFRESH * IDLE


@dataclass
class Tombstone:
    """A session was ended."""

    until: float


@dataclass
class Marker:
    """
    A session has another id.

    Args:
        made: When it got that.
        leads: Where a sign-out goes on.
        joins: Who finds the session there, by signing in again.
        opens: Where that is.
        visitor: Nobody was signed in, and nobody is.
    """

    made: float
    until: float
    leads: str | None = None
    joins: str | None = None
    opens: str | None = None
    visitor: bool = False


Kept = Session | Tombstone | Marker


class Request:
    """What one request found, did, and sees now."""

    def __init__(self, id: str | None, kept: Kept | None, now: float) -> None:
        self.id, self.read_at = id, now
        self.found = deepcopy(kept) if isinstance(kept, Session) and now < kept.expires else None
        self.expired = isinstance(kept, Session) and self.found is None
        self.marker = kept if isinstance(kept, Marker) else None
        self.was_due = self.found is not None and self.found.is_due(now)
        self.base = self.found.held if self.found else Held()
        self.held = deepcopy(self.base)
        self.shown = dict(self.held.flashes)
        self.unread = set(self.shown)
        self.steps: list[Step] = []
        self.destroyed = self.wrote = False
        self.move: str | None = None

    @property
    def issued(self) -> str | None:
        return self.id if self.found else None

    def empties(self, held: Held) -> bool:
        """Tell whether the request took the last thing out of what is *held*."""
        return held.empty and self.wrote

    def get(self, key: str) -> Any:
        """Return what the key shows; a flash that is read goes with the save."""
        if key not in self.shown:
            return self.held.values.get(key)
        value = self.shown[key]
        if key in self.unread:
            self.unread.discard(key)
            self._do(lambda held: held.consume(key, value), writes=False)
        return value

    def set(self, key: str, value: Any) -> None:
        if self.held.values.get(key) != value:
            self._do(lambda held: held.put(key, value))

    def push(self, key: str, value: int) -> None:
        if key not in self.held.values:
            self._do(lambda held: held.put_default(key))
        before = list(self.held.values[key])
        self._do(lambda held: held.append(key, before, value))

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
            self.shown = {}

    def regenerate(self) -> None:
        self.move = self.move or REGENERATE

    def sign_in(self, user: str) -> None:
        self.move = user
        moved = self.base.moved(user)
        self.shown = {key: flash for key, flash in self.shown.items() if key in moved.flashes}
        self.held = self.replayed_on(moved)

    def destroy(self) -> None:
        self.destroyed, self.held, self.shown, self.steps = True, Held(), {}, []

    def replayed_on(self, held: Held) -> Held:
        """Return what *held* becomes by what this request did."""
        held = deepcopy(held)
        for step in self.steps:
            step(held)
        return held

    def only_written(self) -> Held:
        """Return what the request wrote under keys that it had not read."""
        written = self.replayed_on(Held().moved(self.move))
        for key in {*self.base.values, *self.base.flashes}:
            written.remove(key)
        return written

    def _do(self, step: Step, *, writes: bool = True) -> None:
        step(self.held)
        self.steps.append(step)
        self.wrote = self.wrote or writes


class Model:
    """Everything that is stored, by id."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}

    def there(self, id: str | None, now: float) -> Kept | None:
        """Return what is stored under an id, living or not."""
        kept = self.kept.get(id) if id is not None else None
        return kept if kept and now < kept.until else None

    def living(self, id: str | None, now: float) -> Session | None:
        """Return the session that a request finds which comes now with this id."""
        kept = self.there(id, now)
        return kept if isinstance(kept, Session) and now < kept.expires else None

    def open(self, id: str | None, now: float) -> Request:
        return Request(id, self.there(id, now), now)

    def save(self, request: Request, now: float) -> str | None:
        """Save, and return what the cookie is to carry: None: what it carries; "": nothing."""
        if request.destroyed:
            return self._end(request, now)
        if request.found is None:
            return self._save_new(request, now)
        if not (request.steps or request.move or request.was_due):
            return None
        kept = self.there(request.id, now)
        if not isinstance(kept, Session):
            ends = request.empties(request.held)
            return None if ends or not request.move else self._lost(request, kept, now)
        held = request.replayed_on(kept.held)
        if request.empties(held) and (request.move is None or request.empties(request.held)):
            self.kept[request.id or ""] = Tombstone(now + GRACE)
            return ""
        if request.move:
            return self._move(request, kept.held, now)
        return self._write(request.id or "", kept, held, now)

    def _write(self, id: str, kept: Session, held: Held, now: float) -> str | None:
        renews = kept.is_due(now)
        self._keep(id, held, now + IDLE if renews else kept.expires, now)
        return id if renews else None

    def _keep(self, id: str, held: Held, expires: float, now: float) -> str:
        self.kept[id] = Session(held, expires, max(expires, now) + GRACE)
        return id

    def _save_new(self, request: Request, now: float) -> str | None:
        """Save a request that found no session under its id."""
        marker = request.marker
        if marker is None:
            return self._claim(request, request.held, now)
        signs_in = request.move not in (None, REGENERATE)
        if signs_in or (request.move == REGENERATE and marker.visitor):
            return self._lost(request, marker, now)
        if request.read_at < marker.made + HUSH:
            return None
        return self._claim(request, request.held, now)

    def _move(self, request: Request, held: Held, now: float) -> str:
        """Give the session another id, and leave a marker."""
        after = request.replayed_on(held.moved(request.move))
        marker = Marker(now, now + GRACE)
        if held.user == after.user:
            marker.leads = NEW
        if request.move != REGENERATE:
            marker.joins, marker.opens = request.move, NEW
        elif held.user is None:
            marker.visitor = True
        self.kept[request.id or ""] = marker
        return self._keep(NEW, after, now + IDLE, now)

    def _lost(self, request: Request, there: Kept | None, now: float) -> str | None:
        """Decide for a change of the id that came too late: join, begin anew, or drop it."""
        marker = there if isinstance(there, Marker) else None
        if request.move == REGENERATE:
            if marker and marker.visitor:
                return self._claim(request, request.only_written(), now)
            return None
        if marker and marker.joins == request.move:
            joined = self.there(marker.opens, now)
            if isinstance(joined, Session) and request.read_at < joined.expires:
                held = request.replayed_on(joined.held)
                return self._keep(marker.opens or "", held, now + IDLE, now)
        return self._claim(request, request.only_written(), now)

    def _claim(self, request: Request, held: Held, now: float) -> str | None:
        """Keep what is *held* under an id of its own."""
        if held.empty:
            return None
        if request.expired and request.move and isinstance(self.there(request.id, now), Session):
            self.kept[request.id or ""] = Marker(now, now + GRACE)
        return self._keep(NEW, deepcopy(held), now + IDLE, now)

    def _end(self, request: Request, now: float) -> str | None:
        """End the session, wherever markers lead; one that expired, too: it could be renewed."""
        if not (request.found or request.marker or request.expired):
            return None
        id = request.id or ""
        there = request.marker or self.there(id, now)
        while isinstance(there, Marker):
            if there.leads is None:
                return None
            id = there.leads
            there = self.there(id, now)
        if isinstance(there, Session):
            self.kept[id] = Tombstone(now + GRACE)
        return ""

    def name(self, id: str) -> None:
        """Note the id that the storage made."""
        self.kept[id] = self.kept.pop(NEW)
        for kept in self.kept.values():
            if isinstance(kept, Marker):
                kept.leads = id if kept.leads == NEW else kept.leads
                kept.opens = id if kept.opens == NEW else kept.opens
