"""
Messages that are left in a list under a key, as Flask's `flash()` and Pyramid's queues keep them.

A framework reads the list, appends to it and puts it back, or takes it away. Two requests at once
would each put back their own list. As changes of their own they merge: both messages are shown, and
one that was left while others were shown waits for the next request.
"""

from typing import Any

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.changes import ShownOnce, Unset
from coatcheck._session.record import Contents
from coatcheck._session.session import Session
from coatcheck._session.values import Encoded, decode, encode


class Leave(Hidden, msgspec.Struct, frozen=True, gc=False):
    """Append messages to those under a key."""

    key: str
    messages: Encoded
    name = "flash()"

    def replay(self, contents: Contents) -> bool:
        there = listed(contents.values.get(self.key))
        contents.values[self.key] = encode(self.key, there + listed(self.messages))
        return True


class Take(Hidden, ShownOnce, msgspec.Struct, frozen=True, gc=False):
    """Take the messages away that were shown, and the key with the last of them."""

    key: str
    messages: Encoded
    name = "taking messages away"

    def replay(self, contents: Contents) -> bool:
        left = listed(contents.values.pop(self.key, None))
        for message in listed(self.messages):
            if message in left:
                left.remove(message)
        if left:
            contents.values[self.key] = encode(self.key, left)
        return True

    def give_back(self, contents: Contents) -> None:
        left = listed(contents.values.get(self.key))
        contents.values[self.key] = encode(self.key, listed(self.messages) + left)


def give_back(session: Session, key: str) -> None:
    """
    Undo that a request took the messages under a key away, because no page shows its response.

    For frameworks that keep their messages as a plain value.
    """
    draft = session._draft
    log = [each for each in draft.log if not (isinstance(each, Unset) and each.key == key)]
    if len(log) < len(draft.log):
        draft.log = log
        draft.contents = draft.replayed(draft.base.copy())


def listed(encoded: Encoded | None) -> list[Any]:
    """Return messages that were encoded; what is no list counts as none."""
    found = None if encoded is None else decode(encoded)
    return found if isinstance(found, list) else []
