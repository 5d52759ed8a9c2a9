"""
Every error that coatcheck raises. Nothing that a client sends raises any of them.

    SessionError                  the root: catch it to catch them all
    ├── ConfigurationError        the application is set up wrongly; mostly raised while it starts
    ├── SessionDestroyed          a handler changed the session after destroy()
    ├── ResponseStarted           a change came too late to reach the client
    ├── UnstorableValue           a record cannot hold the value
    ├── RecordTooLarge            the session is larger than a record may be
    ├── CookieTooLarge            the value does not fit into a cookie
    ├── SessionConflict           other requests changed the session during each attempt to save
    └── BackendError              the server with the records failed; its error is the cause

A message says what happened and what to do next. It never holds an id, a secret or session data.
"""

__all__ = [
    "BackendError",
    "CoatcheckWarning",
    "ConfigurationError",
    "CookieTooLarge",
    "RecordTooLarge",
    "ResponseStarted",
    "SessionConflict",
    "SessionDestroyed",
    "SessionError",
    "UnstorableValue",
]


class SessionError(Exception):
    """The root of every error of coatcheck."""


class ConfigurationError(SessionError):
    """
    The application is set up wrongly: an argument, an option, or the order of middleware.

    Most are raised while the application starts. The message names what to change.
    """


class SessionDestroyed(SessionError):
    """A handler changed the session after it called destroy()."""

    def __init__(self) -> None:
        super().__init__(
            "the session was destroyed in this request: change it before destroy(), or let the "
            "next request start a new session"
        )


class ResponseStarted(SessionError):
    """
    A handler changed the session after the headers left, when nothing could keep the change.

    Args:
        change: The name of the change: "set()", "regenerate_id()".
    """

    def __init__(self, change: str) -> None:
        super().__init__(
            f"{change} came after the response had started, and its cookie can no longer be sent: "
            "make the change before the first byte of the response leaves"
        )
        self.change = change


_TAKES = (
    "; a value must be None, bool, int, float, str, bytes, an aware datetime, a list, or a dict "
    "with str keys"
)


class UnstorableValue(SessionError):
    """
    A record cannot hold the value, would give it back changed, or the model does not allow it.

    Args:
        key: The key of the session that the value is for.
        reason: What is wrong with the value.
        takes: The end of the message: which values are allowed.
    """

    def __init__(self, key: object, reason: str, *, takes: str = _TAKES) -> None:
        super().__init__(f"the session cannot hold the value of {key!r}: {reason}{takes}")
        self.key, self.reason = key, reason


class RecordTooLarge(SessionError):
    """
    The session is larger than a record may be.

    Args:
        size: The bytes that the session needs.
        limit: The bytes that a record may have; None: the server refused it by a limit of its own.
    """

    def __init__(self, size: int, limit: int | None) -> None:
        wrong = (
            f"the session must have at most {limit} bytes, got {size}"
            if limit
            else f"the session needs {size} bytes, more than the server takes in one item"
        )
        super().__init__(f"{wrong}: keep the data elsewhere and only its key in the session")
        self.size, self.limit = size, limit


class CookieTooLarge(SessionError):
    """
    The Set-Cookie header is larger than what every browser keeps.

    Args:
        name: The name of the cookie.
        size: The bytes that the header value needs.
        limit: The bytes that a browser keeps for certain.

    Source: RFC 6265, 6.1.
    """

    def __init__(self, name: str, size: int, limit: int) -> None:
        super().__init__(
            f"the header of cookie {name!r} must have at most {limit} bytes, got {size}: store "
            "less in the session, or keep it on a server or in files (SqliteStorage, FileStorage, "
            "SqlStorage, RedisStorage, MemcachedStorage)"
        )
        self.name, self.size, self.limit = name, size, limit


class SessionConflict(SessionError):
    """
    Other requests changed the session during each attempt to save it.

    Args:
        attempts: How often the storage tried.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"the session could not be saved: other requests changed it during each of {attempts} "
            "attempts; no change of this request was kept, so the client can send it again"
        )
        self.attempts = attempts


class BackendError(SessionError):
    """
    The server with the records failed, or did not answer. The client's own error is the cause.

    Args:
        server: Its name: "Redis at 10.0.0.5:6379", "SQLite", "postgresql at 10.0.0.5:5432".
        doing: What failed: "read", "write", "delete", "sweep", "reach"; "open" a database.
        why: The reason; "": that of the cause. With "open", *why* begins with the path.
    """

    def __init__(self, server: str, doing: str, why: str = "") -> None:
        what = why if doing == "open" else f"a session record{why and ': '}{why}"
        super().__init__(f"{server} failed to {doing} {what}")
        self.server, self.doing, self._why = server, doing, why

    def __str__(self) -> str:
        reason = "" if self._why or self.__cause__ is None else _reason_of(self.__cause__)
        return f"{self.args[0]}{reason and ': '}{reason}"


_REASON = 200
"""Characters of a reason at the most."""

_QUOTES = (", with args ", " : <", "\n")
"""In the message of a client, what begins a part that may quote a value, or that says no more."""


def _reason_of(cause: BaseException) -> str:
    """Return what the error of a client says, in one line: "Connection refused"."""
    cause = getattr(cause, "orig", None) or cause  # SQLAlchemy wraps the driver's
    texts = [each for each in cause.args if isinstance(each, str)]
    said = getattr(cause, "strerror", None) or (texts[-1] if texts else "")
    for mark in _QUOTES:
        said = said.partition(mark)[0]
    said = said[:_REASON].strip(" .")
    if not said and isinstance(cause, TimeoutError):
        return "no answer in time"
    return said or type(cause).__name__


class CoatcheckWarning(UserWarning):
    """The configuration works, but is weaker than it should be."""
