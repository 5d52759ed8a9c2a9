"""
The replayable log: what a request did to a session, one small step after another.

A step is replayed on the session that the request read, as soon as it is made. If another request
saved in the meantime, the same steps are replayed on what that one left. So nobody's change is
lost, and two requests that set the same key agree that the later one wins.

A step holds encoded values, so that nothing the handler does later can change it.

Pure: contents in, contents changed.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from coatcheck._session.record import Contents, reveal_nothing
from coatcheck._session.values import Encoded, decode, encode


class Change(Protocol):
    """One step. `name` is how a handler calls it."""

    @property
    def name(self) -> str: ...

    def replay(self, contents: Contents, /) -> None:
        """Make the step on *contents*, whoever wrote them."""


class Set(msgspec.Struct, frozen=True, gc=False):
    """Give a key a value."""

    __repr__ = reveal_nothing

    key: str
    value: Encoded
    name = "set()"

    def replay(self, contents: Contents) -> None:
        contents.values[self.key] = self.value


class Unset(msgspec.Struct, frozen=True, gc=False):
    """Take a key away, flash or value."""

    __repr__ = reveal_nothing

    key: str
    name = "unset()"

    def replay(self, contents: Contents) -> None:
        contents.values.pop(self.key, None)
        contents.flashes.pop(self.key, None)


class Clear(msgspec.Struct, frozen=True, gc=False):
    """Take everything away."""

    __repr__ = reveal_nothing

    name = "clear()"

    def replay(self, contents: Contents) -> None:
        contents.values.clear()
        contents.flashes.clear()


class Flash(msgspec.Struct, frozen=True, gc=False):
    """Leave a value for the next request that reads the key."""

    __repr__ = reveal_nothing

    key: str
    value: Encoded
    name = "flash()"

    def replay(self, contents: Contents) -> None:
        contents.flashes[self.key] = self.value


class Consume(msgspec.Struct, frozen=True, gc=False):
    """Take away a flash that was read; another that was left meanwhile stays."""

    __repr__ = reveal_nothing

    key: str
    value: Encoded
    name = "reading a flash"

    def replay(self, contents: Contents) -> None:
        if contents.flashes.get(self.key) == self.value:
            del contents.flashes[self.key]


class Update(msgspec.Struct, frozen=True):
    """Give a key what *function* makes of its value, or of *default* if there is none."""

    __repr__ = reveal_nothing

    key: str
    function: Callable[[Any], Any]
    default: Encoded
    name = "apply()"

    def replay(self, contents: Contents) -> None:
        try:
            value = decode(contents.values[self.key])
        except KeyError:
            value = decode(self.default)
        contents.values[self.key] = encode(self.key, self.function(value))
