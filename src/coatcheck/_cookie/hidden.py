"""
Types whose repr shows no field, so that no id, value or secret reaches a log.

msgspec's structs show their fields in `__repr__`, and again in `__rich_repr__`, which reporters of
errors ask when they print local variables.
"""

from typing import Any


class Hidden:
    """A mixin for a struct whose reprs tell the name of its type alone."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
