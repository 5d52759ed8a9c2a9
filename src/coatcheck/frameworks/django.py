"""
Sessions for Django, behind its own middleware.

    SESSION_ENGINE = "coatcheck.frameworks.django"
    COATCHECK_STORAGE = "redis://localhost:6379"

Django's `SessionMiddleware` sets the cookie, as its `SESSION_…` settings say; the cookie carries
the session's id, which Django calls its key. What is behind `request.session` is a session of ours:
a change inside a value is seen, two requests at once keep what each of them wrote, and one that was
ended stays ended. A save that finds it ended, or under another key, raises `UpdateError`, which the
middleware answers with 400.

`COATCHECK_OPTIONS` has what Django has no setting for: see `django_options`. A key is renewed
(`rotate`) only when our `SessionMiddleware` saves, because the new one must reach the browser.

With `bound`, a session that is bound to a device counts only in a request that proves the device,
see `django_bound`. Elsewhere it reads as an empty one, and what the browser holds stays.

A request whose key is that of an earlier session says nothing to the browser, which holds, or is
about to get, a newer key. `SessionMiddleware` here, in place of Django's own, does more of that.

Each operation is written once, as a coroutine over one form of the storage. Django's plain methods
run it at once, its `a…` methods await it.
"""

import sys
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn, SupportsIndex

from django.conf import settings
from django.contrib.sessions import middleware
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpResponse
from django.utils.cache import patch_vary_headers

from coatcheck._cookie.tracebacks import hides_arguments, hides_credentials
from coatcheck._request.adoption import Reader
from coatcheck._request.coroutines import run_now
from coatcheck._request.device import Device
from coatcheck._request.visit import Answer
from coatcheck._session import operations, user_plans
from coatcheck._session.ids import is_id, new_id
from coatcheck._session.record import Who
from coatcheck._session.session import Session, Value, refusal_to_pickle
from coatcheck._session.sign_in import SignIn, User
from coatcheck.frameworks import django_checks
from coatcheck.frameworks.django_adoption import adoption, answers, is_foreign, settle
from coatcheck.frameworks.django_bound import DjangoVisit, amend, counts, device, response_of
from coatcheck.frameworks.django_options import options
from coatcheck.frameworks.django_session import (
    former_owners,
    idle_of,
    is_handed,
    is_lost,
    report,
    steps,
    terms,
    users,
)

__all__ = ["SessionMiddleware", "SessionStore", "users"]
from coatcheck.frameworks.django_storage import StorageForm, forms
from coatcheck.frameworks.message_lists import give_back

# The middleware imports this module when the application starts: mistakes are told then.
forms()
options()
terms()
device()


class SessionStore(SessionBase):  # type: ignore[misc] # Django has no types
    """
    One visitor's session, with all methods that Django's have.

    Args:
        session_key: From a client; it may never have been issued.
    """

    _session_key: str | None

    def __init__(self, session_key: str | None = None) -> None:
        self._forms = forms()
        self._read_by: StorageForm | None = None
        self._cleared_unread = False
        self._is_old = False  # the key is that of an earlier session: the browser has a newer one
        self._is_handed = False  # the browser's key is older than the session's
        self._rotates = False  # a response waits for this save, and can carry a new key
        self._cycles = False  # the next save gives the new key that cycle_key() asked for
        self._visit: DjangoVisit | None = None  # the request, which may prove its device
        self._is_nobodys = False  # the request proved no device: it has no session
        self._flagged, self._noted = False, 0
        super().__init__(session_key)
        self._former: str | None = None  # a cookie of another engine, which may be adopted
        self._adopts: Reader | None = None  # its session is to be kept as one of ours
        if session_key and self._session_key is None and options().adopts:
            self._former = session_key

    def __copy__(self) -> dict[str, Value]:
        return dict(self.items())

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Value]:
        return deepcopy(dict(self.items()), memo)

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise refusal_to_pickle()

    def apply(self, key: str, function: Callable[[Any], Value], default: Value = None) -> Value:
        """Give *key* what *function* makes of its value, as one atomic step: `Session.apply`."""
        return self._session.apply(key, function, default)

    async def aapply(
        self, key: str, function: Callable[[Any], Value], default: Value = None
    ) -> Value:
        return (await self._aget_session()).apply(key, function, default)

    @hides_arguments
    def setdefault(self, key: str, value: Value) -> Value:
        """Return what is under *key*, or else keep *value* there: `Session.setdefault`."""
        return self._session.setdefault(key, value)

    async def asetdefault(self, key: str, value: Value) -> Value:
        session = await self._aget_session()
        try:
            return session.setdefault(key, value)
        finally:
            del value  # error reporters print the locals of a frame

    @property
    def own(self) -> Session:
        """The `Session` behind it, for `users()`; in asynchronous views, one that was read."""
        self.accessed = True
        session: Session = self._session if self._held is None else self._held
        return session

    @property
    def signed_in(self) -> SignIn | None:
        """The signed-in user, and how they signed in: `Session.signed_in`."""
        session: Session = self._session
        return session.signed_in

    async def asigned_in(self) -> SignIn | None:
        """`signed_in`, awaited."""
        return (await self._aget_session()).signed_in

    @property
    def is_bound(self) -> bool:
        """Whether the session is bound to a device, and this request proved that device."""
        session: Session = self._session
        return session.is_bound

    async def ais_bound(self) -> bool:
        """`is_bound`, awaited."""
        return (await self._aget_session()).is_bound

    @hides_credentials
    def confirm(self, *, pin: str | None = None) -> None:
        """Note that the user proved again who they are: `Session.confirm`."""
        self._session.confirm(pin=pin)
        self.modified = True

    async def aconfirm(self, *, pin: str | None = None) -> None:
        """`confirm`, awaited."""
        session = await self._aget_session()
        try:
            session.confirm(pin=pin)
        finally:
            del pin  # as above
        self.modified = True

    def act_as(self, user: User, *, seconds: float | timedelta = 3600) -> None:
        """Let the signed-in user see what another user sees: `Session.act_as`."""
        self._session.act_as(user, seconds=seconds)
        self.modified = True

    def stop_acting(self) -> None:
        """Let the session be the actor's again: `Session.stop_acting`."""
        self._session.stop_acting()
        self.modified = True

    @property
    def accessed(self) -> bool:
        """
        Whether the response depends on the session. One does whose body is made while it is sent,
        and may still read it: Django's middleware asks before that.
        """
        if self._accessed:
            return True
        response = _waiting(sys._getframe(1))
        return response is not None and _may_still_read(response)

    @accessed.setter
    def accessed(self, accessed: bool) -> None:
        self._accessed = accessed

    @property
    def modified(self) -> bool:
        """
        Whether there is anything to save or to send: a change, also inside a value; a key that the
        browser does not have yet; or Django says so.
        """
        return self._is_handed or self._changed

    @modified.setter
    def modified(self, flag: bool) -> None:
        self._flagged, self._noted = flag, steps(self._held)

    @property
    def _changed(self) -> bool:
        return self._flagged or steps(self._held) > self._noted

    @property
    def session_key(self) -> str | None:
        """The key that the cookie carries; who shows it depends on the session."""
        self.accessed = True
        held = self._held
        return held.id if self._cycles and held is not None else self._session_key

    def is_empty(self) -> bool:
        """
        Tell whether there is neither a key nor a value: the middleware then removes the cookie.

        Raises:
            AttributeError: Every request is to be saved, and this one has nothing to say of a
                session that ended or has another key. Django's middleware then leaves the response
                as it is; any other answer would let it set or remove the browser's newer cookie.
        """
        if settings.SESSION_SAVE_EVERY_REQUEST and self._session_key:
            self._get_session()  # as the middleware does next
        if not self._is_old:
            unread = self._former is not None and self._held is None
            return not (self._session_key or self._held or self._cycles or unread)
        if settings.SESSION_SAVE_EVERY_REQUEST and not self.modified:
            response = _waiting(sys._getframe(1))
            if response is not None:  # it is left as it is, but for this
                patch_vary_headers(response, ("Cookie",))
            raise AttributeError("the session of this request ended, or has another key")
        return False

    @hides_arguments
    def exists(self, session_key: str | None) -> bool:
        return run_now(self._exists(self._forms.plain, session_key))

    async def aexists(self, session_key: str | None) -> bool:
        asked = self._exists(self._forms.awaited, session_key)
        del session_key  # error reporters print the locals of a frame
        return await asked

    def load(self) -> Session:
        return run_now(self._load(self._forms.plain))

    async def aload(self) -> Session:
        return await self._load(self._forms.awaited)

    def create(self) -> None:
        run_now(self._create(self._forms.plain))

    async def acreate(self) -> None:
        await self._create(self._forms.awaited)

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        run_now(self._save(self._forms.plain, must_create=must_create))

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        await self._save(self._forms.awaited, must_create=must_create)

    @hides_arguments
    def delete(self, session_key: str | None = None) -> None:
        run_now(self._end(self._forms.plain, session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        ended = self._end(self._forms.awaited, session_key)
        del session_key  # as above
        await ended

    def cycle_key(self) -> None:
        run_now(self._cycle_key(self._forms.plain))

    async def acycle_key(self) -> None:
        await self._cycle_key(self._forms.awaited)

    def flush(self) -> None:
        run_now(self._flush(self._forms.plain))

    async def aflush(self) -> None:
        await self._flush(self._forms.awaited)

    def clear(self) -> None:
        """Take everything away, and keep the key. The storage is not asked before the save."""
        self.accessed = self._flagged = True
        session = self._held
        if session is None:
            session = self._session_cache = operations.start(terms())
            self._cleared_unread = self._session_key is not None
        session.clear()

    @classmethod
    def clear_expired(cls) -> None:
        """Remove the expired records where the storage does not do it by itself."""
        forms().sweep()

    def _get_session(self, no_load: bool = False) -> Session:  # noqa: FBT001, FBT002
        return run_now(self._get(self._forms.plain, no_load=no_load))

    async def _aget_session(self, no_load: bool = False) -> Session:  # noqa: FBT001, FBT002
        return await self._get(self._forms.awaited, no_load=no_load)

    _session = property(_get_session)

    def _validate_session_key(self, key: object) -> bool:
        return isinstance(key, str) and is_id(key)

    def _get_new_session_key(self) -> str:
        return new_id()

    async def _aget_new_session_key(self) -> str:
        return new_id()

    @property
    def _held(self) -> Session | None:
        """The session, if it was read or begun."""
        held: Session | None = vars(self).get("_session_cache")
        return held

    async def _get(self, form: StorageForm, *, no_load: bool = False) -> Session:
        """Return the session, reading it if that was not done yet."""
        self.accessed = True
        session = self._held
        if session is None:
            absent = no_load or (self._session_key is None and self._former is None)
            session = operations.start(terms()) if absent else await self._load(form)
            self._session_cache = session
        return session

    async def _load(self, form: StorageForm) -> Session:
        """Return what the storage has, and forget a key that leads nowhere."""
        self.accessed = True
        if self._session_key is None:
            return await self._load_former(form)
        self._read_by = form
        session, self._is_old = await self._find(form, self._session_key)
        if not counts(session, self._visit):
            return self._nobodys(session)
        self._is_handed = is_handed(session)
        if session.issued_id is not None or not self._is_old:
            self._session_key = session.issued_id
        return session

    async def _load_former(self, form: StorageForm) -> Session:
        """Return the session that a cookie of another engine leads to, or a new one."""
        adopting = adoption() if self._former is not None else None
        if adopting is None or self._former is None:
            return operations.start(terms())
        self._read_by = form
        in_place = form is self._forms.plain
        async for reader, judged in answers(adopting, self._former, in_place=in_place):
            known, is_old = await self._find(form, judged.id)
            if not counts(known, self._visit):
                return self._nobodys(known)
            session = adopting.session_of(judged, known, reader)
            if await self._is_cut_off(form, adopting.sign_in_of(session)):
                adopting.refuse(reader, "cut-off")
                continue
            if session is not None:
                self._is_old, self._adopts = is_old, reader if is_foreign(session) else None
                self._is_handed = is_foreign(session) or is_handed(session)
                self._session_key = session.issued_id
                session._draft.terms = terms()
                return session
        self._former = None
        return operations.start(terms())

    async def _is_cut_off(self, form: StorageForm, who: Who | None) -> bool:
        """Tell whether a session of another engine began before its user's sessions were ended."""
        rosters = terms().rosters
        if who is None or rosters is None:
            return False
        return await form.carry_out(user_plans.is_cut_off(rosters, self._forms.space, who))

    def _nobodys(self, session: Session) -> Session:
        """Note that the session of the cookie is not this request's; the cookie stays."""
        self._session_key, self._former = None, None
        self._is_nobodys = self._is_old = True
        return session

    async def _find(self, form: StorageForm, key: str) -> tuple[Session, bool]:
        plan = operations.find(key, terms(), self._forms.space, formerly=former_owners())
        del key  # as above
        session, is_old = await form.carry_out(plan)
        report(session)
        return session, is_old

    async def _exists(self, form: StorageForm, key: str | None) -> bool:
        self.accessed = True
        if not self._validate_session_key(key):
            return False
        asked = self._find(form, str(key))
        del key  # as above
        session, _ = await asked
        return session.issued_id is not None

    async def _save(self, form: StorageForm, *, must_create: bool = False) -> None:
        if must_create:
            if await self._exists(form, self._session_key):
                raise CreateError
            await self._create(form)
            return
        await self._keep(form, await self._whole(form))

    async def _create(self, form: StorageForm) -> None:
        """Save under a new key what the session holds, as far as it was read."""
        if self._held is not None and self._held._draft.device in ("proved", "unproved"):
            await self._cycle_key(form)  # a copy would not be bound
            return
        self._session_cache = operations.start(terms(), like=self._held)
        self._cleared_unread = False
        await self._keep(form, self._session_cache)
        self.modified = True

    async def _cycle_key(self, form: StorageForm) -> None:
        session = await self._whole(form)
        session.regenerate_id()
        if operations.may_sign_in(session) and not is_lost(session):
            # login() says next who signs in, and a second click is to join the first.
            self._cycles = self.modified = True
            return
        try:
            await self._keep(form, session)
        except UpdateError as gone:
            raise SessionInterrupted(str(gone)) from gone
        operations.show_kept(session)
        self.modified = True

    async def _flush(self, form: StorageForm) -> None:
        if self._former is not None and is_foreign(session := await self._get(form)):
            session.destroy()
            await form.save(session)
        ended = await self._end(form)
        self._former = None
        self._session_key, self._is_old, self._is_handed = None, not ended, False
        self._cycles = False
        self._session_cache = operations.start(terms())
        self._cleared_unread = False
        self.accessed, self.modified = True, ended

    async def _end(self, form: StorageForm, key: str | None = None) -> bool:
        """
        End what is under a key; False: the browser's cookie is to stay.

        Args:
            key: None: that of the session, if it counts in this request.
        """
        if key is None:
            if device() is not None and self._held is None:
                await self._get(form)
            if self._is_nobodys:
                return False
            key = self._session_key
        ended = self._delete(form, key)
        del key  # as above
        return await ended

    async def _delete(self, form: StorageForm, key: str | None) -> bool:
        """End what is under a key; False: the browser holds a newer key, and is to keep it."""
        if not self._validate_session_key(key):
            return True
        plan = operations.end_id(str(key), terms(), self._forms.space, formerly=former_owners())
        del key  # as above
        return await form.carry_out(plan)

    async def _whole(self, form: StorageForm) -> Session:
        """Return the session to be saved: also one that was cleared unread is read now."""
        session = await self._get(form)
        if self._cleared_unread:
            self._cleared_unread = False
            cleared, session = session, await self._load(form)
            operations.take_over(session, cleared)
            self._session_cache = session
        return session

    async def _keep(self, form: StorageForm, session: Session) -> None:
        """
        Carry the changes out.

        Raises:
            UpdateError: The session is gone, and the changes are dropped.
        """
        idle = idle_of(session, self._forms.space.clock())
        if idle <= 0:
            await self._expire(form, session)
            return
        # Only the form that read it knows what its version means.
        operations.renew(session, terms(idle), looks=self._read_by is not form)
        operations.settle_user(session)
        if self._rotates:
            operations.rotate(session)
        await form.save(session)
        report(session)
        self._noted = steps(session)
        if is_lost(session):
            raise UpdateError(_GONE)
        self._session_key = session.issued_id
        self._is_old = self._is_handed = self._cycles = self._is_nobodys = False
        if self._former is not None:
            await self._settle_former(form)

    async def _settle_former(self, form: StorageForm) -> None:
        """Note that the session of another engine is one of ours now; take its record."""
        adopting, former, self._former = adoption(), self._former, None
        if adopting is not None and former is not None:
            await settle(adopting, self._adopts, former, in_place=form is self._forms.plain)

    async def _expire(self, form: StorageForm, session: Session) -> None:
        """End a session whose expiry is in the past: the middleware then removes the cookie."""
        if self._is_nobodys or not await self._delete(form, session.issued_id):
            raise UpdateError(_GONE)
        self._session_key = self._session_key or new_id()


def _waiting(frame: FrameType) -> Any:
    """Return the response for which Django's middleware asks, in the frame of a caller, or None."""
    if frame.f_code is middleware.SessionMiddleware.process_response.__code__:
        return frame.f_locals["response"]
    return None


def _may_still_read(response: Any) -> bool:
    """Tell whether the body of a response is made while it is sent."""
    return bool(response.streaming) and not response.has_header("Content-Length")


MESSAGES = "_messages"
"""The key under which `django.contrib.messages` keeps its messages in a session."""

_GONE = "the session ended, or got another key, in another request"


class SessionMiddleware(middleware.SessionMiddleware):  # type: ignore[misc] # Django has no types
    """
    Django's own, with four answers that an engine alone cannot give. It may take its place.

    A request that changed nothing is answered without a cookie, not with 400, if its session ended,
    or got another key, while it was served. A key that is due for a new one gets it
    (`COATCHECK_OPTIONS["rotate"]`), with the response that carries it. A HEAD request leaves
    the messages of `django.contrib.messages` in the session, because no page shows them. And
    sessions are bound to the device of the sign-in (`COATCHECK_OPTIONS["bound"]`).
    """

    def process_request(self, request: Any) -> Any:
        """Give the request its session; return the response to one that a device brought about."""
        super().process_request(request)
        session, known = request.session, device()
        if known is None or not isinstance(session, SessionStore):
            return None
        session._visit = visit = DjangoVisit(request)
        if known.serves(visit):
            visit.instead = known.at_once(visit) or self._begin(known, visit, session)
            return HttpResponse() if visit.instead is None else response_of(visit.instead)
        if known.may_reload(visit):
            session._get_session()  # others are read when a view asks for them
        return None if visit.instead is None else response_of(visit.instead)

    def process_response(self, request: Any, response: Any) -> Any:
        """Save the session, set its cookie, and tell caches that the response depends on it."""
        session = getattr(request, "session", None)
        if not isinstance(session, SessionStore):
            return super().process_response(request, response)
        visit, known = session._visit, device()
        if visit is None or known is None:
            return self._leave(request, response, session)
        if visit.instead is not None:
            return response
        response = self._leave(request, response, session)
        if settings.SESSION_COOKIE_NAME in response.cookies or visit.step is not None:
            visit.session = session._get_session()  # it was saved, or is to be forgotten
        if visit.step is not None:
            return response_of(known.finish(visit, visit.step, None), response)
        amend(response, known, visit)
        return response

    def _begin(self, known: Device, visit: DjangoVisit, session: SessionStore) -> Answer | None:
        """Return the answer to a request of the browser itself; None: it is saved before that."""
        begun = known.begin(visit, session._get_session())
        if isinstance(begun, Answer):
            return begun
        visit.step = begun
        return None

    def _leave(self, request: Any, response: Any, session: SessionStore) -> Any:
        """Save the session, if there is anything to save, and set its cookie."""
        if request.method == "HEAD" and session._held is not None:
            give_back(session._held, MESSAGES)
        served = session._visit is not None and session._visit.step is not None
        only_looked, session._rotates = not session._changed, not served
        try:
            return super().process_response(request, response)
        except SessionInterrupted:
            if not (only_looked or session._is_nobodys or served):
                raise
            return response
        finally:
            session._rotates = False


django_checks.check_binding()
