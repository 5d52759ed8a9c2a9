"""
A session as a template sees it: its keys, the methods of a dict, and `signed_in`.

    {{ session.id }}     in Jinja, the value under "id", or nothing; in Python, the session's id

Jinja reads `session.name` as an attribute, and as a key only if there is no such attribute. So the
words that a session has beside those of a dict would hide keys of the same name, and a page would
show an id, which is a credential. Towards a template they do not exist.

A template is known by the module that asks, which is one of Jinja's. What a template calls is code
like any other.

Pure, but for a look at the frame of the caller.
"""

import sys
from types import FunctionType, MethodType
from typing import Any, TypeVar

T = TypeVar("T")

ENGINE = "jinja2"

SHOWN = {*dir(dict), "signed_in"}
"""Attributes that a template sees, beside the keys."""


def python_only(cls: type[T]) -> type[T]:
    """Return a class of sessions whose own words templates do not see: a decorator."""
    for name, found in list(vars(cls).items()):
        if name.startswith("_") or name in SHOWN:
            continue
        if isinstance(found, property):
            setattr(cls, name, _Property(found.fget, found.fset, found.fdel))
        elif isinstance(found, FunctionType):
            setattr(cls, name, _Method(found))
    return cls


class _Property(property):
    """A property that a template does not see."""

    def __get__(self, session: Any, owner: type[Any] | None = None, /) -> Any:
        if session is not None and _is_template(sys._getframe(1).f_globals):
            raise AttributeError("a template sees the keys of a session")
        return super().__get__(session, owner)


class _Method:
    """A method that a template does not see."""

    def __init__(self, function: FunctionType) -> None:
        self._function = function

    def __get__(self, session: Any, owner: type[Any] | None = None, /) -> Any:
        if session is None:
            return self._function
        if _is_template(sys._getframe(1).f_globals):
            raise AttributeError("a template sees the keys of a session")
        return MethodType(self._function, session)


def _is_template(module: dict[str, Any]) -> bool:
    """Tell whether the module that asks, given by its names, is one of the template engine."""
    name = module.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] == ENGINE
