"""Warnings of a weak configuration. Each points to the line of the application that made it."""

import sys
import warnings

from coatcheck.errors import CoatcheckWarning

_PACKAGE = __name__.partition(".")[0]


def warn_of_weak(text: str) -> None:
    """Warn at the first line on the stack that is outside of this package, on every way in."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and _is_ours(frame.f_globals.get("__name__")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, CoatcheckWarning, stacklevel=level)


def _is_ours(module: object) -> bool:
    return module == _PACKAGE or str(module).startswith(f"{_PACKAGE}.")
