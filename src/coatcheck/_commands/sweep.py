"""
`coatcheck sweep URL`: one whole round of sweeps in small steps, with a bar that shows how far.

The steps are short, and after each the command rests for a while, so that visitors feel little of
it; several may run at once. The command makes nothing: a path or a table that is not there is an
error.
"""

import json
import re
import sys
import time
from io import StringIO
from typing import TextIO

from coatcheck._commands.scanning import check_path
from coatcheck.storage import KeyedStorage, storage_from_url
from coatcheck.storage.backend import Sweeps, swept

WIDTH = 40

STEP = 300
"""Records removed in a step: a server that is busy for longer makes visitors wait longer."""

RESTS = 3
"""The pause after a step, in multiples of the time that the step took."""


def sweep(
    url: str, *, as_json: bool = False, out: TextIO | None = None, bar: TextIO | None = None
) -> int:
    """
    Remove the expired sessions of the storage at *url*, and return the exit code.

    Args:
        as_json: Write a JSON value, and show no bar.
        out: Where the result is written; None: standard output.
        bar: Where the bar is drawn, if it is a terminal; None: standard error.

    Raises:
        ConfigurationError: The URL makes no sense.
        FileNotFoundError: There are no sessions at its path.
        BackendError: The server failed, or has no table of sessions.
    """
    out, bar = out or sys.stdout, bar or sys.stderr
    check_path(url)
    storage = storage_from_url(re.sub(r"([?&]create_table=)yes\b", r"\1no", url))
    if not isinstance(storage, KeyedStorage) or not isinstance(storage.backend, Sweeps):
        said = "Nothing to do: what expires there goes by itself."
        print(json.dumps({"removed": 0}) if as_json else said, file=out)
        return 0
    if as_json:
        bar = StringIO()  # no terminal
    removed, share = 0, 0.0
    try:
        while True:
            begun = time.monotonic()
            removed += storage.sweep(STEP)
            share = swept(storage.backend)
            if not share:
                break
            _draw(bar, share, removed)
            time.sleep(RESTS * (time.monotonic() - begun))
        _draw(bar, 1.0, removed, end="\n")
    finally:
        storage.close()
    said = f"Removed {removed:,} expired session{'' if removed == 1 else 's'}."
    print(json.dumps({"removed": removed}) if as_json else said, file=out)
    return 0


def _draw(bar: TextIO, share: float, removed: int, end: str = "") -> None:
    if bar.isatty():
        done = round(share * WIDTH)
        line = f"\r  {'█' * done}{'░' * (WIDTH - done)} {share:4.0%}  {removed:,} removed"
        print(line, file=bar, end=end, flush=True)
