"""
A cache for the results of a pure function, such as the verification of a cookie.

A client sends the same cookie with every request, and the result stays the same while the process
keeps its secrets. Only texts that passed the check are cached, so a client cannot fill the cache
with texts that it invents.

Pure: no clock; a deadline is checked on every read, cached or not.
"""

from typing import TypeVar

Result = TypeVar("Result")


class Cache(dict[str, Result]):
    """
    Results by the text that they were computed from. Look a result up as in any dict.

    Args:
        room: Characters that all texts may have together; more than the longest one.
    """

    __slots__ = ("_free", "_room")

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = self._free = room

    def keep(self, text: str, answer: Result) -> Result:
        """
        Cache a result, and return it.

        When the cache is full it is emptied, so it need not track the order of use.
        """
        free = self._free - len(text)
        if free < 0:
            self.clear()
            free = self._room - len(text)
        self._free = free
        self[text] = answer
        return answer

    def __repr__(self) -> str:
        return f"<Cache of {len(self)}>"
