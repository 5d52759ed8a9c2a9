"""
`coatcheck sweep URL`: one whole round of sweeps in small steps, with a bar that shows how far.

The steps are short, so a busy server does not feel them; several may run at once.
"""

import sys
from typing import TextIO

from coatcheck.storage import KeyedStorage, storage_from_url
from coatcheck.storage.backend import Sweeps, swept

WIDTH = 40


def sweep(url: str, *, out: TextIO | None = None, bar: TextIO | None = None) -> int:
    """
    Remove the expired sessions of the storage at *url*, and return the exit code.

    Args:
        out: Where the result is written; None: standard output.
        bar: Where the bar is drawn, if it is a terminal; None: standard error.

    Raises:
        ConfigurationError: The URL makes no sense.
        BackendError: The server failed.
    """
    out, bar = out or sys.stdout, bar or sys.stderr
    storage = storage_from_url(url)
    if not isinstance(storage, KeyedStorage) or not isinstance(storage.backend, Sweeps):
        print("Nothing to do: what expires there goes by itself.", file=out)
        return 0
    removed, share = 0, 0.0
    try:
        while True:
            removed += storage.sweep()
            share = swept(storage.backend)
            if not share:
                break
            _draw(bar, share, removed)
        _draw(bar, 1.0, removed, end="\n")
    finally:
        storage.close()
    print(f"Removed {removed:,} expired session{'' if removed == 1 else 's'}.", file=out)
    return 0


def _draw(bar: TextIO, share: float, removed: int, end: str = "") -> None:
    if bar.isatty():
        done = round(share * WIDTH)
        line = f"\r  {'█' * done}{'░' * (WIDTH - done)} {share:4.0%}  {removed:,} removed"
        print(line, file=bar, end=end, flush=True)
