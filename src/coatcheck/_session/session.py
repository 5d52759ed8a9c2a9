"""
What a handler reads and changes during one request.

    session["cart"].append(7)          a change inside a value is seen and saved
    session.flash("notice", "Saved.")  to be read once, by a later request
    session.regenerate_id()            after every change of who somebody is
    session.destroy()                  sign out

It works like a dict. Iteration, `len` and `bool` see the values; a flash is found by `get`, `[]`
and `in` alone. Under the key of a value, it is the flash that is read: give it a key of its own.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload

from coatcheck._model.schema import Data
from coatcheck._session.changes import Flash, Unset, Update
from coatcheck._session.draft import Blank, Draft
from coatcheck._session.ids import new_id
from coatcheck._session.record import Contents
from coatcheck._session.values import encode

Value = Any
"""What MessagePack holds: None, bool, int, float, str, bytes, aware datetime, list, dict of str."""

Default = TypeVar("Default")

_NOTHING = Contents()

_new = object.__new__


class Session(MutableMapping[str, Value], Generic[Data]):
    """
    One visitor's data, as one request sees it.

    Storages make sessions. One of your own makes them from plain data.

    Args:
        data: What was stored; None for a new session.
        id: The id under which it was stored; None for a new session.

    Raises:
        UnstorableValue: *data* holds what no session can.
    """

    __slots__ = ("accessed", "blank", "made")

    accessed: bool  # whether the response depends on it
    blank: Blank | None  # makes the draft; None once it is made
    made: Draft  # that draft, where blank is None

    def __init__(self, data: Mapping[str, Value] | None = None, *, id: str | None = None) -> None:
        self.blank, self.accessed = Draft, False
        if data or id is not None:
            values = {key: encode(key, value) for key, value in (data or {}).items()}
            self.blank, self.made = None, Draft(Contents(values=values), issued=id, id=id)

    @property
    def draft(self) -> Draft:
        """What storages and the middleware read; made when first asked for."""
        if self.blank is not None:  # a visitor who only looks needs none
            self.made, self.blank = self.blank(), None
        return self.made

    @classmethod
    def of(cls, draft: Draft) -> "Session":
        """Return the session that shows *draft*: for storages."""
        session = _new(cls)
        session.blank, session.accessed, session.made = None, False, draft
        return session

    @classmethod
    def nobodys(cls, blank: Blank) -> "Session":
        """Return a session that holds nothing, and has no draft until somebody writes."""
        session = _new(cls)
        session.blank, session.accessed = blank, False
        return session

    @overload
    def get(self, key: str) -> Value: ...
    @overload
    def get(self, key: str, default: Default) -> Value | Default: ...
    def get(self, key: str, default: Default | None = None) -> Value | Default | None:
        """Return the flash or else the value under *key*; a flash is gone with this request."""
        self.accessed = True
        if self.blank is not None:
            return default
        draft = self.made
        try:
            return draft.flashed(key) if key in draft.shown else draft.value(key)
        except KeyError:
            return default

    def set(self, key: str, value: Value) -> None:
        """
        Keep *value* under *key*.

        Raises:
            UnstorableValue: It would not come back as it is.
            SessionDestroyed: After destroy().
            ResponseStarted: The headers have left, and nothing can carry the change any more.
        """
        self._used.put(key, value, encode(key, value))

    def unset(self, key: str) -> None:
        """Take *key* away, flash or value; it need not be there."""
        if key in self or self.draft.destroyed:
            del self[key]

    def has(self, key: str) -> bool:
        """Tell whether *key* is there; a flash stays unread."""
        return key in self

    def flash(self, key: str, value: Value) -> None:
        """Leave *value* for the next request that reads *key*; this one does not see it."""
        self._used.write(Flash(key, encode(key, value)))

    def apply(self, key: str, function: Callable[[Any], Value], default: Value = None) -> Value:
        """
        Give *key* what *function* makes of its value, as one atomic step, and return that.

        If another request saves first, *function* runs again on what that one left. So it should
        depend on its argument alone, the value or *default*; it may change that and return it.
        """
        return self._used.update(Update(key, function, encode(key, default)))

    def clear(self) -> None:
        """Take everything away. A session left empty so is removed, as by destroy()."""
        self._used.clear()

    def regenerate_id(self, *, keep_old: bool = False) -> None:
        """
        Give the session a new id when this request is saved; the data and the age stay.

        Do it when somebody signs in, or gains or loses a right: an id that leaked is worth nothing.

        Args:
            keep_old: Let the old id go on leading to the session as it was.

        Raises:
            SessionDestroyed: After destroy().
            ResponseStarted: The new id could not reach the client any more.
        """
        self._used.move(keep_old=keep_old)

    def destroy(self) -> None:
        """
        End the session: its record goes, and its cookie.

        Raises:
            ResponseStarted: The headers have left, and the session lives in the cookie alone.
            BackendError: The session could not be read, and so cannot be ended.
        """
        self._used.end()

    @property
    def data(self) -> Data:
        """What the session holds, through the model that `session(data=...)` was given."""
        data: Data = self._used.data()
        return data

    @data.setter
    def data(self, data: Data) -> None:
        self._used.replace_data(data)

    @property
    def id(self) -> str:
        """The id that the client holds from this response on: a credential, so never log it."""
        draft = self._used
        draft.id = draft.id or new_id()
        return draft.id

    @property
    def issued_id(self) -> str | None:
        """The id under which the session was read; None if it is new. `id` is the one to come."""
        return self._used.issued

    @property
    def is_new(self) -> bool:
        """Whether nothing was stored before this request."""
        return self._used.issued is None

    @property
    def modified(self) -> bool:
        """Whether this request changed anything that is not saved yet."""
        self._used.note_changes_in_place()
        return self.draft.changed

    @property
    def destroyed(self) -> bool:
        """Whether destroy() was called in this request."""
        return self._used.destroyed

    @property
    def created_at(self) -> datetime | None:
        """When the session was first saved, in UTC; None before that."""
        base = self._used.base
        return datetime.fromtimestamp(base.created, UTC) if base else None

    @property
    def expires_at(self) -> datetime | None:
        """When the session dies if nobody uses it, in UTC; None before it is first saved."""
        base = self._used.base
        return datetime.fromtimestamp(base.expires, UTC) if base else None

    @property
    def _used(self) -> Draft:
        """The draft, noting that the response depends on the session."""
        self.accessed = True
        return self.draft

    @property
    def _contents(self) -> Contents:
        """What the session holds, to be read only; nobody's needs no draft for that."""
        self.accessed = True
        return _NOTHING if self.blank is not None else self.made.held

    def __getitem__(self, key: str) -> Value:
        draft = self._used
        return draft.flashed(key) if key in draft.shown else draft.value(key)

    def __setitem__(self, key: str, value: Value) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        draft = self.draft
        if key not in self and not draft.destroyed:
            raise KeyError(key)
        draft.write(Unset(key))
        draft.shown = {name: flash for name, flash in draft.shown.items() if name != key}
        draft.live.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._contents.values or (self.blank is None and key in self.made.shown)

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents.values)

    def __len__(self) -> int:
        return len(self._contents.values)

    def __repr__(self) -> str:
        """Say what kind of session it is, and nothing of what it holds."""
        draft = self._used
        state = "destroyed" if draft.destroyed else "stored" if draft.issued else "new"
        return f"<Session {state}>"
