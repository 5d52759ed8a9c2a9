"""The session that Flask and Quart hand to handlers."""

from typing import Any

from flask.sessions import SessionMixin

from coatcheck._cookie.tracebacks import hides_arguments
from coatcheck._session.python_only import python_only
from coatcheck._session.session import Data, Session, Value
from coatcheck._session.values import encode
from coatcheck.frameworks.message_lists import Leave, Take, listed

FLASHES = "_flashes"
"""The key under which Flask's own `flash()` keeps its messages."""

PERMANENT = "_permanent"


@python_only
class FlaskSession(Session[Data]):
    """A `Session` with the attributes of Flask's sessions."""

    __slots__ = ()

    @property
    def permanent(self) -> bool:
        """The value that was assigned; it has no effect: the cookie and *idle* limit a session."""
        return bool(self.get(PERMANENT, default=False))

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        if permanent:
            self[PERMANENT] = True
        else:
            self.unset(PERMANENT)

    @property
    def new(self) -> bool:
        """Whether nothing was stored before this request: Flask's word for `is_new`."""
        return self.is_new

    @property
    def modified(self) -> bool:
        """Whether this request changed anything; assigning it is allowed, and changes nothing."""
        return super().modified

    @modified.setter
    def modified(self, _: bool) -> None:
        pass  # changes are seen by themselves, nested ones too

    @property
    def accessed(self) -> bool:
        """Whether this request looked at the session; assigning it is allowed, and does nothing."""
        return self._accessed

    @accessed.setter
    def accessed(self, _: bool) -> None:
        pass  # Flask assigns it whenever `flask.session` is named; every look is seen by itself

    def __getitem__(self, key: str) -> Value:
        value = super().__getitem__(key)
        if key == FLASHES and isinstance(value, list):
            value[:] = map(tuple, value)  # as Flask promises them; stored they are lists
        return value

    @hides_arguments
    def __setitem__(self, key: str, value: Value) -> None:
        if key == FLASHES and isinstance(value, list | tuple):
            kept, given = self._messages(), list(map(_pair, value))
            if len(given) > len(kept) and given[: len(kept)] == kept:
                self._merge(Leave(key, encode(key, given[len(kept) :])))
                return
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        if key == FLASHES and (kept := self._messages()):
            self._merge(Take(key, encode(key, kept)))
        else:
            super().__delitem__(key)

    def _messages(self) -> list[Any]:
        """Return Flask's messages as they are kept, whatever became of the list handed out."""
        return listed(self._contents.values.get(FLASHES))

    def _merge(self, change: Leave | Take) -> None:
        """Make a change of the messages, and let go of the list that was handed out."""
        draft = self._own
        draft.write(change)
        draft.live.pop(change.key, None)


def _pair(message: object) -> object:
    """Return a message as a record holds it."""
    return list(message) if isinstance(message, tuple) else message


SessionMixin.register(FlaskSession)
