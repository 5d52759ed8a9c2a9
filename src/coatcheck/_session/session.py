"""
The session of one request: read and changed by a handler.

    session["cart"].append(7)          a change inside a value is seen and saved
    session.flash("notice", "Saved.")  to be read once, by a later request
    session.sign_in(user)              a new id, and the user in `session.signed_in`
    session.destroy()                  sign out

It works like a dict. Iteration, `len` and `bool` see the values; a flash is found by `get`, `[]`
and `in` alone. Under the key of a value, it is the flash that is read: give it a key of its own.

In a template, `session.name` is the value under "name": see `python_only`.

An error of a change shows no value: see `tracebacks`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn, SupportsIndex, overload

from coatcheck._cookie.tracebacks import forget_frames, hides_arguments, hides_credentials
from coatcheck._session.changes import Apply, Flash, Unset, UnsetValue
from coatcheck._session.draft import VISITOR, Draft, Given, Skipped
from coatcheck._session.ids import new_csrf, new_id
from coatcheck._session.moves import Moves
from coatcheck._session.python_only import python_only
from coatcheck._session.record import Contents, Who
from coatcheck._session.sign_in import (
    SignIn,
    User,
    acting,
    confirming,
    shown,
    signing_in,
    stopping,
)
from coatcheck._session.user_key import enter, follow, with_former
from coatcheck._session.values import encode
from coatcheck.errors import ConfigurationError, SessionError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Data = TypeVar("Data", default=Any)
else:
    from typing import TypeVar

    Data = TypeVar("Data")

Value = Any
"""A value of MessagePack: None, bool, int, float, str, bytes, aware datetime, list, dict of str."""

Default = TypeVar("Default")

_new = object.__new__


@python_only
class Session(MutableMapping[str, Value], Generic[Data]):
    """
    One visitor's data, as one request sees it.

    Storages make sessions. A storage of your own makes them from plain data.

    Args:
        data: What was stored; None for a new session.
        id: The id under which it was stored; None for a new session.

    Raises:
        UnstorableValue: *data* holds what no session can.
    """

    __slots__ = ("_accessed", "_draft")

    _accessed: bool  # whether the response depends on it
    _draft: Draft  # what storages and the middleware read; one for all visitors who only look

    def __init__(self, data: Mapping[str, Value] | None = None, *, id: str | None = None) -> None:
        self._accessed, self._draft = False, VISITOR
        if data or id is not None:
            values = {key: encode(key, value) for key, value in (data or {}).items()}
            self._draft = Draft(Contents(values))
            if id is not None:
                self._draft.origin = Given(id)

    @overload
    def get(self, key: str) -> Value: ...
    @overload
    def get(self, key: str, default: Default) -> Value | Default: ...
    def get(self, key: str, default: Default | None = None) -> Value | Default | None:
        """Return the flash or else the value under *key*; a flash is gone with this request."""
        self._accessed = True
        draft = self._draft
        if draft.shared:
            return default
        try:
            return draft.flashed(key) if key in draft.shown else draft.value(key)
        except KeyError:
            return default

    @hides_arguments
    def set(self, key: str, value: Value) -> None:
        """
        Keep *value* under *key*.

        Raises:
            UnstorableValue: It would not come back as it is.
            SessionDestroyed: After destroy().
            ResponseStarted: The headers have left, and nothing can carry the change any more.
        """
        self[key] = value

    def unset(self, key: str) -> None:
        """Remove *key*, flash or value; it need not be there."""
        if key in self or self._draft.fate == "ends":
            del self[key]

    def has(self, key: str) -> bool:
        """Tell whether *key* is there; a flash stays unread."""
        return key in self

    @hides_arguments
    def setdefault(self, key: str, default: Value = None) -> Value:
        """
        Return the value under *key*; if there is none, keep *default* there and return that.

        Two requests that do so at once agree: what both then append to the list is kept.
        """
        if key in self:
            return self[key]
        self._own.put_default(key, default, encode(key, default))
        return default

    @hides_arguments
    def flash(self, key: str, value: Value) -> None:
        """Leave *value* for the next request that reads *key*; this one does not see it."""
        self._own.write(Flash(key, encode(key, value)))

    @hides_arguments
    def apply(self, key: str, function: Callable[[Any], Value], default: Value = None) -> Value:
        """
        Give *key* what *function* makes of its value, as one atomic step, and return that.

        If another request saves first, *function* runs again on what that one left. So it should
        depend on its argument alone, the value or *default*; it may change that and return it.
        """
        return self._own.update(Apply(key, function, encode(key, default)))

    def clear(self) -> None:
        """
        Remove every key. A session that is left empty is removed, as by destroy().

        A user whom `sign_in` signed in stays signed in, and the session stays: see `sign_out`.
        """
        self._own.clear()

    def popitem(self) -> tuple[str, Value]:
        """
        Remove the value that came last, and return its key with it.

        A flash under the same key stays.

        Raises:
            KeyError: The session holds no values.
        """
        key = next(reversed(self._contents.values), None)
        if key is None:
            raise KeyError("the session is empty")
        draft = self._own
        value = draft.value(key)
        draft.write(UnsetValue(key))
        draft.live.pop(key, None)
        return key, value

    def copy(self) -> dict[str, Value]:
        """Return the values as a dict; so do `copy.copy` and `copy.deepcopy` of a session."""
        return dict(self)

    def regenerate_id(self) -> None:
        """
        Give the session a new id when this request is saved; the data and the age stay.

        Do it when a visitor gains or loses a right: an id that leaked is worth nothing then.

        Raises:
            SessionDestroyed: After destroy().
            ResponseStarted: The new id could not reach the client any more.
        """
        self._own.move(Moves("regenerate", csrf=new_csrf()))

    @hides_credentials
    def sign_in(
        self,
        user: User,
        *,
        remember: bool | float | timedelta | None = None,
        pin: str | None = None,
        label: str | None = None,
        keep: bool | Iterable[str] = True,
    ) -> None:
        """
        Note that *user* signed in: the session gets a new id and a new handle.

        The values of an anonymous visitor stay. Those of another user are removed, but not what
        this request wrote.

        Args:
            user: The application's text for a person or account; an int or UUID is kept as text.
            remember: True or a duration in seconds: the cookie outlives the browser by its own
                Max-Age (else 30 days), or by the duration. False: it ends with the browser. None:
                as the cookie is set up.
            pin: A text that ends this sign-in when it changes, such as the user's password hash.
            label: What to call the device, such as "Firefox on Windows".
            keep: Keys of another user's session that stay; False: nothing stays, of any session.

        Raises:
            TypeError, ValueError: *user* is no text, int or UUID, or is empty; *pin*, *label* or
                *keep* are of another kind; no record can hold a text of these.
            SessionDestroyed: After destroy().
            ResponseStarted: The new id could not reach the client any more.
        """
        draft = self._own
        move = signing_in(
            user, draft.terms, draft.now, remember=remember, pin=pin, label=label, keep=keep
        )
        if keep is False:
            draft.clear()
        if draft.terms.user_key is not None:
            move = with_former(move, draft, draft.terms.user_key)
        draft.move(move)

    def sign_out(self) -> None:
        """End the session: the same as `destroy`."""
        self.destroy()

    @property
    def signed_in(self) -> SignIn | None:
        """The signed-in user, and how they signed in; None: no user is signed in."""
        return shown(self._settled)

    @property
    def is_bound(self) -> bool:
        """Whether the session is bound to a device, and this request proved that device."""
        return self._seen.device == "proved"

    @hides_credentials
    def confirm(self, *, pin: str | None = None) -> None:
        """
        Note that the signed-in user proved their identity again: a new id, the same data.

        Args:
            pin: A new pin, if the password changed; None: the pin stays.

        Raises:
            ConfigurationError: No user is signed in, or another user acts as this one.
            SessionDestroyed, ResponseStarted: See `regenerate_id`.
        """
        draft, who = self._own, self._who("confirm()")
        if who.actor:
            raise ConfigurationError("confirm() would mean the actor's password: stop acting first")
        draft.move(confirming(who, draft.terms, draft.now, pin))

    @hides_credentials
    def act_as(self, user: User, *, seconds: float | timedelta = 3600) -> None:
        """
        Let the signed-in user see what another user sees, for a while.

        `signed_in.user` is that user then, and `signed_in.actor` who acts. The session gets a new
        id, and what the former user left is removed.

        Args:
            seconds: How long; then the session is the actor's again, and empty.

        Raises:
            ConfigurationError: No user is signed in.
            SessionDestroyed, ResponseStarted: See `regenerate_id`.
        """
        draft, who = self._own, self._who("act_as()")
        draft.move(acting(who, user, draft.now, seconds))

    def stop_acting(self) -> None:
        """
        Let the session be the actor's again; what was left while acting is removed.

        Raises:
            ConfigurationError: No user acts as another one.
            SessionDestroyed, ResponseStarted: See `regenerate_id`.
        """
        draft, who = self._own, self._who("stop_acting()")
        if who.actor is None:
            raise ConfigurationError("stop_acting() needs a user who acts: call act_as() before")
        draft.move(stopping(who))

    def _who(self, doing: str) -> Who:
        who = self._settled.contents.who
        if who is None or who.user is None:
            raise ConfigurationError(f"{doing} needs a signed-in user: call sign_in() before")
        return who

    def destroy(self) -> None:
        """
        End the session: its record goes, and its cookie.

        Raises:
            ResponseStarted: The headers have left, and the session lives in the cookie alone.
            BackendError: The session could not be read, and so cannot be ended.
        """
        self._own.end()

    @property
    def data(self) -> Data:
        """The values of the session, through the model that `session(data=...)` was given."""
        data: Data = self._own.data()
        return data

    @data.setter
    def data(self, data: Data) -> None:
        try:
            self._own.replace_data(data)
        except SessionError as error:  # as `hides_arguments` does, which a property cannot wear
            del data
            forget_frames(error)
            raise

    @property
    def id(self) -> str:
        """The id that the client holds from this response on: a credential, so never log it."""
        draft = self._own
        self._settled  # noqa: B018 - another user has another id
        if draft.id is None:
            moves = isinstance(draft.fate, Moves)
            draft.id = (None if moves else draft.issued) or new_id()
        return draft.id

    @property
    def issued_id(self) -> str | None:
        """The id under which the session was read; None if it is new. `id` is the one to come."""
        return self._seen.issued

    @property
    def is_new(self) -> bool:
        """Whether nothing was stored before this request."""
        return self._seen.issued is None

    @property
    def modified(self) -> bool:
        """Whether this request changed anything that is not saved yet."""
        draft = self._seen
        draft.note_changes_in_place()
        return draft.changed

    @property
    def destroyed(self) -> bool:
        """Whether destroy() was called in this request."""
        return self._seen.fate == "ends"

    @property
    def created_at(self) -> datetime | None:
        """When the session was first saved, in UTC; None before that."""
        found = self._seen.found
        return datetime.fromtimestamp(found.record.created, UTC) if found else None

    @property
    def expires_at(self) -> datetime | None:
        """When the session expires if it is not used, in UTC; None before it is first saved."""
        found = self._seen.found
        return datetime.fromtimestamp(found.record.expires, UTC) if found else None

    @property
    def _seen(self) -> Draft:
        """The draft, to be read only, noting that the response depends on the session."""
        self._accessed = True
        return self._draft

    @property
    def _settled(self) -> Draft:
        """The draft, to be read only, after the sign-in that the value under `user_key` means."""
        draft = self._seen
        if draft.terms.user_key is not None:
            follow(draft, draft.terms.user_key)
            enter(draft, draft.terms.user_key)
        return draft

    @property
    def _own(self) -> Draft:
        """A draft of this session alone, to be changed."""
        self._accessed = True
        draft = self._draft
        if draft.shared:
            draft = self._draft = draft.own()
        return draft

    @property
    def _contents(self) -> Contents:
        """The values of the session, to be read only."""
        self._accessed = True
        return self._draft.held

    def __getitem__(self, key: str) -> Value:
        draft = self._seen
        return draft.flashed(key) if key in draft.shown else draft.value(key)

    def __setitem__(self, key: str, value: Value) -> None:
        self._accessed = True  # as `_own` does, without a further call
        draft = self._draft
        if draft.shared:
            draft = self._own
        try:
            draft.put(key, value, encode(key, value))
        except SessionError as error:  # as `hides_arguments` does, without a further call
            value = None
            forget_frames(error)
            raise

    def __delitem__(self, key: str) -> None:
        if key not in self and self._draft.fate != "ends":
            raise KeyError(key)
        draft = self._own
        draft.write(Unset(key))
        draft.shown = {name: flash for name, flash in draft.shown.items() if name != key}
        draft.live.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._contents.values or key in self._draft.shown

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents.values)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._contents.values)

    def __len__(self) -> int:
        return len(self._contents.values)

    def __or__(self, other: Mapping[str, Value]) -> dict[str, Value]:
        return {**self, **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Value]) -> dict[str, Value]:
        return {**other, **self} if isinstance(other, Mapping) else NotImplemented

    @hides_arguments
    def __ior__(self, other: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> "Session[Data]":
        self.update(other)
        return self

    def __copy__(self) -> dict[str, Value]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Value]:
        return deepcopy(self.copy(), memo)

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise refusal_to_pickle()

    def __repr__(self) -> str:
        """Say what kind of session it is, and nothing of what it holds."""
        draft = self._draft
        if isinstance(draft, Skipped):
            return "<Session skipped>"
        state = "destroyed" if draft.fate == "ends" else "stored" if draft.issued else "new"
        return f"<Session {state}>"


def showing(draft: Draft) -> Session:
    """Return the session that shows *draft*."""
    session = _new(Session)
    session._accessed, session._draft = False, draft
    return session


def refusal_to_pickle() -> TypeError:
    """Return what is raised when an object that holds a session is pickled."""
    return TypeError(
        "a session cannot be pickled: it holds an id and a visitor's data; pickle what you need of "
        "it, as in dict(session)"
    )
