"""
Sessions for Django, behind its own middleware.

    SESSION_ENGINE = "coatcheck.frameworks.django"
    COATCHECK_STORAGE = "redis://localhost:6379"

Django's `SessionMiddleware` sets the cookie, as its `SESSION_…` settings say; the cookie carries
the session's id, which Django calls its key. What is behind `request.session` is a session of ours:
a change inside a value is seen, two requests at once keep what each of them wrote, and one that was
destroyed stays gone. A save that finds it gone raises `UpdateError`, which the middleware answers
with 400.

Each operation is written once, as a coroutine over one form of the storage. Django's plain methods
run it at once, its `a…` methods await it.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from coatcheck._session.draft import Draft
from coatcheck._session.ids import is_id, new_id
from coatcheck._session.session import Session, Value
from coatcheck.frameworks.django_session import clear, empty_record, found, nothing, steps, terms
from coatcheck.frameworks.django_storage import Form, forms, now

forms()  # the middleware imports this module when the application starts: mistakes are told then


class SessionStore(SessionBase):  # type: ignore[misc] # Django has no types
    """
    One visitor's session, with all methods that Django's have.

    Args:
        session_key: From a client; it may never have been issued.
    """

    _session_key: str | None

    def __init__(self, session_key: str | None = None) -> None:
        self._forms = forms()
        self._read_by: Form | None = None
        self._cleared_unread = False
        self._flagged, self._noted = False, 0
        super().__init__(session_key)

    def apply(self, key: str, function: Callable[[Any], Value], default: Value = None) -> Value:
        """Give *key* what *function* makes of its value, as one atomic step: `Session.apply`."""
        return self._session.apply(key, function, default)

    async def aapply(
        self, key: str, function: Callable[[Any], Value], default: Value = None
    ) -> Value:
        return (await self._aget_session()).apply(key, function, default)

    @property
    def modified(self) -> bool:
        """Whether there is anything to save: a change, also inside a value, or Django says so."""
        session = vars(self).get("_session_cache")
        return self._flagged or (session is not None and steps(session) > self._noted)

    @modified.setter
    def modified(self, flag: bool) -> None:
        session = vars(self).get("_session_cache")
        self._flagged, self._noted = flag, steps(session) if session is not None else 0

    def exists(self, session_key: str | None) -> bool:
        return now(self._exists(self._forms.plain, session_key))

    async def aexists(self, session_key: str | None) -> bool:
        return await self._exists(self._forms.awaited, session_key)

    def load(self) -> Session:
        return now(self._load(self._forms.plain))

    async def aload(self) -> Session:
        return await self._load(self._forms.awaited)

    def create(self) -> None:
        now(self._create(self._forms.plain))

    async def acreate(self) -> None:
        await self._create(self._forms.awaited)

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        now(self._save(self._forms.plain, must_create=must_create))

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        await self._save(self._forms.awaited, must_create=must_create)

    def delete(self, session_key: str | None = None) -> None:
        now(self._delete(self._forms.plain, session_key or self.session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        await self._delete(self._forms.awaited, session_key or self.session_key)

    def cycle_key(self) -> None:
        now(self._cycle_key(self._forms.plain))

    async def acycle_key(self) -> None:
        await self._cycle_key(self._forms.awaited)

    def flush(self) -> None:
        now(self._flush(self._forms.plain))

    async def aflush(self) -> None:
        await self._flush(self._forms.awaited)

    def clear(self) -> None:
        """Take everything away, and keep the key. Nobody is asked before the save."""
        self.accessed = self._flagged = True
        session: Session | None = vars(self).get("_session_cache")
        if session is None:
            session = self._session_cache = self._nothing()
            self._cleared_unread = self.session_key is not None
        clear(session)

    @classmethod
    def clear_expired(cls) -> None:
        """Remove the expired records where the storage does not do it by itself."""
        forms().sweep()

    def _get_session(self, no_load: bool = False) -> Session:  # noqa: FBT001, FBT002
        return now(self._get(self._forms.plain, no_load=no_load))

    async def _aget_session(self, no_load: bool = False) -> Session:  # noqa: FBT001, FBT002
        return await self._get(self._forms.awaited, no_load=no_load)

    _session = property(_get_session)

    def _validate_session_key(self, key: object) -> bool:
        return isinstance(key, str) and is_id(key)

    def _get_new_session_key(self) -> str:
        return new_id()

    async def _aget_new_session_key(self) -> str:
        return new_id()

    async def _get(self, form: Form, *, no_load: bool = False) -> Session:
        """Return the session, reading it if that was not done yet."""
        self.accessed = True
        session: Session | None = vars(self).get("_session_cache")
        if session is None:
            absent = no_load or self.session_key is None
            session = self._session_cache = self._nothing() if absent else await self._load(form)
        return session

    async def _load(self, form: Form) -> Session:
        """Return what the storage has, and forget a key that leads nowhere."""
        self._read_by = form
        session = await found(form, self.session_key)
        if session is None:
            self._session_key = None
            return self._nothing()
        return session  # with its key also if it moved: no key, and Django removes the cookie

    async def _exists(self, form: Form, key: str | None) -> bool:
        session = await found(form, key)
        return session is not None and not session.draft.over

    async def _save(self, form: Form, *, must_create: bool = False) -> None:
        if must_create:
            if await self._exists(form, self.session_key):
                raise CreateError
            await self._create(form)
            return
        await self._keep(form, await self._whole(form))

    async def _create(self, form: Form) -> None:
        """Save under a new key what the session holds, as far as it was read."""
        held = vars(self).get("_session_cache")
        session = self._session_cache = self._nothing()
        if held is not None:
            held.draft.note_changes_in_place()
            session.draft.contents = held.draft.contents.copy()
            session.draft.live = held.draft.live
        self._cleared_unread = False
        await self._keep(form, session)
        self.modified = True

    async def _cycle_key(self, form: Form) -> None:
        session = await self._whole(form)
        draft = session.draft
        if draft.over:  # the key leads nowhere: what this request wrote starts anew
            draft.base, draft.over = empty_record(self._forms.clock()), False
        if draft.issued is None:
            draft.id, draft.moves = None, True
        else:
            session.regenerate_id()
        try:
            await self._keep(form, session)
        except UpdateError as gone:
            raise SessionInterrupted(str(gone)) from gone
        self.modified = True

    async def _flush(self, form: Form) -> None:
        await self._delete(form, self.session_key)
        self._session_key = None
        self._session_cache = self._nothing()
        self._cleared_unread = False
        self.accessed = self.modified = True

    async def _delete(self, form: Form, key: str | None) -> None:
        if self._validate_session_key(key):
            session = Session.of(Draft(issued=key, id=key))
            session.destroy()
            await form.save(session)

    async def _whole(self, form: Form) -> Session:
        """Return the session to be saved: also one that was cleared unread is read now."""
        session = await self._get(form)
        if self._cleared_unread:
            self._cleared_unread = False
            session.draft.note_changes_in_place()
            log, live = session.draft.log, session.draft.live
            session = await self._load(form)
            for change in log:
                session.draft.write(change)
            session.draft.live = live
            self._session_cache = session
        return session

    async def _keep(self, form: Form, session: Session) -> None:
        """
        Carry the changes out.

        Raises:
            UpdateError: The session is gone, and the changes are dropped.
        """
        draft = session.draft
        draft.terms = terms(session, self._forms.clock())
        if draft.terms.idle <= 0:
            await self._delete(form, draft.issued)
            self._session_key = self.session_key or new_id()
            return
        if self._read_by is not form:
            draft.version = None  # only the form that read it knows what its version means
        draft.note_changes_in_place()
        changed = draft.changed
        await form.save(session)
        self._noted = len(draft.log)
        if draft.over and changed:
            raise UpdateError("the session ended, or got another key, in another request")
        self._session_key = draft.issued

    def _nothing(self) -> Session:
        return nothing(self._forms.clock())
