"""Sessions that move between cookies and a storage on a server, while both serve."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from coatcheck import Cookie, Session
from coatcheck._session.record import GRACE
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    Migrating,
    RedisStorage,
    SqliteStorage,
)
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.backends.threaded import ThreadedBackend
from coatcheck.storage.clock import system_clock
from coatcheck.storage.cookie import FITS
from coatcheck.testing import Clock, StorageContract
from coatcheck.testing.backend_contract import Make
from tests.hosts import COOKIE, Browser, Front, Wsgi
from tests.storage_kinds import Made, front_of
from tests.test_races import counts, destroys, gets, overtake, race, regenerates, sets

DAY = 24 * 3600


class Begun:
    """A migration whose new sessions lie in the old storage, as if made before it began."""

    def __init__(self, old: Any, both: Any) -> None:
        self.old, self.both = old, both

    def read(self, value: str | None) -> Session:
        read: Session = self.both.read(value)
        return read

    def save(self, session: Session) -> str | None:
        storage = self.old if session.is_new and not session.destroyed else self.both
        saved: str | None = storage.save(session)
        return saved


class TestFromCookie(StorageContract):
    """Every rule of a storage, those that no cookie can keep among them."""

    @pytest.fixture
    def make(self) -> Make:
        return lambda: Migrating(CookieStorage(), MemoryStorage())


class TestSessionsThatLeaveTheCookie(StorageContract):
    """The same for sessions that lie in a cookie and move in the middle of it."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Iterator[Make]:
        both = Migrating(CookieStorage(), SqliteStorage(tmp_path / "db"))
        yield lambda: Begun(CookieStorage(), both)
        both.close()


class TestAsyncFromCookie(StorageContract):
    """The same, awaited."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        @asynccontextmanager
        async def storage() -> AsyncIterator[Any]:
            both = Migrating(CookieStorage(), SqliteStorage(tmp_path / "db"))
            yield both.aio
            assert both.aio
            await both.aio.close()
            both.close()

        return storage


class TestIntoCookie(StorageContract):
    """Every rule that a cookie can keep."""

    keeps_every_update = False
    revocable = False

    @pytest.fixture
    def make(self) -> Make:
        return lambda: Migrating(MemoryStorage(), CookieStorage())


class TestSessionsThatGoIntoTheCookie(StorageContract):
    """What lies on the server can be revoked until it moves; what two wrote at once cannot last."""

    keeps_every_update = False

    @pytest.fixture
    def make(self) -> Make:
        old = MemoryStorage()
        return lambda: Begun(old, Migrating(old, CookieStorage()))


class TestAsyncIntoCookie(StorageContract):
    """The same, awaited."""

    keeps_every_update = False
    revocable = False

    @pytest.fixture
    def make(self) -> Make:
        old = AsyncKeyedStorage(ThreadedBackend(MemoryBackend(max_records=100, clock=system_clock)))
        return lambda: Migrating(old, CookieStorage())


# Over HTTP: a browser that the old storage signed in

FRONTS = ["wsgi", "asgi", "wsgi-waiting", "asgi-waiting"]


@pytest.fixture(params=FRONTS)
def new(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[KeyedStorage]:
    """A storage on a server: in memory, or in SQLite, which waits."""
    if "waiting" not in request.param:
        yield MemoryStorage(clock=clock)
        return
    storage = SqliteStorage(tmp_path / "db", clock=clock)
    yield storage
    storage.close()


def opened(request: pytest.FixtureRequest, storage: Any) -> Iterator[Front]:
    name = request.node.callspec.params["new"].partition("-")[0]
    with front_of(name, Made(storage, storage.aio and storage.aio.close)) as front:
        yield front


@pytest.fixture
def out(request: pytest.FixtureRequest, clock: Clock, new: KeyedStorage) -> Iterator[Front]:
    """From cookies to the server."""
    yield from opened(request, Migrating(CookieStorage(clock=clock), new))


@pytest.fixture
def into(request: pytest.FixtureRequest, clock: Clock, new: KeyedStorage) -> Iterator[Front]:
    """From the server into cookies."""
    yield from opened(request, Migrating(new, CookieStorage(clock=clock)))


@pytest.fixture
def carried(out: Front, clock: Clock) -> Browser:
    """A browser whose session lies in its cookie."""
    return signed_in(out, CookieStorage(clock=clock))


@pytest.fixture
def known(into: Front, new: KeyedStorage) -> Browser:
    """A browser whose session lies on the server."""
    return signed_in(into, new)


def signed_in(front: Front, old: CookieStorage | KeyedStorage) -> Browser:
    before = Wsgi(old).browser()
    before.ask(sets("user", 1))
    browser = front.browser()
    browser.header = before.header
    return browser


def copy_of(front: Front, browser: Browser) -> Browser:
    copy = front.browser()
    copy.header = browser.header
    return copy


def test_a_session_moves_out_of_the_cookie_with_its_first_write(
    out: Front, new: KeyedStorage, carried: Browser
) -> None:
    """A look at it moves nothing; then the cookie carries the id it had, and no more."""
    was = carried.value
    assert was
    assert carried.ask(gets("user")).all("set-cookie") == []
    carried.ask(sets("cart", [1]))
    assert carried.value == was[:40]
    assert dict(new.read(carried.value)) == {"user": 1, "cart": [1]}
    assert carried.ask(dict).json == {"user": 1, "cart": [1]}
    assert out.read(was)["cart"] == [1]


def test_a_refresh_moves_a_session_out_of_the_cookie(
    carried: Browser, clock: Clock, new: KeyedStorage
) -> None:
    """So all that are used have moved when the longest of them would have died."""
    clock.advance(2 * DAY)
    assert carried.ask(gets("user")).json == 1
    assert new.read(carried.value)["user"] == 1


def test_copies_of_a_cookie_meet_in_one_record(out: Front, carried: Browser) -> None:
    """Twenty requests bring the same cookie; none of what they write is lost."""
    race(out, carried.header, [sets(f"key{i}", i) for i in range(10)] + [counts] * 10)
    assert carried.ask(dict).json == {"user": 1, "n": 10, **{f"key{i}": i for i in range(10)}}


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_of_the_cookie_is_dead_after_sign_out(
    out: Front, carried: Browser, clock: Clock, *, moved: bool
) -> None:
    """Until the deadline inside it, and after; a new session can be begun with it."""
    copy = copy_of(out, carried)
    if moved:
        carried.ask(sets("seen"))
    carried.ask(destroys)
    for seconds in (0, GRACE + 1, 13 * DAY, 2 * DAY):
        clock.advance(seconds)
        assert out.read(copy.value).is_new
    copy.ask(sets("user", 2))
    assert copy.ask(dict).json == {"user": 2}


def test_a_copy_that_was_refreshed_later_is_dead_after_sign_out(
    out: Front, carried: Browser, clock: Clock
) -> None:
    """Whoever copied the cookie could have it refreshed before the migration began."""
    clock.advance(10 * DAY)
    later = Wsgi(CookieStorage(clock=clock)).browser()
    later.header = carried.header
    later.ask(gets("user"))
    assert later.header != carried.header
    copy = copy_of(out, later)
    carried.ask(destroys)
    clock.advance(5 * DAY)
    assert out.read(copy.value).is_new


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_of_the_cookie_is_dead_after_a_new_id(
    out: Front, carried: Browser, clock: Clock, *, moved: bool
) -> None:
    """Also when the marker's own time is over."""
    copy = copy_of(out, carried)
    if moved:
        carried.ask(sets("seen"))
    carried.ask(regenerates)
    for seconds in (0, GRACE + 1, 12 * DAY):
        clock.advance(seconds)
        assert not out.read(copy.value)
    assert carried.ask(gets("user")).json == 1


def test_a_destroy_that_overtakes_a_move_out_holds(out: Front, carried: Browser) -> None:
    """What was restored from the cookie before is not claimed after."""
    answers = overtake(out, carried.header, sets("late"), destroys)
    assert [answer.all("set-cookie") != [] for answer in answers] == [False, True]
    assert out.read(carried.value).is_new


def test_a_move_out_that_overtakes_a_destroy_is_destroyed(out: Front, carried: Browser) -> None:
    """The record that was claimed meanwhile goes too."""
    was = carried.value
    _, moves = overtake(out, carried.header, destroys, sets("fast"))
    assert moves.all("set-cookie")
    assert out.read(was).is_new
    assert was and out.read(was[:40]).is_new


def test_a_new_id_while_the_session_moves_out(out: Front, carried: Browser) -> None:
    """What the other request wrote moves along; the old id and the old cookie lead nowhere."""
    was = carried.value
    moves, _ = overtake(out, carried.header, regenerates, sets("fast", 1))
    carried.header = moves.all("set-cookie")[0].partition(";")[0]
    assert carried.ask(dict).json == {"user": 1, "fast": 1}
    assert was and not out.read(was) and not out.read(was[:40])


def test_a_cookie_that_expired_moves_nowhere(carried: Browser, clock: Clock) -> None:
    """Its deadline is inside it."""
    clock.advance(15 * DAY)
    assert carried.ask(dict).json == {}


def test_a_session_moves_into_the_cookie_with_its_first_write(
    into: Front, new: KeyedStorage, known: Browser, clock: Clock
) -> None:
    """A look at it moves nothing; then the cookie carries it all, and the server has no record."""
    was = known.value
    assert known.ask(gets("user")).all("set-cookie") == []
    known.ask(sets("cart", [1]))
    assert dict(CookieStorage(clock=clock).read(known.value)) == {"user": 1, "cart": [1]}
    assert not new.read(was) and not into.read(was)
    assert known.ask(dict).json == {"user": 1, "cart": [1]}


def test_a_refresh_moves_a_session_into_the_cookie(known: Browser, clock: Clock) -> None:
    """At the latest."""
    clock.advance(2 * DAY)
    assert known.ask(gets("user")).json == 1
    assert CookieStorage(clock=clock).read(known.value)["user"] == 1


def test_one_of_many_moves_a_session_into_the_cookie(into: Front, known: Browser) -> None:
    """The others send no cookie: nobody is signed out, and nothing comes back."""
    was = known.value
    answers = race(into, known.header, [sets(f"key{i}") for i in range(10)])
    (line,) = [line for answer in answers for line in answer.all("set-cookie")]
    known.header = line.partition(";")[0]
    assert known.ask(gets("user")).json == 1
    assert not into.read(was)


@pytest.mark.parametrize("late", [sets("late"), regenerates])
def test_a_destroy_that_overtakes_a_move_in_holds(
    into: Front, known: Browser, late: Callable[[Session], object]
) -> None:
    """The request that was under way finds nothing to move."""
    moves, ended = overtake(into, known.header, late, destroys)
    assert moves.all("set-cookie") == []
    assert "Max-Age=0;" in ended.all("set-cookie")[0]
    assert into.read(known.value).is_new


def test_a_new_id_while_the_session_moves_in(into: Front, known: Browser) -> None:
    """Each that signs in gets a session of its own; what had moved stays where it is."""

    def signs_in(session: Session) -> None:
        session["name"] = "Ada"
        session.regenerate_id()

    both = overtake(into, known.header, signs_in, sets("fast"))
    slow, fast = [answer.all("set-cookie")[0].partition(";")[0] for answer in both]
    known.header = slow
    assert known.ask(dict).json == {"name": "Ada"}
    known.header = fast
    assert known.ask(dict).json == {"user": 1, "fast": True}


def test_a_sign_in_while_the_session_moves_in(into: Front, known: Browser) -> None:
    """It is not lost: it begins a session of its own."""
    slow, _ = overtake(into, known.header, lambda session: session.sign_in("ada"), sets("fast"))
    known.header = slow.all("set-cookie")[0].partition(";")[0]
    assert known.ask(lambda session: session.signed_in and session.signed_in.user).json == "ada"
    assert known.ask(dict).json == {}


def test_a_move_in_that_overtakes_a_destroy_is_destroyed(into: Front, known: Browser) -> None:
    """Only the cookie has the session by then, and the sign-out removes that."""
    slow, fast = overtake(into, known.header, destroys, sets("fast"))
    assert fast.all("set-cookie")
    assert "Max-Age=0;" in slow.all("set-cookie")[0]
    late = known.ask(destroys)
    assert "Max-Age=0;" in late.all("set-cookie")[0]


def test_a_session_too_large_for_a_cookie_stays_on_the_server(
    new: KeyedStorage, known: Browser
) -> None:
    """It is served there all the same, gets a new id there, and moves when it has shrunk."""
    known.ask(sets("filler", "x" * 3000))
    assert known.ask(gets("user")).json == 1
    was = known.value
    known.ask(regenerates)
    assert known.value != was
    assert new.read(known.value)["user"] == 1
    known.ask(lambda session: session.unset("filler"))
    assert not new.read(known.value)
    assert known.ask(dict).json == {"user": 1}


def test_a_session_that_stays_can_be_saved_again(clock: Clock) -> None:
    """The second save builds on what the first one left."""
    old = MemoryStorage(clock=clock)
    both = Migrating(old, CookieStorage(clock=clock))
    first = old.read(None)
    first["filler"] = "x" * 3000
    value = old.save(first)
    session = both.read(value)
    for n in range(2):
        session["n"] = n
        assert both.save(session) is None
    assert both.read(value)["n"] == 1
    session.destroy()
    assert both.save(session) == ""
    assert both.read(value).is_new


def test_the_largest_that_moves_fits_in_any_cookie() -> None:
    """Encrypted, beside a long name and every attribute."""
    cookie = Cookie(
        "__Secure-" + "n" * 50, secrets=COOKIE.secrets, encrypt=True, secure=True, max_age=10**8,
        domain="a.rather.long.name.example.org", partitioned=True, samesite="None",
    )  # fmt: skip
    assert len(cookie.serialize("A" * FITS)) < 4096


def test_awaited_storages_move_too(redis_socket: str) -> None:
    """Out of cookies into an awaited storage, and back."""
    import redis.asyncio

    async def scenario() -> None:
        client = redis.asyncio.Redis(unix_socket_path=redis_socket)
        awaited, cookies = RedisStorage(client), CookieStorage()
        first = cookies.read(None)
        first["user"] = 1
        value = cookies.save(first)
        out = Migrating(cookies, awaited)
        session = await out.read(value)  # type: ignore[misc]
        session["out"] = True
        bare = await out.save(session)  # type: ignore[misc]
        assert value and bare == value[:40]
        back = Migrating(awaited, cookies)
        session = await back.read(bare)  # type: ignore[misc]
        session["back"] = True
        value = await back.save(session)  # type: ignore[misc]
        session = await back.read(value)  # type: ignore[misc]
        assert dict(session) == {"user": 1, "out": True, "back": True}
        assert await back.sweep() == await out.sweep() == 0  # type: ignore[misc]
        await client.aclose()

    asyncio.run(scenario())


def test_both_directions_are_swept() -> None:
    """It is the server's storage that has something to sweep."""
    for both in (
        Migrating(CookieStorage(), MemoryStorage()),
        Migrating(MemoryStorage(), CookieStorage()),
    ):
        assert both.sweep() == 0
        both.close()
