"""The types of WSGI (PEP 3333)."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write = Callable[[bytes], object]


class StartResponse(Protocol):
    """The `start_response` of a WSGI server (PEP 3333)."""

    def __call__(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /
    ) -> Write: ...


WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]
