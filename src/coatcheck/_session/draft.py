"""
The state of a session while a request works on it.

    origin    where it came from: New, Found, Carried, Given, Lapsed, Moved, Foreign, Lost, Unread
    fate      what becomes of it: it stays, stays and its cookie is sent again, ends, or Moves
    reach     what a change can still reach: the client, the record, nothing
    log       the changes, in order
    contents  what it holds now: the body that was read, or a copy once that changes
    live      lists, dicts and the like that were handed out, and may have been changed in place
    shown     the flashes that the last requests left, to be read in this one

`Session` is what handlers see. A draft holds no rule about saving: `lifecycle` decides.

         read ──▶ origin          stays ──▶ Moves ──▶ ends            client ──▶ record ──▶ nothing
                  (a save sets       (a save that is done              (the headers leave,
                   Found, Lost)       sets it back to stays)            the request ends)
"""

from typing import Any, Literal, NoReturn

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.changes import (
    Apply,
    Change,
    Clear,
    Consume,
    Set,
    SetDefault,
    ShownOnce,
    change_in_place,
)
from coatcheck._session.events import Happened
from coatcheck._session.moves import MoveInPlace, Moves, after, moved, outdoes
from coatcheck._session.record import (
    DEFAULT_TERMS,
    Contents,
    Marker,
    Record,
    Terms,
)
from coatcheck._session.values import Encoded, decode, encode
from coatcheck.errors import (
    BackendError,
    ConfigurationError,
    ResponseStarted,
    SessionDestroyed,
)


class New(Hidden, msgspec.Struct, frozen=True):
    """Nothing was stored: there is no cookie, or it leads nowhere."""


class Found(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    The session is stored.

    Args:
        record: As it was read, or as this request saved it.
        id: The id under which it is stored.
        version: Of the record; None: this request wrote it, and another may have written since.
        read_at: When it was read, or saved last.
        digest: Of the id, as in its key; "": it was not needed yet.
        handed: The client's cookie has an older id, from before a rotation.
    """

    record: Record
    id: str
    version: object
    read_at: float
    digest: str = ""
    handed: bool = False


class Carried(Found, frozen=True, gc=False):
    """
    The session came in the cookie itself.

    Args:
        value: The cookie's value; "": this request saved the session since.
    """

    value: str = ""


class Given(Hidden, msgspec.Struct, frozen=True, gc=False):
    """The session came from a storage of the application's own, which shows no record."""

    id: str


class Lapsed(Hidden, msgspec.Struct, frozen=True, gc=False):
    """A session is stored, but its deadline is over: the request has none."""

    id: str
    version: object


class Moved(Hidden, msgspec.Struct, frozen=True, gc=False):
    """The session has another id, which this request does not learn."""

    marker: Marker
    id: str
    read_at: float


class Foreign(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    The session came from another package, and is kept as one of ours once a handler looks at it.

    Args:
        body: The contents, as the package kept them.
        id: The id of ours that stands for the package's cookie: a marker is left under it.
        created: When the package made or signed it; None: it tells no time.
        lives_until: How long the package's cookie could lead to it.
        package: The name of its reader, for events.
    """

    body: Contents
    id: str
    created: float | None
    lives_until: float
    package: str = ""


class Lost(Hidden, msgspec.Struct, frozen=True, gc=False):
    """A save found that another request ended or moved the session: nothing more is kept."""

    why: str


class Unread(Hidden, msgspec.Struct, frozen=True):
    """The session could not be read: nothing of this request is kept."""

    error: BackendError


Origin = New | Found | Carried | Given | Lapsed | Moved | Foreign | Lost | Unread

Fate = Literal["stays", "renews", "ends"] | Moves
"""The fate of the session; "renews": it stays, and its cookie is sent again."""

Reach = Literal["client", "record", "nothing"]
"""The reach of a change: the client, by a cookie; the record, by its id; nothing."""

OnDevice = Literal["free", "offered", "proved", "unproved"]
"""
Whether the request proved the device to which its session is bound. "free": it is bound to none.
"offered": the request signs in, and its response offers to bind the session. "unproved": it was
under way while the session became bound, and may not change the id.
"""

NEW = New()

_FIXED = frozenset({type(None), bool, int, float, str, bytes})  # what cannot change in place


class Draft(Hidden, msgspec.Struct):
    """
    The state of one session in one request. Only this package reads or writes it.

    Args:
        id: The id that the client will hold; None: that of the origin, or one is made when needed.
        touched: The request changed something, or holds what it may change in place.
        events: What happened to the session, to be reported.
        rewritten: Keys to which the request gave the value that they had.
        unsent: What a save during the request has for the client's cookie; None: nothing. It leaves
            with the headers.
        device: Whether the request proved its device.
        began: When the request was read, if rosters are kept; `origin` may tell it, too.
        cleared: A user whose sessions this request ended, and when: it may sign in again.
        spared: The handle that `end_others` left alone.
        shared: It is the draft of all visitors without a session: see `Visitor`.
    """

    contents: Contents = msgspec.field(default_factory=Contents)
    terms: Terms = DEFAULT_TERMS
    origin: Origin = NEW
    fate: Fate = "stays"
    reach: Reach = "client"
    id: str | None = None
    shown: dict[str, Encoded] = {}
    live: dict[str, Any] = {}
    log: list[Change] = []
    touched: bool = False
    rewritten: frozenset[str] = frozenset()
    events: tuple[Happened, ...] = ()
    unsent: str | None = None
    device: OnDevice = "free"
    began: float = 0.0
    cleared: tuple[str, float] | None = None
    spared: str = ""
    shared: bool = False

    @property
    def held(self) -> Contents:
        """The values of the session, to be read only."""
        return self.contents

    @property
    def found(self) -> Found | None:
        """The stored session, or None."""
        origin = self.origin
        return origin if type(origin) is Found or type(origin) is Carried else None

    @property
    def issued(self) -> str | None:
        """The id that the client holds; None: it holds none that leads to this session."""
        origin = self.origin
        if type(origin) is Found or type(origin) is Carried or type(origin) is Given:
            return origin.id
        return None

    @property
    def changed(self) -> bool:
        """Whether the request did anything that is not saved yet."""
        return bool(self.log) or self.fate == "ends" or type(self.fate) is Moves

    def watches(self) -> bool:
        """Tell whether the handler holds what it may change in place."""
        return bool(self.live)

    @property
    def now(self) -> float:
        """The time by the storage's clock; without one, when the session was read."""
        if self.terms.clock:
            return self.terms.clock()
        return self.origin.read_at if isinstance(self.origin, Found) else 0.0

    def own(self) -> "Draft":
        """Return a draft that may be changed."""
        return self

    def write(self, change: Change) -> None:
        """
        Make one change, and remember it.

        Raises:
            SessionDestroyed, ResponseStarted: See `check`.
        """
        if self.reach == "nothing" or self.fate == "ends":
            self.check(change.name)
        origin, contents = self.origin, self.contents
        if (type(origin) is Found or type(origin) is Carried) and contents is origin.record.body:
            self.contents = contents.copy()
        change.replay(self.contents)
        self.log.append(change)
        self.touched = True

    def check(self, doing: str, *, reaches: Reach = "record") -> None:
        """
        Refuse a change that comes too late.

        Raises:
            SessionDestroyed: After destroy().
            ResponseStarted: The headers have left, and the change would be lost.
        """
        if self.fate == "ends":
            raise SessionDestroyed
        if self.reach == "nothing" or (self.reach != "client" and reaches == "client"):
            raise ResponseStarted(doing)

    def end(self) -> None:
        """
        Forget everything: the session is destroyed, if it is not yet.

        Raises:
            ResponseStarted: See `check`.
            BackendError: The session could not be read, and so it is not known to end.
        """
        if self.fate == "ends":
            return
        if type(self.origin) is Unread:
            raise self.origin.error
        self.check("destroy()")
        self.contents, self.fate, self.touched = Contents(), "ends", True
        self.device = "free"
        self.live, self.shown, self.log = {}, {}, []

    def clear(self) -> None:
        """Remove every key."""
        if self.issued is not None or not self.held.empty:
            self.write(Clear())
            self.live, self.shown = {}, {}

    def move(self, move: Moves) -> None:
        """
        Let the session have another id from the save on; a sign-in outdoes what came before.

        Raises:
            SessionDestroyed, ResponseStarted: See `check`.
        """
        self.check(move.name, reaches="client")
        if self.device == "unproved" and move.by != "sign_in":
            self._move_in_place(move)
            return
        if type(self.fate) is Moves:
            if outdoes(self.fate, move):
                return
            move = after(self.fate, move)
        self.note_changes_in_place()
        is_given = isinstance(self.origin, Given)  # no record is known: what it holds has the log
        before = self.contents if is_given else self.base
        goes = moved(move, before)
        self._log_rewritten(goes)
        stay = goes.flashes.keys() | (self.shown.keys() - before.flashes.keys())
        self.contents = goes if is_given else self.replayed(goes)
        self.live = {key: value for key, value in self.live.items() if key in goes.values}
        self.shown = {key: flash for key, flash in self.shown.items() if key in stay}
        self.id, self.fate, self.touched = None, move, True
        if move.by == "sign_in":
            self.device = "offered"

    def _move_in_place(self, move: Moves) -> None:
        """Do what a move does, but for the new id: a copy of the cookie must not get one."""
        self.note_changes_in_place()
        before = self.contents.flashes.keys()
        self.write(MoveInPlace(move))
        stays = self.contents
        gone = before - stays.flashes.keys()
        self.live = {key: value for key, value in self.live.items() if key in stays.values}
        self.shown = {key: flash for key, flash in self.shown.items() if key not in gone}

    def _log_rewritten(self, goes: Contents) -> None:
        """Let what this request wrote stay, also where it wrote what a former user had left."""
        held = self.contents.values
        for key in sorted(self.rewritten):
            if key in held and key not in goes.values:
                self.log.append(Set(key, held[key]))

    @property
    def base(self) -> Contents:
        """The values that were stored when the request read them."""
        if type(self.origin) is Foreign:
            return self.origin.body
        return self.origin.record.body if isinstance(self.origin, Found) else Contents()

    def replayed(self, contents: Contents) -> Contents:
        """Return *contents*, changed by the log."""
        for change in self.log:
            change.replay(contents)
        return contents

    def update(self, change: Apply) -> Any:
        """Give a key what a function makes of its value, and return that."""
        self.note_changes_in_place()
        self.write(change)
        self.live.pop(change.key, None)
        return self.value(change.key)

    def forget(self) -> None:
        """Let go of what was handed out: changes inside it are seen no more."""
        self.live = {}

    def data(self) -> Any:
        """
        Return the values as an object of the application's model, the same one each time.

        Raises:
            ConfigurationError: There is no model.
        """
        raise ConfigurationError("this session has no model: session(cookie, storage, data=Model)")

    def replace_data(self, _: Any, /) -> None:
        """Take another object of the model in its place."""
        self.data()

    def value(self, key: str) -> Any:
        """
        Return the object under *key*, the same one each time, so that a change inside it is seen.

        Raises:
            KeyError: There is none.
        """
        if key in self.live:
            return self.live[key]
        value = decode(self.contents.values[key])
        if type(value) not in _FIXED:
            self.live[key] = value
            self.touched = True
        return value

    def flashed(self, key: str) -> Any:
        """Return a flash of an earlier request; from the next request on it is gone."""
        flash = self.shown[key]
        if self.contents.flashes.get(key) is flash:  # an equal one that was left since is another
            self.write(Consume(key, flash))
        return decode(flash)

    def leave_flashes(self) -> None:
        """Keep the flashes that were read for another request: no page shows this response."""
        for change in self.log:
            if isinstance(change, ShownOnce):
                change.give_back(self.contents)
        self.log = [change for change in self.log if not isinstance(change, ShownOnce)]

    def put(self, key: str, value: object, encoded: Encoded) -> None:
        """Put a value under *key*; what it held already is no change."""
        if self.contents.values.get(key) != encoded or self.fate == "ends":
            self.write(Set(key, encoded))
        else:
            self.rewritten |= {key}
        if self.live or type(value) not in _FIXED:
            self._hold(key, value)

    def put_default(self, key: str, value: object, encoded: Encoded) -> None:
        """Put a value under *key*, which has none."""
        self.write(SetDefault(key, encoded))
        self._hold(key, value)

    def _hold(self, key: str, value: object) -> None:
        """Watch a value that the handler may go on changing."""
        if type(value) not in _FIXED:
            self.live[key] = value
            self.touched = True
        elif self.live:
            self.live.pop(key, None)

    def note_changes_in_place(self) -> None:
        """Write down what the handler changed inside the values that it was given or gave."""
        for key in self.live:
            encoded, before = encode(key, self.live[key]), self.contents.values.get(key)
            if before is None:
                self.write(Set(key, encoded))
            elif before != encoded:
                self.write(change_in_place(key, before, encoded))


class Visitor(Draft, kw_only=True):
    """
    The draft of every visitor without a session who only looks: one for all, never changed.

    Args:
        make: Makes a draft that may be changed.
    """

    make: Any = Draft

    shared: bool = True

    def own(self) -> Draft:
        draft: Draft = self.make(terms=self.terms, reach=self.reach, began=self.began)
        return draft


VISITOR = Visitor()


class Skipped:
    """
    The draft of a session that was not read, because the path has none: to ask for it is an error.

    Args:
        path: The prefix under which no session is read.
        terms: Of the middleware that skips it.
    """

    shared, touched, changed, unsent = False, False, False, None
    fate: Fate = "stays"
    reach: Reach = "nothing"

    def __init__(self, path: str, terms: Terms) -> None:
        self._path, self.terms = path, terms
        self.log: list[Change] = []

    def forget(self) -> None:
        """Do nothing: nothing was handed out."""

    def __getattr__(self, _: str) -> NoReturn:
        raise ConfigurationError(
            f"no session is read under {self._path!r}, as skip= of session() says: take the path "
            "out of it, or do not use the session there"
        )
