"""
Values that middleware attaches to a request, found by type.

    context.get(Session)      the session that session() attached
    context.set(User, user)   for the handlers and middleware that run later

The context is stored in the ASGI scope or the WSGI environ, so it works with every framework.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any, TypeVar, get_origin

from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError

__all__ = ["Context"]

KEY = "coatcheck.context"

PLACES = ("coatcheck.session", "session")
"""The keys of the session in an ASGI scope; the second one is an alias that others use."""

T = TypeVar("T")


class Context:
    """
    The values that middleware attached to one request.

    Args:
        scope: An ASGI scope or a WSGI environ.
    """

    __slots__ = ("scope",)

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.scope = scope

    def get(self, key: type[T]) -> T:
        """
        Return the object that was attached under the type *key*.

        Raises:
            ConfigurationError: There is none: the middleware that attaches it is missing, or runs
                later.
        """
        found = self._find(key)
        if found is None:
            if _is_session(key):
                raise ConfigurationError(
                    "this request has no Session: add session(cookie, storage) around the "
                    "application, or setup(app, cookie, storage) or SessionPlugin of its "
                    "framework, outside of what asks for it"
                )
            raise ConfigurationError(
                f"this request has no {key.__name__}: put the middleware that attaches it before "
                "the handler or middleware that asks for it"
            )
        attached: T = found
        return attached

    def set(self, key: type[T], value: T) -> None:
        """
        Attach *value* under the type *key*, in place of what was there.

        Raises:
            ConfigurationError: *key* is Session: it would be read, and never saved.
        """
        if _is_session(key):
            raise ConfigurationError(
                "a session is attached by session() alone, which saves it too: change the session "
                "that is there"
            )
        self.scope.setdefault(KEY, {})[key] = value

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the path by name, as the router put them into the ASGI scope."""
        params: Mapping[str, Any] = self.scope.get("path_params", {})
        return params

    def has(self, key: type[Any]) -> bool:
        """Tell whether an object is attached under the type *key*."""
        return self._find(key) is not None

    def _find(self, key: type[Any]) -> Any:
        if not _is_session(key):
            return self.scope.get(KEY, {}).get(key)
        places = (self.scope.get(place) for place in PLACES)
        return next((each for each in places if isinstance(each, Session)), None)


def _is_session(key: type[Any]) -> bool:
    """Tell whether *key* is `Session`, or a `Session[Model]`."""
    return key is Session or get_origin(key) is Session
