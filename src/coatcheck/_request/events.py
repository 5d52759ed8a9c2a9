"""
Events: tell an application what happens to its sessions.

    coatcheck.session(cookie, storage, on_event=print)

Decisions note what happened (see `_session.events`); here it becomes an `Event`, with a time and
without the user in clear, and is given to the listener, once the decision is carried out.

To add a kind of event: add its word to `Kind` there and to the docstring of `Event` here, and call
`note(draft, kind, reason, …)` where it is decided. Outside of a request: `Reporter.tell`.
"""

import hmac
import inspect
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from coatcheck._cookie.cookie import Cookie
from coatcheck._session.draft import Draft
from coatcheck._session.events import Happened, Kind, handle_of, log_loss
from coatcheck._session.record import pack
from coatcheck._session.sign_in import User, text_of
from coatcheck.errors import ConfigurationError, CookieTooLarge, RecordTooLarge, SessionConflict

_logger = logging.getLogger("coatcheck")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that happened to a session. It holds no id, no user in clear and no value.

    The kinds, and their reasons in brackets:

    - `started`: a new session was saved.
    - `read` (`found`, `none`): the cookie of a request was looked up; `duration` says how long.
    - `saved`: a session was saved in `requests` rounds; `duration` says how long that took, and
      `size` the bytes of its record.
    - `moved` (`regenerate_id`, `the user was taken away`): the id was changed without a sign-in.
    - `rotated`: the id was renewed by `rotate=`.
    - `signed_in` (`joined`: by two requests at once): a user signed in.
    - `confirmed`: the user proved again who they are.
    - `acting` (`begun`, `over`): somebody acts as another user.
    - `bound`: a device registered its key: the session counts only with its proof from now on.
    - `signed_out` (`destroyed`): the session of a user was destroyed; `duration` is its age.
    - `ended` (`destroyed`, `emptied`; by `Users`: `end`, `end_others`, `end_all`, `most`): a
      session ended otherwise; `duration` is its age.
    - `expired` (`idle`, `lifetime`): a request brought a session whose deadline was over.
    - `adopted` (the name of its reader, as `FlaskSession`): a session of another package was taken
      over.
    - `refused` (`seal`, `unknown id`, `old id`, `other cookie`, `tombstone`, `cut-off`, `revoked`,
      `device: ` and why; `FlaskSession: seal` and the like, of another package): the cookie of a
      request led to no session.
    - `merged`: `changes` were replayed on what other requests left, in `requests` rounds.
    - `dropped` (why): changes were lost.
    - `conflict`: a save gave up after `requests` rounds, because other requests kept winning.
    - `outage` (`begun`, `over`): the server of the storage fails; `duration` says how long it did.
    - `too_large` (`record`, `cookie`): a session did not fit; `size` has its bytes.

    Attributes:
        kind: What happened.
        at: When, in UTC, by the clock of the storage.
        reason: One of a few texts for each kind; "": there is nothing more to say.
        handle: The public name of the session; of an anonymous one a digest; "": it is not known.
        user: A digest of the user, as `user_digest` makes it; "": it is about no user.
        duration: Seconds; None: it has none.
        changes: How many changes of the request it is about.
        requests: How many rounds it took.
        size: Bytes; None: it is about no size.
    """

    kind: Kind
    at: datetime
    reason: str = ""
    handle: str = ""
    user: str = ""
    duration: float | None = None
    changes: int = 0
    requests: int = 0
    size: int | None = None


OnEvent = Callable[[Event], object]
"""Is called with each event, in the task or thread of the request; it must not wait."""


def user_digest(cookie: Cookie, user: User) -> str:
    """
    Return the digest under which events tell of a user.

    Args:
        cookie: The session cookie: its first secret keys the digest, so another secret makes
            another one.
        user: As given to `session.sign_in`.

    Returns:
        32 hexadecimal characters.

    Raises:
        ConfigurationError: The cookie has no secrets.
        TypeError, ValueError: *user* is no text, int or UUID, or is empty.
    """
    if not cookie.secrets:
        raise ConfigurationError(f"cookie {cookie.name!r} has no secrets to make a digest with")
    return _digest(cookie.secrets[0], text_of(user))


def check_listener(on_event: object) -> None:
    """
    Check what is to be called with events.

    Raises:
        ConfigurationError: It cannot be called, or has to be awaited.
    """
    if not callable(on_event):
        raise ConfigurationError(
            f"on_event must be a function of one event, got {type(on_event).__name__}"
        )
    if _is_awaited(on_event) or _is_awaited(type(on_event).__call__):
        raise ConfigurationError(
            "on_event must be a plain function, got one that is awaited: put the event into a "
            "queue, and await there"
        )


class Reporter:
    """
    Gives the events of one cookie's sessions to a listener: `tell`, or `report` those of a draft.

    Args:
        secret: The first one of the cookie: it keys the digests of users.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: The listener cannot be called, or is awaited.
    """

    def __init__(self, secret: str, on_event: OnEvent, clock: Callable[[], float]) -> None:
        check_listener(on_event)
        self._secret, self._on_event, self._clock = secret, on_event, clock
        self.monotonic = time.perf_counter

    def report(self, draft: Draft) -> None:
        """Tell of what a decision noted on a draft."""
        events, draft.events = draft.events, ()
        for event in events:
            log_loss(event)
            self.tell(event)

    def was_read(self, draft: Draft, begun: float) -> None:
        """Tell how long a look-up took, and what it found."""
        duration = self.monotonic() - begun
        self.tell(Happened("read", "found" if draft.issued else "none", duration=duration))
        self.report(draft)

    def was_saved(self, draft: Draft, begun: float) -> None:
        """Tell how long a save took, and what came of it."""
        duration, found = self.monotonic() - begun, draft.found
        rounds = next((it.requests for it in draft.events if it.kind == "merged"), 1)
        size = None if found is None else len(pack(found.record))
        self.tell(Happened("saved", duration=duration, requests=rounds, size=size))
        self.report(draft)

    def failed(self, error: BaseException) -> None:
        """Tell why nothing of a session was kept."""
        if isinstance(error, SessionConflict):
            self.tell(Happened("conflict", requests=error.attempts))
        elif isinstance(error, RecordTooLarge):
            self.tell(Happened("too_large", "record", size=error.size))
        elif isinstance(error, CookieTooLarge):
            self.tell(Happened("too_large", "cookie", size=error.size))

    def tell_of(self, draft: Draft, kind: Kind, reason: str = "") -> None:
        """Tell of something that happened to a session which is stored."""
        found = draft.found
        who, id = (found.record.body.who, found.id) if found else (None, "")
        user, handle = who.user if who else None, handle_of(who, id)
        self.tell(Happened(kind, reason, handle, user))

    def tell(self, happened: Happened) -> None:
        """Call the listener; what it raises harms no request."""
        event = Event(
            kind=happened.kind,
            at=datetime.fromtimestamp(self._clock(), UTC),
            reason=happened.reason,
            handle=happened.handle,
            user="" if happened.user is None else _digest(self._secret, happened.user),
            duration=happened.duration,
            changes=happened.changes,
            requests=happened.requests,
            size=happened.size,
        )
        try:
            result = self._on_event(event)
        except Exception:
            _logger.exception("on_event failed with an event of the kind %r", event.kind)
            return
        if inspect.iscoroutine(result):
            result.close()
            _logger.error("on_event returned a coroutine, and events are not awaited")


def _is_awaited(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _digest(secret: str, user: str) -> str:
    text = f"coatcheck 1 user {user}"
    return hmac.digest(secret.encode(), text.encode(errors="surrogatepass"), "sha256").hex()[:32]
