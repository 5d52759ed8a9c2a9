"""
The last answers of a pure function: what a client that comes back would have us compute again.

A cookie that was verified once is verified, and its record decoded, as long as this process keeps
its secrets. Only what passed is remembered, under the whole text that passed, so nothing that a
client invents takes up room here.

Pure: no clock; a deadline is checked on every read, remembered or not.
"""

from typing import TypeVar

Answer = TypeVar("Answer")

REMEMBERED = 100
"""
Answers that are kept: of texts of up to 4096 bytes, and records made from such, which take a few
times as much. Nobody but the application can make them larger.
"""


class Remembered(dict[str, Answer]):
    """Answers by the text they were given for. Look one up as in any dict."""

    def keep(self, text: str, answer: Answer) -> Answer:
        """
        Remember an answer, and return it.

        When there is no more room, all are forgotten: whoever comes back is remembered anew, and
        nobody pays for an order in which to forget.
        """
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = answer
        return answer

    def __repr__(self) -> str:
        return f"<Remembered {len(self)}>"
