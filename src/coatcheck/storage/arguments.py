"""
Checks of what a storage is made from: errors that name the argument and say what to do.

A mistake of the set-up is found when the storage is made. A value may be a URL with a password in
it, so no message holds one.
"""

import os
from datetime import timedelta
from pathlib import Path

from coatcheck.errors import ConfigurationError

Duration = float | timedelta
"""A duration: seconds, or a timedelta."""

_LOCAL = ("file:", "sqlite:", "memory:", "cookie:")


def path_of(name: str, value: object) -> Path:
    """
    Return the path that the argument *name* gives.

    Raises:
        ConfigurationError: It is no path, such as a URL or the value of a variable that is not set.
    """
    if is_url(value) or not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise not_of_form(name, "a path", value)
    path = Path(value)
    if "\0" in str(path):
        raise ConfigurationError(f"{name} must be a path, and hold no NUL character")
    return path


def seconds_of(name: str, duration: object) -> float:
    """
    Return the seconds that the argument *name* gives.

    Raises:
        ConfigurationError: It is no duration above 0.
    """
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 < seconds < float("inf")
    ):
        raise ConfigurationError(
            f"{name} must be seconds above 0, or a timedelta of them, got {duration!r}"
        )
    return seconds


def check_count(name: str, count: object) -> None:
    """
    Check an argument that counts something.

    Raises:
        ConfigurationError: It is no integer above 0.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigurationError(f"{name} must be an integer above 0, got {count!r}")


def check_text(name: str, text: object, *, empty: bool = True) -> None:
    """
    Check an argument that is a text.

    Args:
        empty: It may be empty.

    Raises:
        ConfigurationError: It is none, or an empty one.
    """
    if not isinstance(text, str) or not (text or empty):
        raise not_of_form(name, "a text", text)


def check_clock(clock: object) -> None:
    """
    Check the argument `clock`.

    Raises:
        ConfigurationError: It is no function.
    """
    if clock is not None and not callable(clock):
        raise not_of_form("clock", "a function that returns seconds since 1970", clock)


def is_url(value: object) -> bool:
    """Tell whether a value is the URL of a storage."""
    return isinstance(value, str) and ("://" in value or value.startswith(_LOCAL))


def not_of_form(name: str, form: str, value: object) -> ConfigurationError:
    """Return the error that the argument *name* must have *form*, with what to do about a URL."""
    if is_url(value):
        return ConfigurationError(
            f"{name} must be {form}, got a URL: write storage_from_url(url) instead"
        )
    hint = ": is the setting that holds it there?" if value in (None, "") else ""
    got = _named(value)
    return ConfigurationError(f"{name} must be {form}, got {got}{hint}")


def _named(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "another text" if value and isinstance(value, str) else type(value).__name__
