"""
The output of a command: a table for people, or one JSON value for programs.

A table is drawn by `rich`: it fits the terminal, and has no colour where that is not wanted
(`NO_COLOR`, a pipe, a file).
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from coatcheck.errors import _reason_of

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "info": "cyan"}
"""The style of a check's result."""


class Bar(Protocol):
    """A bar that shows how far a command is."""

    def update(self, share: float) -> None: ...


def reason_of(error: BaseException) -> str:
    """Return the first line of what a server or a driver said, where an error has it as a cause."""
    return _reason_of(error.__cause__ or error)


def _printable(text: str) -> str:
    """Return a text that does nothing to a terminal: a client may have chosen a label."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


class Output:
    """
    The output of one command.

    Args:
        as_json: Write one JSON value.
        out: None: standard output.
    """

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout

    def value(self, value: Any) -> None:
        """Write a JSON value."""
        print(json.dumps(value, ensure_ascii=False), file=self._out)

    def line(self, text: str) -> None:
        """Write a line of text."""
        print(text, file=self._out)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        breaks: int | None = None,
    ) -> None:
        """
        Write a table; a word of `STYLES` in its first column is coloured.

        Args:
            breaks: The column whose cells are broken where the terminal is narrow; None: the last.
        """
        from rich import box
        from rich.console import Console
        from rich.markup import escape
        from rich.padding import Padding
        from rich.table import Table

        cells = [[escape(_printable(str(each))) for each in row] for row in rows]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        broken = len(columns) - 1 if breaks is None else breaks
        for place, column in enumerate(columns):
            numbers = all(re.fullmatch(r"[\d,]+", row[place]) for row in cells)
            table.add_column(
                column,
                no_wrap=place != broken,  # a handle is to be copied, and a time is one word
                overflow="fold",
                justify="right" if numbers and place else "left",
            )
        for first, *rest in cells:
            style = STYLES.get(first)
            table.add_row(f"[{style}]{first}[/{style}]" if style else first, *rest)
        Console(file=self._out, highlight=False).print(Padding(table, (1, 0, 0, 0)))

    @contextmanager
    def progress(self, doing: str) -> Any:
        """Show a bar on standard error, if that is a terminal and a person reads."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        if self.as_json or not console.is_terminal:  # some versions of Rich end no bar with a line
            yield lambda _: None
            return
        columns = (TextColumn(doing), BarColumn(), TaskProgressColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(doing, total=1.0)
            yield lambda share: progress.update(task, completed=share)
