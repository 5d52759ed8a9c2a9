"""
Every error coatcheck raises. Nothing that a client sends raises any of them.

    SessionError                  catch this to catch them all
    ├── ConfigurationError        the application is set up wrongly; most raise while it starts
    ├── SessionDestroyed          the session was written to after destroy()
    ├── ResponseStarted           the change came too late to reach the client
    ├── UnstorableValue           the value is nothing a record can hold
    ├── RecordTooLarge            the session outgrew what a record may weigh
    ├── CookieTooLarge            the value does not fit in a cookie
    ├── SessionConflict           other requests kept winning the race for this session
    └── BackendError              the server that keeps the records failed; its error is the cause

The messages say what happened and what to do next. They never hold an id, a secret or session data.
"""


class SessionError(Exception):
    """The root of every error here."""


class ConfigurationError(SessionError):
    """The application is set up wrongly, and no request could make it right."""


class SessionDestroyed(SessionError):
    """The session was written to after destroy()."""

    def __init__(self) -> None:
        super().__init__(
            "the session was destroyed in this request: write before destroy(), or let the next "
            "request start a new session"
        )


class ResponseStarted(SessionError):
    """A change came after the headers had left, and could not reach the client any more."""

    def __init__(self, change: str) -> None:
        super().__init__(
            f"{change} came after the response had started, and its cookie can no longer be sent: "
            "make the change before the first byte of the response leaves"
        )
        self.change = change


_TAKES = (
    "; it holds None, bool, int, float, str, bytes, aware datetime, lists, and dicts with str keys"
)


class UnstorableValue(SessionError):
    """A value that no record can hold, that would come back as another, or that fits no model."""

    def __init__(self, key: object, reason: str, *, takes: str = _TAKES) -> None:
        super().__init__(f"the session cannot hold the value of {key!r}: {reason}{takes}")
        self.key, self.reason = key, reason


class RecordTooLarge(SessionError):
    """The session is larger than a record may be: `limit`, or what its server says (None)."""

    def __init__(self, size: int, limit: int | None) -> None:
        most = f"a record holds {limit}" if limit else "more than the server takes in one item"
        super().__init__(
            f"the session needs {size} bytes, {most}: keep the data elsewhere and only its key in "
            "the session"
        )
        self.size, self.limit = size, limit


class CookieTooLarge(SessionError):
    """The Set-Cookie header is larger than browsers promise to keep."""

    def __init__(self, name: str, size: int, limit: int) -> None:
        super().__init__(
            f"cookie {name!r} needs {size} bytes, browsers promise to keep {limit}: store less in "
            "the session, or keep it on the server (FileStorage, RedisStorage, MemcachedStorage)"
        )
        self.name, self.size, self.limit = name, size, limit


class SessionConflict(SessionError):
    """Every attempt to save lost the race against another request."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"the session could not be saved: other requests changed it {attempts} times while "
            "this one tried; nothing of this request was kept, so it may be sent again"
        )
        self.attempts = attempts


class BackendError(SessionError):
    """The server that keeps the records failed; the client's own error is the cause."""

    def __init__(self, server: str, doing: str, why: str = "") -> None:
        super().__init__(f"{server} failed to {doing} a session record{why and ': '}{why}")
        self.server, self.doing = server, doing


class CoatcheckWarning(UserWarning):
    """A configuration that works, and is weaker than it should be."""
