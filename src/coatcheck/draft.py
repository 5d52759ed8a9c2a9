"""
A session while a request works on it: what was stored, what the request did, what it wants.

`Session` is the face that handlers see; the draft behind it is what storages and the middleware
read. A draft holds no rule about saving: `lifecycle` decides.

    contents   what the session holds now: what was read, with every change replayed on it
    live       values that were handed out as objects, and may since have been changed in place
    shown      the flashes that the last requests left, to be read in this one
    log        the changes, in order
"""

from typing import Any, Literal

from coatcheck.changes import Change, Consume, Set
from coatcheck.errors import ResponseStarted, SessionDestroyed
from coatcheck.record import Contents, Record, Terms
from coatcheck.values import Encoded, decode, encode

Reach = Literal["client", "record", "nothing"]
"""What a change can still reach: the client, by a cookie; the record, under the id it has; nothing."""

_DEFAULT = Terms()

_FIXED = frozenset({type(None), bool, int, float, str, bytes})  # what cannot change in place


class Draft:
    """The state of one session in one request. Only this package reads or writes it."""

    __slots__ = (
        "accessed", "base", "cleared", "contents", "destroyed", "id", "issued", "keeps_old", "live",
        "log", "moves", "over", "reach", "read_at", "shown", "terms", "version",
    )  # fmt: skip

    def __init__(
        self,
        contents: Contents,
        *,
        issued: str | None = None,
        base: Record | None = None,
        version: object = None,
        read_at: float = 0.0,
    ) -> None:
        self.contents = contents
        self.base, self.version = base, version
        self.issued = issued  # the id the client holds; None: no session was stored yet
        self.id = (
            issued  # the id it will hold; None: one is made when somebody asks, or at the save
        )
        self.read_at = read_at
        self.live: dict[str, Any] = {}
        self.shown = dict(contents.flashes)
        self.log: list[Change] = []
        self.terms = _DEFAULT
        self.reach: Reach = "client"
        self.accessed = self.cleared = self.destroyed = self.moves = self.keeps_old = False
        self.over = False  # the session ended or moved away meanwhile: nothing more can be kept

    def write(self, change: Change) -> None:
        """
        Make one change, and remember it.

        Raises:
            SessionDestroyed, ResponseStarted: See `check`.
        """
        self.check(change.name)
        change.replay(self.contents)
        self.log.append(change)

    def check(self, doing: str, *, reaches: Reach = "record") -> None:
        """
        Refuse a change that comes too late.

        Raises:
            SessionDestroyed: After destroy().
            ResponseStarted: The headers have left, and the change would be lost.
        """
        if self.destroyed:
            raise SessionDestroyed
        if self.reach != "client" and (self.reach == "nothing" or reaches == "client"):
            raise ResponseStarted(doing)

    def value(self, key: str) -> Any:
        """
        Return the object under *key*, the same one each time, so that a change inside it is seen.

        Raises:
            KeyError: There is none.
        """
        if key in self.live:
            return self.live[key]
        value = self.live[key] = decode(self.contents.values[key])
        return value

    def flashed(self, key: str) -> Any:
        """Return a flash of an earlier request; from the next request on it is gone."""
        flash = self.shown[key]
        if self.contents.flashes.get(key) == flash:
            self.write(Consume(key, flash))
        return decode(flash)

    def put(self, key: str, value: object, encoded: Encoded) -> None:
        """Put a value under *key*; what it held already is no change."""
        if self.destroyed or self.contents.values.get(key) != encoded:
            self.write(Set(key, encoded))
        self.live[key] = value

    def note_changes_in_place(self) -> None:
        """Write down what the handler changed inside the values that it was given or gave."""
        for key, value in self.live.items():
            if type(value) not in _FIXED:
                encoded = encode(key, value)
                if self.contents.values.get(key) != encoded:
                    self.write(Set(key, encoded))
