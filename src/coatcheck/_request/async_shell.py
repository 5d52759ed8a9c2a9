"""
The path of a request through its session: the four things that every host asks for.

    read(visit)      before the handler: the session, in its place; or an answer to send at once
    leave(visit)     before the headers leave: saves; returns what to add to the headers
    end(visit)       after the body: saves what came late; later changes raise
    close()          when the application shuts down

`shell` is the same text without `async` and `await`, written by `scripts/twins`.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from coatcheck._cookie.sealing import Opened
from coatcheck._cookie.tracebacks import forget_our_frames
from coatcheck._request.adoption import Adoption
from coatcheck._request.async_calls import AsyncCalls, done
from coatcheck._request.cycle import CANDIDATES, Cycle, Due
from coatcheck._request.device import BUSY, Device
from coatcheck._request.visit import Answer, Changes, Theirs, Visit
from coatcheck._session.lifecycle import is_current
from coatcheck._session.session import Session
from coatcheck.errors import BackendError, SessionError
from coatcheck.storage.uncached import uncached

_logger = logging.getLogger("coatcheck")


class AsyncShell:
    """
    The sessions of one application.

    Args:
        cycle: Decides; the shell makes the calls in between.
    """

    def __init__(self, cycle: Cycle) -> None:
        self.cycle = cycle
        self._calls = AsyncCalls(cycle.storage)
        if cycle.adoption is not None:
            self._calls.check_readers(cycle.adoption.readers)

    async def read(self, visit: Visit) -> Answer | None:
        """
        Give a request its session, or return an answer to send at once.

        Raises:
            BackendError: The storage failed, and `on_outage` says so.
            ConfigurationError: The storage returned no session.
        """
        cycle = self.cycle
        if cycle.device is not None and cycle.device.serves(visit):
            return await self._serve(visit, cycle.device)
        if cycle.skip and cycle.passes_over(visit):
            return None
        candidates = cycle.cookie.candidates(visit.cookies) if visit.cookies else ()
        reporter = cycle.reporter
        begun = reporter.monotonic() if reporter is not None else 0.0
        if not candidates and cycle.starts_empty:
            if cycle.adoption is None or not visit.cookies:
                cycle.begin(visit)
                return None
            found: object = Session()
        elif len(candidates) > 1:
            found = await self._first_living(visit, candidates[:CANDIDATES])
        else:
            visit.opened = opened = candidates[0] if candidates else None
            try:
                found = self._calls.read(opened.text if opened else None)
                while type(found) is not Session and hasattr(found, "__await__"):  # awaited only
                    found = await found  # `done` would be one more coroutine to step through
            except BackendError as error:
                found = cycle.outages.unread(error)
        if cycle.adoption is not None and type(found) is not Answer:
            found = await self._adopt(visit, cycle.adoption, found)
        if type(found) is Answer:
            return found
        answer = cycle.admit(visit, found)
        if reporter is not None and answer is None:
            cycle.was_read(visit.session, begun)
        return answer

    async def leave(
        self, visit: Visit, *, failed: bool = False, headers: Iterable[tuple[Any, Any]] = ()
    ) -> Changes:
        """
        Save the session, and return what to add to the headers, which are about to leave.

        Args:
            failed: The request failed: nothing of it is kept.
            headers: Of the response so far: they may set the session's cookie already.

        Raises:
            BackendError, SessionConflict, UnstorableValue, RecordTooLarge, CookieTooLarge: The
                session is not kept; the answer to this error is sent without one.
        """
        due = self.cycle.leaving(visit, headers, failed=failed)
        return await self.carry_out(visit, due) if due else self.cycle.changes(visit, None)

    async def carry_out(self, visit: Visit, due: Due) -> Changes:
        """Do what `Cycle.leaving` found due, and return what to add to the headers."""
        cycle, session, value = self.cycle, visit.session, None
        try:
            value = await self._save(session, visit) if due == "save" else None
            set_cookie = cycle.answer(visit, value)
        except BackendError as error:
            value = None  # it may be an id, and error reporters print the locals of a frame
            cycle.abandon(session)
            return cycle.outages.unkept(error)
        except BaseException as error:
            value = None
            cycle.abandon(session)
            forget_our_frames(error)
            raise
        cycle.saved(session)
        changes = cycle.changes(visit, set_cookie)
        if visit.theirs is not None and cycle.adoption is not None:
            changes = await self._settle(visit, visit.theirs, cycle.adoption, changes, value)
        if value is None and changes.set_cookies:
            return await self.recheck(visit, changes)
        return changes

    async def recheck(self, visit: Visit, changes: Changes) -> Changes:
        """
        Return the changes, without the session's cookie if that leads to no living session by now.

        For a host in which time passes between `leave` and the headers: a slow answer must not put
        an older cookie over a newer one.
        """
        session = visit.session
        if not self.cycle.gives_id(session, changes):
            return changes
        try:
            with uncached():
                found = await done(self._calls.read(session._draft.issued))
        except BackendError:
            return changes  # nothing tells that the session ended
        return changes if is_current(session, found) else self.cycle.without_cookie(changes)

    async def end(self, visit: Visit, *, failed: bool = False) -> None:
        """
        Save what changed after the headers left; a later change raises.

        Args:
            failed: The request failed: nothing more of it is kept.
        """
        cycle, session = self.cycle, visit.session
        if failed:
            cycle.abandon(session)
            return
        if cycle.is_done(session):
            return
        try:
            if cycle.is_late(session):
                await self._save(session, visit)
        except BaseException as error:
            forget_our_frames(error)
            if not cycle.drops(session, error):
                raise
        finally:
            cycle.end(session)

    async def save(self, session: Session) -> None:
        """
        Save what a request did so far; a cookie that this makes due leaves with the response.

        Raises:
            BackendError, SessionConflict, UnstorableValue, RecordTooLarge: The changes are not
                kept yet; the end of the request saves them, if it can.
        """
        if not self.cycle.is_due(session):
            return
        self.cycle.saved_early(session, await self._save(session))

    async def reload(self, session: Session) -> None:
        """
        Save what a request did so far, and read the session again.

        Raises:
            BackendError: The session stays as it is; else as `save`.
        """
        await self.save(session)
        if not self.cycle.can_reload(session):
            return
        try:
            with uncached():
                found = await done(self._calls.read(self.cycle.value_to_reload(session)))
        except BackendError as error:
            self.cycle.outages.note(error)
            raise
        self.cycle.renew(session, found)

    async def close(self) -> None:
        """Release what the storage opened; it is opened again when it is used again."""
        await self._calls.close()

    async def _serve(self, visit: Visit, device: Device) -> Answer:
        """Answer a request of the browser itself, which binds a session or proves its device."""
        at_once = device.at_once(visit)
        if at_once is not None:
            return at_once
        cycle = self.cycle
        candidates = cycle.cookie.candidates(visit.cookies or "")
        if len(candidates) > 1:
            found = await self._first_living(visit, candidates[:CANDIDATES])
        else:
            found = await self._read(candidates[0]) if candidates else Session()
        if type(found) is Answer:
            return found
        session = visit.session = cycle.under_terms(found)
        step = device.begin(visit, session)
        if isinstance(step, Answer):
            return step
        value = None
        try:
            value = await self._save(session, visit)
            return device.finish(visit, step, cycle.answer(visit, value))
        except BackendError as error:
            value = None  # it may be an id, and error reporters print the locals of a frame
            return cycle.outages.unkept(error).instead or BUSY
        except BaseException as error:
            value = None
            forget_our_frames(error)
            raise

    async def _read(self, opened: Opened) -> object:
        try:
            return await done(self._calls.read(opened.text))
        except BackendError as error:
            return self.cycle.outages.unread(error)

    async def _adopt(self, visit: Visit, adoption: Adoption, found: object) -> object:
        """Return the session of another package, if the request has none of ours."""
        theirs = adoption.theirs(visit)
        if not theirs:
            return found
        if not adoption.is_due(found):
            visit.theirs = theirs[0]._replace(beside=True)
            adoption.note_beside(theirs[0])
            return found
        now = adoption.now
        for each in theirs:
            session = await self._adopted(visit, adoption, each, now)
            if session is not None:
                visit.theirs = each._replace(first=adoption.is_first(session))
                return session
        return found

    async def _adopted(
        self, visit: Visit, adoption: Adoption, theirs: Theirs, now: float
    ) -> object | None:
        """Return the session that the cookies of one package lead to, or None."""
        try:
            answer = self._calls.look(theirs, now, visit.kept_keys)
            judged = adoption.judged(theirs.reader, await done(answer))
            if judged is None:
                return None
            known: object = Session()
            if adoption.leaves_markers:
                known = await self._read(Opened(judged.id, stale=False))
            if type(known) is Answer:
                return known
            session = adoption.session_of(judged, known, theirs.reader)
            who, users = adoption.sign_in_of(session), self.cycle.users
            if who is None or users is None:
                return session
            if not await done(self._calls.is_cut_off(users, who)):
                return session
        except BackendError as error:
            return self.cycle.outages.unread(error)
        adoption.refuse(theirs.reader, "cut-off")
        return None

    async def _settle(
        self, visit: Visit, theirs: Theirs, adoption: Adoption, changes: Changes, value: str | None
    ) -> Changes:
        """Return the changes and the removal of another package's cookies; take its record."""
        session = visit.session
        if theirs.first and session._draft.issued is not None:
            adoption.note_adopted(theirs.reader)
            if theirs.reader.take:
                await self._take(theirs)
        ended = value == "" or session._draft.fate == "ends"
        return adoption.with_removals(theirs, changes, ended=ended)

    async def _take(self, theirs: Theirs) -> None:
        """Delete the record of another package, whose session is one of ours now."""
        try:
            await done(self._calls.forget(theirs))
        except BackendError as error:
            _logger.warning("the record of an adopted session stays where it was: %s", error)

    async def _save(self, session: Session, visit: Visit | None = None) -> str | None:
        """
        Save the session, and tell of it.

        Args:
            visit: If the save ends the session, those of its further cookies of our name end, too.
        """
        cycle = self.cycle
        begun = 0.0 if cycle.reporter is None else cycle.reporter.monotonic()
        try:
            saved = self._calls.save(session)
            while not (saved is None or isinstance(saved, str)):  # awaited only
                saved = await saved
            value: str | None = saved
        except BackendError as error:
            cycle.outages.unsaved(session, error)
            return None
        except SessionError as error:
            cycle.failed(error)
            raise
        if cycle.reporter is not None:
            cycle.was_saved(session, begun)
        if visit is not None and visit.others and (value == "" or session._draft.fate == "ends"):
            await self._end_others(visit)
        return value

    async def _first_living(self, visit: Visit, candidates: Sequence[Opened]) -> object:
        """Return the first living session of several cookies of our name."""
        first: object = None
        for opened in candidates:
            session = await self._read(opened)
            if first is None:
                first = session
            if type(session) is Answer:
                return session
            if isinstance(session, Session) and self.cycle.is_living(visit, session):
                self.cycle.note_twins(len(candidates))
                visit.opened, first = opened, session
                break
        visit.others = tuple(each.text for each in candidates if each is not visit.opened)
        return first

    async def _end_others(self, visit: Visit) -> None:
        """End the sessions of further cookies of our name."""
        for number in range(len(visit.others)):
            found = await done(self._calls.read(visit.others[number]))
            session = self.cycle.ended_too(visit, found)
            if session is not None:
                await done(self._calls.save(session))
                self.cycle.tell_of_other(session)
