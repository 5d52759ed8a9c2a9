"""
The decisions about a request, in one place for every host.

    cookies ─ begin, admit ─▶ session ─▶ handler ─▶ leaving ─▶ save? ─▶ changes of the headers
                                                    is_late ─▶ save? ─▶ end

A `Shell` makes the storage's calls in between: nothing here waits.
"""

import inspect
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, cast

import msgspec

from coatcheck._cookie.cookie import Attributes, Cookie
from coatcheck._cookie.pins import Pins
from coatcheck._cookie.rejections import Rejections, Seen
from coatcheck._cookie.tracebacks import forget_our_frames
from coatcheck._model.schema import Schema, schema_of
from coatcheck._model.typed import TypedDraft
from coatcheck._request.adoption import Adoption, Reader
from coatcheck._request.bound import Bound, check_bound
from coatcheck._request.device import Device
from coatcheck._request.events import OnEvent, Reporter
from coatcheck._request.hints import Hints
from coatcheck._request.options import (
    ListsSessions,
    check,
    check_kinds,
    check_user_key,
    check_users,
    checked_skip,
)
from coatcheck._request.outages import OnOutage, Outages
from coatcheck._request.visit import NOTHING, VARY, Answer, Changes, Visit, sets_cookie
from coatcheck._session import lifecycle
from coatcheck._session.draft import (
    Carried,
    Draft,
    Found,
    Given,
    Reach,
    Skipped,
    Unread,
    Visitor,
)
from coatcheck._session.events import FAILED as FAILED_REQUEST
from coatcheck._session.events import Happened, log_losses
from coatcheck._session.moves import ROTATES, Moves
from coatcheck._session.next_state import note_of
from coatcheck._session.record import LONGEST, Terms, owner_of
from coatcheck._session.session import Session, showing
from coatcheck._session.user_key import enter, follow
from coatcheck.errors import ConfigurationError, CookieTooLarge, ResponseStarted
from coatcheck.storage.arguments import Duration
from coatcheck.storage.clock import system_clock
from coatcheck.storage.protocol import HasClock, SessionStorage, powers_of

DEFAULT_IDLE = 14 * 24 * 3600
"""Seconds that an unused session lives if neither *idle* nor the cookie's Max-Age says so."""

FAILED = 500
"""From this status on, a response says that the handler failed, also if a handler wrote it."""

CANDIDATES = 4
"""Cookies of our name that a request may bring, and that are looked up."""

Due = Literal["", "cookie", "save"]
"""The step that a response needs before its headers leave: none, its cookie again, or a save."""

_HAVE_RECORD = (Found, Carried, Given, Unread)
"""Origins of sessions that may be stored: an outage breaks no request."""

_HAVE_ID = (Found, Carried, Given)
"""Origins of sessions whose id the client holds: `Draft.issued`, asked by every save."""

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
        idle: Duration | None = None,
        lifetime: Duration | None = None,
        refresh: float = 0.1,
        rotate: Duration | None = None,
        on_outage: OnOutage = "raise",
        skip: Sequence[str] = (),
        data: type[Any] | Schema[Any] | None = None,
        user_key: str | None = None,
        adopts: Sequence[Reader] = (),
        bound: Bound | None = None,
        on_event: OnEvent | None = None,
        users: ListsSessions | None = None,
    ) -> None:
        check_kinds(cookie, storage)
        check_user_key(user_key)
        check_users(users)
        seconds = check(cookie, idle, lifetime, refresh, rotate)
        powers = powers_of(storage)
        if rotate is not None and not powers.rotates:
            raise ConfigurationError(
                f"rotate={rotate!r} needs a storage on a server or in files, "
                f"got {type(storage).__name__}, which keeps no id that could be looked up"
            )
        if bound is not None:
            check_bound(bound, type(storage).__name__, on_server=powers.rotates)
        self.outages = Outages(on_outage)
        self.skip = checked_skip(skip)
        self.rejections = Rejections(cookie)
        in_memory = powers.rotates and not powers.waits  # records, and no disk or server
        self._hints: Hints | None = Hints(cookie, in_memory=in_memory)
        self.cookie = cookie
        self.storage = storage if users is None else users._storage_of(storage)
        self.users = users
        self.terms = Terms(
            owner=owner_of(cookie.name),
            idle=min(seconds.idle or cookie.max_age or DEFAULT_IDLE, LONGEST),
            lifetime=None if seconds.lifetime is None else min(seconds.lifetime, LONGEST),
            refresh=refresh,
            rotate=seconds.rotate,
            clock=clock_of(storage),
            max_age=cookie.max_age,
            pins=Pins(cookie.secrets),
            user_key=user_key,
            reports=on_event is not None,
            middleware=self,
            bound="no" if bound is None else "required" if bound.required else "offered",
            rosters=users._rosters_of(cookie, storage, seconds.lifetime) if users else None,
        )
        self._user_key = user_key
        self.device = None if bound is None else self._device(bound)
        self.reporter = None
        if on_event is not None:
            clock = self.terms.clock or system_clock
            self.reporter = Reporter(cookie.secrets[0], on_event, clock)
            self.outages.reporter = self.reporter
        self.schema = schema_of(data)
        make = Draft if self.schema is None else partial(TypedDraft, schema=self.schema)
        self.visitor = Visitor(terms=self.terms, make=make)
        self.late_visitor = Visitor(terms=self.terms, make=make, reach="nothing")
        self.adoption = None
        if adopts:
            tell = self.reporter.tell if self.reporter else None
            leaves = powers.rotates
            self.adoption = Adoption(adopts, cookie, self.terms, leaves_markers=leaves, tell=tell)
        # A sign-in began when its request was read, so with rosters a request without a cookie is
        # admitted, too, with the time.
        self.starts_empty = powers.starts_empty and bound is None and users is None
        # Without a cookie, there is nothing to ask or to decide.
        self.begins_empty = self.starts_empty and not self.skip
        # Nothing but the terms is to be put to what the storage read.
        self._admits_at_once = self.schema is None and users is None
        # By the plain shell, in an event loop too.
        self.in_place = powers.in_place and users is None and not adopts
        self._twins_noted = False
        self._late_reach: Reach = "record" if powers.saves_late else "nothing"

    # ---- before the handler

    def begin(self, visit: Visit) -> None:
        """Give a request that brings no cookie a session that holds nothing: no server is asked."""
        visit.session = showing(self.visitor)
        visit.attach()
        if visit.cookies:
            hints = self._hints  # read once: another thread may be done with it
            if hints is not None:
                self._hints = hints.after(visit)
            if self.reporter is not None and self.cookie.is_in(visit.cookies):
                self.reporter.tell(Happened("refused", "seal"))

    def admit(self, visit: Visit, session: object) -> Answer | None:
        """
        Give a request what the storage read, under our terms, or return an answer to send at once.

        Raises:
            ConfigurationError: It is no session.
        """
        if self.device is not None:
            answer = self.device.admit(visit, self.checked(session))
            if answer is not None:
                return answer
        if type(session) is Session and self._admits_at_once:
            visit.session = lifecycle.admit(session, self.terms, self.visitor)
        else:
            visit.session = self._admitted(session)
        visit.attach()
        hints = self._hints
        if hints is not None:
            self._hints = hints.after(visit)
        return None

    def _admitted(self, session: object) -> Session:
        if type(session) is not Session:
            session = self.checked(session)
        visitor = self.visitor if self.terms.rosters is None else self._dated(session)
        admitted = lifecycle.admit(session, self.terms, visitor)
        if self.schema is not None and not admitted._draft.shared:
            admitted._draft = TypedDraft.under(admitted._draft, self.schema)
        return admitted

    def under_terms(self, session: object) -> Session:
        """
        Return what the storage read, under our terms.

        Raises:
            ConfigurationError: It is no session.
        """
        session = self.checked(session)
        visitor = self.visitor if self.terms.rosters is None else self._dated(session)
        return lifecycle.admit(session, self.terms, visitor)

    def checked(self, session: object) -> Session:
        """
        Return what the storage read.

        Raises:
            ConfigurationError: It is no session.
        """
        if not isinstance(session, Session):
            raise ConfigurationError(
                f"{type(self.storage).__name__}.read must return a Session, "
                f"got {type(session).__name__}"
            )
        return session

    def _dated(self, session: Session) -> Visitor:
        """Note when the request was read, for a sign-in; return the draft of a visitor."""
        now = self.terms.clock() if self.terms.clock else 0.0
        if not session._draft.shared:
            session._draft.began = now
        return msgspec.structs.replace(self.visitor, began=now)

    def passes_over(self, visit: Visit) -> bool:
        """Give a request no session if its path is to be skipped, and tell whether it is."""
        path = visit.path
        for prefix in self.skip:
            if path.startswith(prefix):
                visit.session = showing(cast("Draft", Skipped(prefix, self.terms)))
                visit.attach()
                return True
        return False

    def check_outer(self, outer: object) -> None:
        """
        Refuse a session that an outer middleware attached for the same cookie.

        Raises:
            ConfigurationError: The middleware runs twice.
        """
        if isinstance(outer, Session) and outer._draft.terms.owner == self.terms.owner:
            raise ConfigurationError(
                f"this request has a session of the cookie {self.cookie.name!r} already: "
                "session() runs twice; keep one"
            )

    def is_living(self, visit: Visit, session: Session) -> bool:
        """Tell whether a cookie led to a session that `admit` accepts."""
        return (
            session._draft.issued is not None
            and lifecycle.keeps(session._draft, self.terms)
            and (self.device is None or self.device.is_living(visit, session))
        )

    def ended_too(self, visit: Visit, found: object) -> Session | None:
        """
        Return a further session of a request that signs out, to be saved as one that ended.

        None: it is no session, or it is bound to a device, which the request has not proved.
        """
        if not isinstance(found, Session):
            return None
        session = self.under_terms(found)
        if self.device is not None and not self.device.is_living(visit, session):
            return None
        session.destroy()
        return session

    def tell_of_other(self, session: Session) -> None:
        """Tell of the end of a further session."""
        if self.reporter is not None:
            self.reporter.report(session._draft)

    def note_twins(self, count: int) -> None:
        """Log once that browsers hold several cookies of our name."""
        if not self._twins_noted:
            self._twins_noted = True
            _logger.warning(
                "a request brought %d cookies named %r: the first that leads to a session counts; "
                "a cookie with another Domain or Path may be left from an earlier set-up, or come "
                "from a subdomain",
                count,
                self.cookie.name,
            )

    # ---- while the handler runs

    def is_due(self, session: Session) -> bool:
        """Tell whether a request has anything to save so far."""
        draft = session._draft
        if draft.shared or draft.reach == "nothing":
            return False
        if self._user_key is not None:
            follow(draft, self._user_key)
        pending = lifecycle.is_pending(session)
        if pending and self._user_key is not None:
            enter(draft, self._user_key)
        return pending

    def saved_early(self, session: Session, value: str | None) -> None:
        """Note that a session was saved while its request goes on."""
        draft = session._draft
        if draft.reach != "client":
            self.saved(session)
        elif value is not None:
            draft.unsent = value

    def can_reload(self, session: Session) -> bool:
        """Tell whether there may be another state of the session than the request has."""
        draft = session._draft
        return not draft.shared and type(draft.origin) is not Unread and draft.fate != "ends"

    def value_to_reload(self, session: Session) -> str | None:
        """Return the value under which the session is now, or None."""
        draft = session._draft
        if type(draft.origin) is Carried:
            return draft.unsent or draft.origin.value or None
        return draft.issued

    def renew(self, session: Session, found: object) -> None:
        """Let a session be what the storage has by now; a cookie that is due stays due."""
        before = session._draft
        if self.device is not None:
            self.device.renew(before.device, self.checked(found))
        draft = self._admitted(found)._draft
        if before.reach != "client":
            if draft.issued is None:
                draft = self.late_visitor
            else:
                draft.reach = before.reach
        elif before.unsent is not None and (draft.issued or not before.unsent):
            draft = draft.own()
            draft.unsent = before.unsent
        session._draft = draft

    # ---- before the headers leave

    def leaving(self, visit: Visit, headers: Any, *, failed: bool) -> Due:
        """
        Note that the headers are about to leave, and tell what is due before they do.

        Args:
            headers: Of the response, as pairs; they may set our cookie already.
            failed: The handler failed, or says so by the status.

        Raises:
            ConfigurationError: A handler or another middleware put something else in its place.
            UnstorableValue: A value was changed in place into what no record holds.
        """
        session = visit.session
        draft = session._draft
        if draft.reach != "client":
            return ""
        if not failed and visit.replaced():
            raise _replaced()
        if draft.shared:
            session._draft = self.late_visitor
            return ""
        if failed:
            self.abandon(session)
            return "" if draft.unsent is None else "cookie"
        if draft.fate == "ends" and visit.others:
            draft.reach = "nothing"
            return "save"
        try:
            saves = self.start(session, visit, headers)
        except BaseException as error:
            self.abandon(session)  # the answer to this error is sent without a session
            forget_our_frames(error)
            raise
        if saves:
            return "save"
        if draft.unsent is not None or (draft.fate == "renews" and type(draft.origin) is Given):
            return "cookie"
        return ""

    def start(
        self, session: Session, visit: Visit, headers: Any = (), *, tells: bool = True
    ) -> bool:
        """
        Tell whether there is anything to save, and let what changes from here on come too late.

        A cookie that an older secret sealed is to be sent again. That goes through the storage:
        another request may have given the session a new id, and its cookie must not be
        overwritten.

        Raises:
            UnstorableValue: A value was changed in place into what no record holds.
        """
        draft, opened = session._draft, visit.opened
        if opened is not None and opened.stale and draft.fate == "stays":
            draft.fate = "renews"
        if draft.log and visit.method == "HEAD":
            draft.leave_flashes()
        if self._user_key is not None:
            follow(draft, self._user_key)
        if not lifecycle.is_pending(session) or self._is_told(draft, headers):
            draft.reach = self._late_reach if type(draft.origin) in _HAVE_RECORD else "nothing"
            return False
        if self._user_key is not None:
            enter(draft, self._user_key)
        if tells and draft.terms.rotate is not None and lifecycle.rotates(session):
            draft.move(ROTATES)
        # What changes while the save waits comes too late for it, so from here on it must reach a
        # later save, or be loud.
        draft.reach = self._late_reach
        return True

    def _is_told(self, draft: Draft, headers: Any) -> bool:
        """Tell whether an inner application set the same cookie, and nothing else is to be kept."""
        return not (draft.log or draft.changed) and sets_cookie(self.cookie.name, headers)

    def answer(self, visit: Visit, value: str | None) -> str | None:
        """
        Return the Set-Cookie header value that the response needs, or None.

        Args:
            value: What the storage's `save` returned.

        Raises:
            CookieTooLarge: The session does not fit in a cookie.
        """
        draft, opened = visit.session._draft, visit.opened
        unsent = draft.unsent
        if value is None and unsent is not None and (not unsent or draft.issued is not None):
            value = unsent
        if value is None and opened and opened.stale and type(draft.origin) is Given:
            value = opened.text  # a storage of one's own, which renews nothing by itself
        if value is None:
            return None
        attributes = _attributes(draft)
        try:
            if not attributes:
                return self.cookie.serialize(value)
            return self.cookie.serialize(value, **attributes)
        except CookieTooLarge as error:
            self.failed(error)
            raise

    def changes(self, visit: Visit, set_cookie: str | None) -> Changes:
        """Return what the session adds to the headers of the response."""
        if set_cookie is None:
            return VARY if visit.session._accessed else NOTHING
        if visit.opened is None:
            self._warn_of_rejection(visit)
        changes = Changes(True, True, (set_cookie,))  # noqa: FBT003 - by position, which is faster
        if self.device is None:
            return changes
        ended = set_cookie.startswith(f"{self.cookie.name}=;")
        return self.device.amended(visit, changes, ended=ended)

    def gives_id(self, session: Session, changes: Changes) -> bool:
        """Tell whether *changes* give the client an id that a server can be asked for."""
        return bool(changes.set_cookies) and type(session._draft.origin) is Found

    def without_cookie(self, changes: Changes) -> Changes:
        """Return the changes without the session's cookie."""
        start = f"{self.cookie.name}="
        others = tuple(line for line in changes.set_cookies if not line.startswith(start))
        return changes._replace(set_cookies=others)

    def saved(self, session: Session) -> bool:
        """Note that a save is done, and tell whether the session can be saved again."""
        draft = session._draft
        if type(draft.origin) not in _HAVE_ID:
            draft.reach = "nothing"
        if type(draft.fate) is Moves and draft.fate.who is not None:  # no storage of ours leaves it
            _logger.warning(
                "%s was not kept: %s keeps no sign-ins; a backend under KeyedStorage does",
                draft.fate.name,
                type(self.storage).__name__,
            )
        return draft.reach == "record"

    def abandon(self, session: Session) -> None:
        """Note that the request failed: nothing of it is kept, and no flash is consumed."""
        draft = session._draft
        if draft.shared:
            session._draft = self.late_visitor
            return
        if draft.changed:
            note_of(draft, "dropped", FAILED_REQUEST)
            self.report(draft)
        draft.log.clear()
        draft.fate, draft.reach = "stays", "nothing"
        draft.forget()

    def never_start(
        self, visit: Visit, change: str = "a change at a WebSocket that was never accepted"
    ) -> None:
        """
        Note that a connection ends without headers: `end` saves what the id alone can reach.

        Args:
            change: What the error says of the change.

        Raises:
            ResponseStarted: A change would have to reach the client, and nothing can carry it.
        """
        session = visit.session
        draft = session._draft
        if draft.shared or draft.reach == "nothing":
            return
        changed = self.start(session, visit, tells=False) and session.modified
        moves = not isinstance(draft.fate, str)
        if not (self.saved(session) and not moves) and changed:
            raise ResponseStarted(change)

    # ---- what happened

    def report(self, draft: Draft) -> None:
        """Tell of what decisions noted on a draft, or log what was lost."""
        if self.reporter is None:
            log_losses(draft)
        else:
            self.reporter.report(draft)

    def was_read(self, session: Session, begun: float) -> None:
        """Tell of a session that was read."""
        draft = session._draft
        if self.reporter is not None and type(draft.origin) is not Unread:
            self.outages.works()
            self.reporter.was_read(draft, begun)

    def was_saved(self, session: Session, begun: float) -> None:
        """Tell of a session that was saved."""
        assert self.reporter is not None  # noqa: S101 - the shell asks only where there is one
        self.outages.works()
        self.reporter.was_saved(session._draft, begun)

    def failed(self, error: BaseException) -> None:
        """Tell why nothing of a session was kept."""
        if self.reporter is not None:
            self.reporter.failed(error)

    def drops(self, session: Session, error: BaseException) -> bool:
        """Tell whether a change after the headers is dropped, and no error is raised."""
        drops = self.outages.drops(error)
        if drops:
            note_of(session._draft, "dropped", "the server failed")
            self.report(session._draft)
        return drops

    # ---- after the headers left

    def is_late(self, session: Session) -> bool:
        """
        Tell whether the session changed after the headers had left, and can still be saved.

        Raises:
            ResponseStarted: A value was changed in place, and nothing can carry that any more; or
                the user was changed by `user_key`.
        """
        draft = session._draft
        if self._user_key is not None and draft.reach != "client":
            follow(draft, self._user_key)
        return (
            draft.touched
            and draft.reach != "client"
            and lifecycle.is_changed(session)
            and draft.reach == "record"
        )

    def is_done(self, session: Session) -> bool:
        """Note that the request is over, if nothing can be left to save; tell whether it is."""
        draft = session._draft
        if draft.shared:
            session._draft = self.late_visitor
        elif draft.touched:
            return False
        else:
            draft.reach = "nothing"
        return True

    def end(self, session: Session) -> None:
        """Note that the request is over: a later change raises."""
        draft = session._draft
        if draft.shared:
            session._draft = self.late_visitor
        else:
            draft.reach = "nothing"

    def _device(self, bound: Bound) -> Device:
        return Device(self.cookie, bound, self._tell_of_refusal, self._tell_of_binding)

    def _tell_of_refusal(self, session: Session, reason: str) -> None:
        """Tell that a request did not come from the device of its session."""
        if self.reporter is not None:
            self.reporter.tell_of(session._draft, "refused", f"device: {reason}")

    def _tell_of_binding(self, session: Session) -> None:
        """Tell that a session was bound to a device."""
        if self.reporter is not None:
            self.reporter.tell_of(session._draft, "bound")

    def _warn_of_rejection(self, visit: Visit) -> None:
        """Look once at whether a browser keeps the first cookie that it gets."""
        seen = Seen(
            scheme=visit.scheme,
            host=visit.host,
            path=visit.path,
            site=visit.header("sec-fetch-site"),
            destination=visit.header("sec-fetch-dest"),
            agent=visit.header("user-agent"),
        )
        clock = self.terms.clock or system_clock
        self.rejections.check(seen, datetime.fromtimestamp(clock(), UTC))


def middleware_of(session: Session) -> Cycle:
    """
    Return the middleware that gave a request its session.

    Raises:
        ConfigurationError: None did.
    """
    found = session._draft.terms.middleware
    if not isinstance(found, Cycle):
        raise ConfigurationError(
            "no middleware gave this session to a request: save it by the storage that made it"
        )
    return found


def clock_of(storage: SessionStorage) -> Any:
    """Return the clock by which a storage judges deadlines."""
    if not isinstance(storage, HasClock):
        return system_clock

    def clock() -> float:
        return storage.clock()  # looked up on each call: a test may move it

    return clock


def is_async(storage: SessionStorage) -> bool:
    """Tell whether a storage's methods are to be awaited."""
    return any(map(inspect.iscoroutinefunction, (storage.read, storage.save)))


def _attributes(draft: Draft) -> Attributes:
    """Return the attributes by which a cookie differs from its set-up: as the sign-in chose."""
    origin = draft.origin
    if type(origin) is Found or type(origin) is Carried:
        who = origin.record.body.who
    else:
        who = draft.contents.who
    if who is None or who.max_age is None:
        return {}
    if who.max_age == 0:
        return {"max_age": None, "expires": None}
    return {"max_age": who.max_age}


def _replaced() -> ConfigurationError:
    return ConfigurationError(
        "something replaced the session of this request, and its changes would be lost: change "
        "the session that is there, and keep one session middleware"
    )
