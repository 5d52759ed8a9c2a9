"""
The replayable log: what a request did to a session, one small step after another.

A step is replayed on the session that the request read, as soon as it is made. If another request
saved in the meantime, the same steps are replayed on what that one left. So no change is lost, and
of two requests that set the same key the later one wins.

A list or dict that a handler changed in place becomes a step, too: see `change_in_place`.

A step holds encoded values, so that nothing the handler does later can change it.

Pure: contents in, contents changed.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.record import Contents
from coatcheck._session.values import CORRUPT, Encoded, decode, encode


class Change(Protocol):
    """One step. `name` is how a handler calls it."""

    @property
    def name(self) -> str: ...

    def replay(self, contents: Contents, /) -> bool:
        """Make the step; False if what it changes is not there any more, and it was dropped."""


class Set(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Give a key a value."""

    key: str
    value: Encoded
    name = "set()"

    def replay(self, contents: Contents) -> bool:
        contents.values[self.key] = self.value
        return True


class SetDefault(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Give a key a value if it has none."""

    key: str
    value: Encoded
    name = "setdefault()"

    def replay(self, contents: Contents) -> bool:
        contents.values.setdefault(self.key, self.value)
        return True


class Unset(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Remove a key, flash or value."""

    key: str
    name = "unset()"

    def replay(self, contents: Contents) -> bool:
        contents.values.pop(self.key, None)
        contents.flashes.pop(self.key, None)
        return True


class UnsetValue(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Remove a value; a flash under its key stays."""

    key: str
    name = "popitem()"

    def replay(self, contents: Contents) -> bool:
        contents.values.pop(self.key, None)
        return True


class Clear(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Remove every key."""

    name = "clear()"

    def replay(self, contents: Contents) -> bool:
        contents.values.clear()
        contents.flashes.clear()
        return True


class Flash(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Leave a value for the next request that reads the key."""

    key: str
    value: Encoded
    name = "flash()"

    def replay(self, contents: Contents) -> bool:
        contents.flashes[self.key] = self.value
        return True


class ShownOnce:
    """A mixin for a step that removes something because a page shows it."""

    __slots__ = ()

    def give_back(self, contents: Contents, /) -> None:
        """Undo the step: no page shows it after all."""


class Consume(Hidden, ShownOnce, msgspec.Struct, frozen=True, gc=False):
    """Remove a flash that was read; another one that was left meanwhile stays."""

    key: str
    value: Encoded
    name = "reading a flash"

    def replay(self, contents: Contents) -> bool:
        if contents.flashes.get(self.key) == self.value:
            del contents.flashes[self.key]
        return True

    def give_back(self, contents: Contents) -> None:
        contents.flashes.setdefault(self.key, self.value)


class Apply(Hidden, msgspec.Struct, frozen=True):
    """Give a key what *function* makes of its value, or of *default* if there is none."""

    key: str
    function: Callable[[Any], Any]
    default: Encoded
    name = "apply()"

    def replay(self, contents: Contents) -> bool:
        try:
            value = decode(contents.values[self.key])
        except KeyError:
            value = decode(self.default)
        contents.values[self.key] = encode(self.key, self.function(value))
        return True


class Append(Hidden, msgspec.Struct, frozen=True):
    """
    Add entries to the end of a list.

    Equal entries that both requests added count once: the larger number, not the sum. What the
    other request added is told by the list that this one read.

    Args:
        before: The list that was read.
        entries: What was added to it.
    """

    key: str
    before: Encoded
    entries: list[Encoded]
    name = "a change in place"

    def replay(self, contents: Contents) -> bool:
        there = _list(contents.values.get(self.key))
        if there is None:
            return False
        added = Counter(map(bytes, there)) - Counter(map(bytes, _list(self.before) or ()))
        for entry in self.entries:
            data = bytes(entry)
            if added[data] > 0:
                added[data] -= 1
            else:
                there.append(entry)
        contents.values[self.key] = Encoded(_encoder.encode(there))
        return True


class Update(Hidden, msgspec.Struct, frozen=True):
    """Add keys to a dict."""

    key: str
    entries: dict[str, Encoded]
    name = "a change in place"

    def replay(self, contents: Contents) -> bool:
        there = _dict(contents.values.get(self.key))
        if there is None:
            return False
        contents.values[self.key] = Encoded(_encoder.encode({**there, **self.entries}))
        return True


class Replace(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Give a key the value that a change further inside made of it."""

    key: str
    value: Encoded
    name = "a change in place"

    def replay(self, contents: Contents) -> bool:
        there = contents.values.get(self.key)
        if there is None or _kind(there) != _kind(self.value):
            return False
        contents.values[self.key] = self.value
        return True


def change_in_place(key: str, before: Encoded, now: Encoded) -> Change:
    """
    Return the step that a handler made by changing a value in place.

    Entries behind the end of a list are an `Append`, further keys of a dict an `Update`. Anything
    else sets the whole value.
    """
    if (old := _list(before)) is not None and (new := _list(now)) is not None:
        if len(new) > len(old) and new[: len(old)] == old:
            return Append(key, before, new[len(old) :])
    elif (held := _dict(before)) is not None and (holds := _dict(now)) is not None:
        added = {name: value for name, value in holds.items() if name not in held}
        if added and all(holds.get(name) == value for name, value in held.items()):
            return Update(key, added)
    return Replace(key, now)


def empty_like(value: Encoded) -> Encoded | None:
    """Return an empty list or dict for one of these; None for another value."""
    return _EMPTY.get(_kind(value))


def _kind(encoded: Encoded) -> str:
    """Return what kind of value MessagePack's first byte tells."""
    first = memoryview(encoded)[0]
    if 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
        return "list"
    if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
        return "dict"
    return "other"


def _list(encoded: Encoded | None) -> list[Encoded] | None:
    if encoded is None or _kind(encoded) != "list":
        return None
    try:
        return _list_decoder.decode(encoded)
    except CORRUPT:
        return None


def _dict(encoded: Encoded | None) -> dict[str, Encoded] | None:
    if encoded is None or _kind(encoded) != "dict":
        return None
    try:
        return _dict_decoder.decode(encoded)
    except CORRUPT:
        return None


_EMPTY = {"list": Encoded(b"\x90"), "dict": Encoded(b"\x80")}

_encoder = msgspec.msgpack.Encoder()
_list_decoder = msgspec.msgpack.Decoder(list[Encoded])
_dict_decoder = msgspec.msgpack.Decoder(dict[str, Encoded])
