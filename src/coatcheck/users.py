"""
The sessions of a user: to list them, and to end them.

    users = Users(cookie, storage)
    app = coatcheck.session(cookie, storage, users=users)(app)

    users.sessions_of("42", current=session)    a page "Your devices"
    users.end("42", handle)                     sign out one of them
    users.end_others(session)                   after a change of the password
    users.end_all("42")                         from a worker, too

Each user has a roster: one record that lists the sessions. `session.sign_in` enters the session in
it, and no backend needs an index. Names of this module are for applications; `roster_plans` has the
rules.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.cycle import clock_of
from coatcheck._request.events import OnEvent, Reporter
from coatcheck._request.options import check_kinds, check_sealed
from coatcheck._session import user_plans
from coatcheck._session.events import Happened
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.record import Who, owner_of
from coatcheck._session.revocations import digests_of
from coatcheck._session.roster_plans import Rosters
from coatcheck._session.row_cipher import RowCipher
from coatcheck._session.session import Session
from coatcheck._session.sign_in import User, text_of
from coatcheck._session.user_plans import UserSession
from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import Duration, seconds_of
from coatcheck.storage.async_revocable import AsyncRevocableStorage
from coatcheck.storage.cookie import CookieStorage
from coatcheck.storage.keyed import AsyncKeyedStorage, KeyedStorage
from coatcheck.storage.migrating.async_from_cookie import AsyncFromCookie
from coatcheck.storage.migrating.from_cookie import FromCookie
from coatcheck.storage.protocol import SessionStorage, powers_of
from coatcheck.storage.revocable import RevocableStorage
from coatcheck.storage.two_forms import TwoForms
from coatcheck.storage.uncached import uncached
from coatcheck.storage.watch import Watch

__all__ = ["AsyncUsers", "UserSession", "Users"]

MOST = 1000
"""Sessions that a roster can list: so it fits into a record, whatever their labels are."""

CUT_OFF = 400 * 24 * 3600.0
"""Seconds for which a cut-off stays without `lifetime`: as long as a browser keeps a cookie."""

T = TypeVar("T")


class ShowsSession(Protocol):
    """The session of a framework, such as Django's or Pyramid's, over one of ours."""

    @property
    def own(self) -> Session:
        """The session behind it."""


AnySession = Session | ShowsSession
"""The session of a request, as its framework hands it out."""


class Users:
    """
    The users of one cookie and storage.

    Args:
        cookie: As in `session(cookie, storage)`.
        storage: Likewise: where the sessions are.
        rosters: Another storage for the lists, where the sessions' own cannot hold them: Memcached
            may evict a list before its sessions. None: the sessions' own.
        max_sessions: Sessions that a user may have, from 1 to 1000: the oldest end when a newer one
            signs in.
        check_every: The time after which a process asks again which sessions ended, where cookies
            carry the sessions. In seconds, or a timedelta.
        on_event: A function that is called with an `Event` for each session that a method ends, as
            in `session(on_event=...)`. None: nothing is called.

    Raises:
        ConfigurationError: An argument is of another kind or out of its range, or the storage
            cannot keep lists.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        *,
        rosters: SessionStorage | None = None,
        max_sessions: int = MOST,
        check_every: Duration = 5.0,
        on_event: OnEvent | None = None,
    ) -> None:
        check_kinds(cookie, storage)
        check_sealed(cookie)
        if isinstance(max_sessions, bool) or not isinstance(max_sessions, int):
            raise ConfigurationError(f"max_sessions must be a number, got {max_sessions!r}")
        if not 1 <= max_sessions <= MOST:
            raise ConfigurationError(f"max_sessions must be from 1 to {MOST}, got {max_sessions}")
        seconds = seconds_of("check_every", check_every)
        keeper = storage if rosters is None else rosters
        if isinstance(storage, CookieStorage) and rosters is None:
            raise ConfigurationError(
                "Users needs rosters= with CookieStorage, which has no server: for example "
                "Users(cookie, CookieStorage(), rosters=SqliteStorage(path))"
            )
        place = TwoForms(_keyed(keeper, "rosters" if rosters is not None else "storage"))
        _check_eviction(keeper, given=rosters is not None)
        self._cookie = cookie
        self._storage = storage
        self._reporter = None
        if on_event is not None:
            clock = clock_of(storage)
            self._reporter = Reporter(cookie.secrets[0], on_event, clock)
        self._rosters = Rosters(
            owners=(owner_of(cookie.name),),
            limit=max_sessions,
            lasts=CUT_OFF,
            cipher=RowCipher(cookie.secrets) if place.space.cipher else None,
            unwarned={"eviction"},
        )
        if isinstance(storage, CookieStorage):
            self._carry(storage, place, seconds)
        else:
            self._keep(storage, place if rosters is not None else None)
            if isinstance(storage, FromCookie | AsyncFromCookie):
                self._watch_cookies(storage, place, seconds)

    def _keep(self, storage: SessionStorage, place: TwoForms | None) -> None:
        """Set up for sessions that are records; *place*: of the lists, if it is another one."""
        self._sessions = TwoForms(_keyed(storage, "storage"))
        self._kept: SessionStorage = storage
        self._space = self._sessions.space
        if place is None:
            return
        if not self._sessions.fits(place):
            raise ConfigurationError(
                f"rosters must have plain methods, as {type(storage).__name__} has them, got "
                f"{type(place.storage).__name__}, whose methods are awaited: use the plain form of "
                "its client"
            )
        self._rosters = replace(self._rosters, space=place.space, place=place)

    def _watch_cookies(
        self, storage: FromCookie | AsyncFromCookie, place: TwoForms, check_every: float
    ) -> None:
        """Let cookies whose sessions did not move yet be over as they were before: see `_carry`."""
        rosters = replace(self._rosters, revocations=digests_of(self._rosters.owners[0]))
        watch = Watch(rosters, place.space, check_every)

        def watched(storage: AsyncFromCookie) -> AsyncFromCookie:
            assert isinstance(storage.old, CookieStorage)  # noqa: S101 - `Migrating` made it
            lists = place.async_records
            old = AsyncRevocableStorage(storage.old, lists, place.space, watch)
            return AsyncFromCookie(old, storage.new)

        if isinstance(storage, AsyncFromCookie):
            self._kept = watched(storage)
            return
        assert isinstance(storage.old, CookieStorage)  # noqa: S101 - `Migrating` made it
        plain = RevocableStorage(storage.old, place.records, place.space, watch)
        kept = FromCookie(plain, storage.new)
        kept.aio = watched(storage.aio) if isinstance(storage.aio, AsyncFromCookie) else None
        self._kept = kept

    def _carry(self, storage: CookieStorage, place: TwoForms, check_every: float) -> None:
        """Set up for sessions that cookies carry."""
        self._sessions = place
        digests = digests_of(self._rosters.owners[0])
        self._rosters = replace(self._rosters, revocations=digests)
        self._space = replace(place.space, clock=storage.clock)
        watch = Watch(self._rosters, self._space, check_every)
        aio = AsyncRevocableStorage(storage, place.async_records, self._space, watch)
        self._kept = aio
        if place.plain is not None:
            plain = RevocableStorage(storage, place.plain, self._space, watch)
            plain.aio = aio
            self._kept = plain

    @property
    def aio(self) -> "AsyncUsers":
        """The same methods, awaited."""
        return AsyncUsers(self)

    def sessions_of(self, user: User, *, current: AnySession | None = None) -> list[UserSession]:
        """
        Return the sessions of a user that are alive now, newest use first.

        Args:
            current: The session of this request: one of those may be it.

        Raises:
            BackendError: The server failed.
            ConfigurationError: The storage has only methods that are awaited: use `aio`.
        """
        return self._ask(partial(user_plans.sessions_of, user=user, current=_behind(current)))

    def end(self, user: User, handle: str) -> bool:
        """
        End one session of a user, and return True if it was there.

        Args:
            handle: From `sessions_of`; it may come from a client: only a session of this user ends.

        Raises:
            BackendError, ConfigurationError: See `sessions_of`.
        """
        ended = self._ask(partial(user_plans.end, user=user, handle=handle))
        return self._told("end", user, ended) > 0

    def end_others(self, session: AnySession) -> int:
        """
        End every session of the signed-in user but this one, and return how many.

        Call it after a change of the password: `session.confirm(pin=new)`, then this.

        Raises:
            ConfigurationError: No user is signed in, or another user acts as this one; see also
                `sessions_of`.
            BackendError: The server failed.
        """
        own = _known(session)
        ended = self._ask(partial(user_plans.end_others, session=own))
        return self._told("end_others", user_plans.user_of(own), ended)

    def end_all(self, user: User, *, current: AnySession | None = None) -> int:
        """
        End every session of a user, and return how many. Sign-ins that began before are refused.

        Args:
            current: The session of this request, which may sign the user in afterwards.

        Raises:
            BackendError, ConfigurationError: See `sessions_of`.
        """
        ended = self._ask(partial(user_plans.end_all, user=user, current=_behind(current)))
        return self._told("end_all", user, ended)

    def _rosters_of(
        self, cookie: Cookie, storage: SessionStorage, lifetime: float | None
    ) -> Rosters:
        """Return where the sessions of a middleware are listed: see `ListsSessions`."""
        if storage is not self._storage:
            raise ConfigurationError(
                "users must be made with the storage that session() gets: "
                "users = Users(cookie, storage); session(cookie, storage, users=users)"
            )
        own = self._cookie
        if cookie is not own and (cookie.name, cookie.secrets) != (own.name, own.secrets):
            raise ConfigurationError(
                f"users must be made with the cookie that session() gets, {cookie.name!r}, got "
                f"one for {own.name!r}, or with other secrets"
            )
        if lifetime is not None:
            self._rosters = replace(self._rosters, lasts=lifetime)
        return self._rosters

    def _storage_of(self, storage: SessionStorage) -> SessionStorage:
        """Return what reads and saves the sessions: see `ListsSessions`."""
        return self._kept if storage is self._storage else storage

    def _is_cut_off(self, who: Who) -> bool:
        """Tell whether a sign-in began before its user's sessions were ended."""
        return self._ask(partial(user_plans.is_cut_off, who=who))

    def _told(self, reason: str, user: User, ended: Collection[str]) -> int:
        """Report the sessions that ended, by their handles; return how many."""
        if self._reporter is not None:
            for handle in ended:
                self._reporter.tell(Happened("ended", reason, handle, text_of(user)))
        return len(ended)

    def _ask(self, plan: Callable[[Rosters, Keyspace], Plan[T]]) -> T:
        if self._sessions.plain is None:
            raise ConfigurationError(
                f"{type(self._storage).__name__} has only methods that are awaited: use users.aio"
            )
        with uncached():
            return self._sessions.records._carry_out(plan(self._rosters, self._space))

    def __repr__(self) -> str:
        return f"<Users of {self._cookie.name}>"


class AsyncUsers:
    """The methods of `Users`, awaited."""

    def __init__(self, users: Users) -> None:
        self._users = users

    async def sessions_of(
        self, user: User, *, current: AnySession | None = None
    ) -> list[UserSession]:
        """Do what `Users.sessions_of` does."""
        return await self._ask(partial(user_plans.sessions_of, user=user, current=_behind(current)))

    async def end(self, user: User, handle: str) -> bool:
        """Do what `Users.end` does."""
        ended = await self._ask(partial(user_plans.end, user=user, handle=handle))
        return self._users._told("end", user, ended) > 0

    async def end_others(self, session: AnySession) -> int:
        """Do what `Users.end_others` does."""
        own = _known(session)
        ended = await self._ask(partial(user_plans.end_others, session=own))
        return self._users._told("end_others", user_plans.user_of(own), ended)

    async def end_all(self, user: User, *, current: AnySession | None = None) -> int:
        """Do what `Users.end_all` does."""
        ended = await self._ask(partial(user_plans.end_all, user=user, current=_behind(current)))
        return self._users._told("end_all", user, ended)

    async def _is_cut_off(self, who: Who) -> bool:
        return await self._ask(partial(user_plans.is_cut_off, who=who))

    async def _ask(self, plan: Callable[[Rosters, Keyspace], Plan[T]]) -> T:
        sessions = self._users._sessions
        plan_of_user = plan(self._users._rosters, self._users._space)
        with uncached():
            return await sessions.async_records._carry_out(plan_of_user)

    def __repr__(self) -> str:
        return f"<AsyncUsers of {self._users._cookie.name}>"


def _behind(session: AnySession | None) -> Session | None:
    return None if session is None else _known(session)


def _known(session: AnySession) -> Session:
    """
    Return the session behind that of a framework.

    Raises:
        TypeError: It is none.
    """
    own = session if isinstance(session, Session) else getattr(session, "own", None)
    if not isinstance(own, Session):
        raise TypeError(f"session must be that of a request, got {type(session).__name__}")
    return own


def _keyed(storage: Any, name: str) -> KeyedStorage | AsyncKeyedStorage:
    if isinstance(storage, KeyedStorage | AsyncKeyedStorage) and storage.powers.rotates:
        return storage
    raise ConfigurationError(
        f"{name} must be a storage that keeps records, such as RedisStorage or SqlStorage, got "
        f"{type(storage).__name__}"
    )


def _check_eviction(keeper: object, *, given: bool) -> None:
    if not powers_of(keeper).may_evict:
        return
    name = type(keeper).__name__
    if given:
        raise ConfigurationError(
            f"rosters must be a storage that keeps what it is given, got {name}, whose server may "
            "evict a list before its sessions: use RedisStorage, SqlStorage or SqliteStorage"
        )
    raise ConfigurationError(
        f"Users needs rosters= with {name}: its server may evict the list of a user's sessions, "
        "and then 'sign out everywhere' would miss some. Keep the lists elsewhere, for example "
        "Users(cookie, storage, rosters=SqlStorage(engine))"
    )
