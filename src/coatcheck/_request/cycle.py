"""
The way of a request, decided in one place for ASGI and WSGI.

    Cookie header ─ open ─▶ value ─ storage.read ─▶ admit ─▶ handler
    Set-Cookie   ◀─ answer ─ value ◀─ storage.save ◀─ is_pending ◀─┘

Pure but for the storage's own calls, which the two shells make: nothing here waits.
"""

import inspect
import logging
from collections.abc import MutableMapping
from functools import partial
from typing import Any, Literal

from coatcheck._cookie.cookie import Cookie
from coatcheck._cookie.rejections import Drops
from coatcheck._cookie.sealing import Opened
from coatcheck._model.schema import Schema, schema_of
from coatcheck._model.typed import TypedDraft
from coatcheck._request.options import check
from coatcheck._request.outages import OnOutage, Outages
from coatcheck._session import lifecycle
from coatcheck._session.draft import Draft, Reach
from coatcheck._session.record import Terms, owner_of
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError, ResponseStarted
from coatcheck.storage.protocol import SessionStorage

DEFAULT_IDLE = 14 * 24 * 3600
"""Seconds that an unused session lives if neither *idle* nor the cookie's Max-Age says so."""

FAILED = 500
"""The status from which a response says that the handler failed, whoever wrote that page."""

Due = Literal["", "cookie", "save"]
"""What a response needs before its headers leave: nothing, its cookie anew, or a save."""

_logger = logging.getLogger("coatcheck")


class Cycle:
    """
    One cookie, one storage, one set of terms, one policy for outages.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        *,
        idle: float | None = None,
        lifetime: float | None = None,
        refresh: float = 0.1,
        on_outage: OnOutage = "raise",
        data: type[Any] | Schema[Any] | None = None,
    ) -> None:
        check(cookie, idle, lifetime, refresh)
        self.outages = Outages(on_outage)
        self.drops = Drops(cookie)
        self.cookie = cookie
        self.storage = storage
        self.terms = Terms(
            owner=owner_of(cookie.name),
            idle=idle or cookie.max_age or DEFAULT_IDLE,
            lifetime=lifetime,
            refresh=refresh,
        )
        # Drafts of sessions that hold nothing: until the headers leave, and after.
        self.schema = schema_of(data)
        draft = Draft if self.schema is None else partial(TypedDraft, schema=self.schema)
        self.blank = partial(draft, terms=self.terms)
        self.late_blank = partial(draft, terms=self.terms, reach="nothing")
        self._late_reach: Reach = "record" if getattr(storage, "saves_late", False) else "nothing"

    def admit(self, session: object, scope: MutableMapping[str, Any], place: str) -> Session:
        """
        Return what the storage read, under our terms, and put it where handlers look.

        Raises:
            ConfigurationError: It is no session, or the request has one already.
        """
        if not isinstance(session, Session):
            raise ConfigurationError(
                f"{type(self.storage).__name__}.read returned {type(session).__name__}, no Session"
            )
        if place in scope:
            raise _twice()
        admitted = scope[place] = lifecycle.admit(session, self.terms, blank=self.blank)
        if self.schema is not None and admitted.blank is None:
            admitted.made = TypedDraft.under(admitted.draft, self.schema)
        return admitted

    def begin(self, scope: MutableMapping[str, Any], place: str) -> Session:
        """Return the session of a request that brings none: as `admit`, and nothing is asked."""
        if place in scope:
            raise _twice()
        session = scope[place] = Session.nobodys(self.blank)
        return session

    def check_place(self, session: Session, scope: MutableMapping[str, Any], place: str) -> None:
        """
        Refuse to save what is not the session of this request.

        Raises:
            ConfigurationError: A handler or another middleware put something else there.
        """
        abandoned = session.blank is None and session.draft.reach == "nothing"
        if scope.get(place) is not session and not abandoned:
            raise ConfigurationError(
                f"something replaced {place!r} of this request, and its changes would be lost: "
                "change the session that is there, and keep one session middleware"
            )

    def answer(self, session: Session, value: str | None, opened: Opened | None) -> str | None:
        """
        Return the Set-Cookie header value that the response needs, or None.

        Args:
            value: What the storage's `save` returned.
            opened: What the request's cookie held.

        Raises:
            CookieTooLarge: The session does not fit in a cookie.
        """
        draft = session.draft
        if value is None and opened and opened.stale and draft.issued and draft.base is None:
            value = opened.text  # a storage of one's own, which renews nothing by itself
        return None if value is None else self.cookie.serialize(value)

    def leaves(
        self,
        session: Session,
        scope: MutableMapping[str, Any],
        place: str,
        opened: Opened | None,
        *,
        failed: bool,
    ) -> Due:
        """
        Note that the headers are about to leave, and tell what is due before they do.

        Args:
            opened: What the request's cookie held.
            failed: The handler failed, or says so by the status.

        Raises:
            ConfigurationError: See `check_place`.
            UnstorableValue: A value was changed in place into what no record holds.
        """
        if scope.get(place) is not session and not failed:
            self.check_place(session, scope, place)
        if session.blank is not None:  # nobody has written to it
            session.blank = self.late_blank
            return ""
        draft = session.made
        if draft.reach != "client":
            return ""
        if failed:
            self.abandon(session)
            return ""
        try:
            saves = self.start(session, opened)
        except BaseException:
            self.abandon(session)  # the answer to this error is sent without a session
            raise
        if saves:
            return "save"
        return "cookie" if draft.renews and draft.issued and draft.base is None else ""

    def start(self, session: Session, opened: Opened | None = None) -> bool:
        """
        Tell whether there is anything to save, and let what changes from here on come too late.

        A cookie that an older secret sealed is due anew. That goes through the storage: another
        request may have given the session a new id, and its cookie must not be overwritten.

        Raises:
            UnstorableValue: A value was changed in place into what no record holds.
        """
        draft = session.draft
        if opened is not None and opened.stale:
            draft.renews = True
        if lifecycle.is_pending(session):
            # What changes while the save waits comes too late for it, so from here on it must reach
            # a later save, or be loud.
            draft.reach = self._late_reach
            return True
        draft.reach = self._late_reach if draft.issued is not None else "nothing"
        return False

    def started(self, session: Session) -> bool:
        """Note that the save is done, and tell whether the session can be saved again."""
        if session.draft.issued is None:
            session.draft.reach = "nothing"
        return session.draft.reach == "record"

    def abandon(self, session: Session) -> None:
        """Note that the request failed: nothing of it is kept, and no flash is consumed."""
        draft = session.draft
        if draft.changed:
            _logger.info("the changes of a request to a session were dropped: the request failed")
        draft.reach = "nothing"
        draft.forget()

    def never_start(self, session: Session) -> None:
        """
        Note that a connection ended without headers.

        Raises:
            ResponseStarted: A change would have to reach the client, and nothing can carry it.
        """
        changed = self.start(session) and session.modified
        stays = session.draft.destroyed or not session.draft.moves
        if not (self.started(session) and stays) and changed:
            raise ResponseStarted("a change at a WebSocket that was never accepted")

    def is_late(self, session: Session) -> bool:
        """
        Tell whether the session changed after the headers had left, and can still be saved.

        Raises:
            ResponseStarted: A value was changed in place, and nothing can carry that any more.
        """
        draft = session.draft
        return (
            draft.touched
            and draft.reach != "client"
            and lifecycle.is_changed(session)
            and draft.reach == "record"
        )


def _twice() -> ConfigurationError:
    return ConfigurationError(
        "this request has a session already: session() runs twice, or beside another session "
        "middleware; keep one"
    )


def is_async(storage: SessionStorage) -> bool:
    """Tell whether a storage's methods are to be awaited."""
    return any(map(inspect.iscoroutinefunction, (storage.read, storage.save)))
