"""
Checks of what a storage is made from: errors that name the argument and say what to do.

A mistake of the set-up is found when the storage is made. A value may be a URL with a password in
it, so no message holds one.
"""

import os
from pathlib import Path

from coatcheck.errors import ConfigurationError

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
