"""
Requests to sessions over a dict, carried out call by call, in an order that a test chooses.

    scene = Scene()
    id = scene.stored(cart=[1])
    slow, fast = scene.read(id), scene.read(id)
    saving = scene.begin(saving.save(slow, scene.space))    stands before its first call
    saving.step()                                              carries that out
    saving.finish()                                            carries out the rest
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from coatcheck._session import lifecycle, saving
from coatcheck._session.draft import Visitor
from coatcheck._session.ids import tag_of
from coatcheck._session.moves import ROTATES, Moves
from coatcheck._session.plan import (
    Answer,
    Beside,
    Call,
    Get,
    GetMany,
    Keyspace,
    Plan,
    Swap,
    WarnOfEviction,
)
from coatcheck._session.record import Kept, Marker, Record, Refused, Stored, Terms, Who, unpack
from coatcheck._session.session import Session, showing
from coatcheck.testing import Clock

T = TypeVar("T")

Change = Callable[[Session], object]


class Scene:
    """
    A backend in a dict, a clock that stands still, and the sessions of one middleware.

    Args:
        terms: Of the middleware: idle, lifetime, refresh, rotate, owner.
    """

    def __init__(self, *, prefix: str = "", copies: bool = False, **terms: Any) -> None:
        self.clock = Clock()
        self.space = Keyspace(self.clock, prefix, "the test", copies)
        self.terms = Terms(clock=self.clock, **terms)
        self.records: dict[str, Stored] = {}
        self.ttls: dict[str, float] = {}
        self.asked: list[Call] = []
        self._versions = 0

    # ---- the backend

    def ask(self, call: Call) -> Answer:
        """Carry out one call."""
        self.asked.append(call)
        if isinstance(call, Beside):
            call = call.call
        if isinstance(call, WarnOfEviction):
            return None
        if isinstance(call, GetMany):
            return {key: self.records[key] for key in call.keys if key in self.records}
        there = self.records.get(call.key)
        if isinstance(call, Get):
            return there
        if isinstance(call, Swap):
            if call.version != (there.version if there else None):
                return Refused(there)
            self.put(call.key, call.record, call.ttl)
        else:
            self.records.pop(call.key, None)
        return None

    def put(self, key: str, record: bytes, ttl: float = 0) -> None:
        """Put a record there, whatever is there."""
        self._versions += 1
        self.records[key], self.ttls[key] = Stored(record, self._versions), ttl

    def at(self, id: str) -> Kept | None:
        """Return what is kept under an id."""
        key = self.space.key(id)
        return unpack(self.records[key].record, tag_of(key)) if key in self.records else None

    def record(self, id: str) -> Record:
        """Return the session that is kept under an id."""
        kept = self.at(id)
        assert isinstance(kept, Record)
        return kept

    def marker(self, id: str) -> Marker:
        """Return the marker that is kept under an id."""
        kept = self.at(id)
        assert isinstance(kept, Marker)
        return kept

    def lose(self, id: str) -> None:
        """Let the server drop what is kept under an id."""
        del self.records[self.space.key(id)]

    # ---- requests

    def begin(self, plan: Plan[T]) -> "Running[T]":
        """Return a plan that stands before its first call."""
        return Running(self, plan)

    def run(self, plan: Plan[T]) -> T:
        """Carry out a plan to its end."""
        return self.begin(plan).finish()

    def new(self) -> Session:
        """Return the session of a request without a cookie."""
        return showing(Visitor(terms=self.terms))

    def read(self, id: str) -> Session:
        """Return the session of a request with a cookie."""
        found = self.run(lifecycle.read(id, self.space))
        return lifecycle.admit(found, self.terms, visitor=Visitor(terms=self.terms))

    def save(self, session: Session) -> str | None:
        """Save a session, and return what the cookie is to carry."""
        return self.run(saving.save(session, self.space))

    def saving(self, session: Session) -> "Running[str | None]":
        """Return the save of a session, before its first call."""
        return self.begin(saving.save(session, self.space))

    def change(self, id: str, *changes: Change) -> str | None:
        """Serve a whole request, and return what its cookie is to carry."""
        session = self.read(id)
        for change in changes:
            change(session)
        return self.save(session)

    def stored(self, *changes: Change, **values: object) -> str:
        """Return the id of a new session that holds *values*."""
        session = self.new()
        session.update(values)
        for change in changes:
            change(session)
        id = self.save(session)
        assert id
        return id


class Running(Generic[T]):
    """A plan on its way: `call` is what it asks next; None: it is done."""

    def __init__(self, scene: Scene, plan: Plan[T]) -> None:
        self._scene, self._plan = scene, plan
        self.result: T
        self._go_on(None)

    def step(self, times: int = 1) -> "Running[T]":
        """Carry out the next call, or so many."""
        for _ in range(times):
            assert self.call
            self._go_on(self._scene.ask(self.call))
        return self

    def finish(self) -> T:
        """Carry out what is left, and return the result."""
        while self.call:
            self.step()
        return self.result

    def _go_on(self, answer: Answer) -> None:
        self.call: Call | None = None
        try:
            self.call = self._plan.send(answer)
        except StopIteration as done:
            self.result = done.value


# ---- changes that a request may make


def sets(**values: object) -> Change:
    return lambda session: session.update(values)


def removes(key: str) -> Change:
    return lambda session: session.unset(key)


def signs_in(user: str, **options: Any) -> Change:
    return lambda session: session.sign_in(user, **options)


def rotates(session: Session) -> None:
    session._own.move(ROTATES)


def leaves(session: Session) -> None:
    """Take the user away, as an application does that keeps the user under a key of its own."""
    session._own.move(Moves("leave", Who(former="ada")))


def acts_as(user: str) -> Change:
    return lambda session: session.act_as(user)


regenerates = Session.regenerate_id
confirms = Session.confirm
stops_acting = Session.stop_acting
destroys = Session.destroy
clears = Session.clear
