"""The way of a request, decided in one place."""

import warnings
from typing import Any

import pytest

from coatcheck import CoatcheckWarning, ConfigurationError, Context, Cookie, Session
from coatcheck._cookie.headers import amended
from coatcheck._cookie.sealing import Opened
from coatcheck._request.cycle import DEFAULT_IDLE, Cycle, is_async
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, KeyedStorage, MemoryStorage
from tests.hosts import SECRET

PLACE = "session"


def cycle(**options: Any) -> Cycle:
    return Cycle(Cookie("name", secrets=[SECRET]), MemoryStorage(), **options)


def test_an_unsealed_cookie_is_refused() -> None:
    """Anybody could write a session of their own."""
    with pytest.raises(ConfigurationError, match="secrets"):
        Cycle(Cookie("name"), MemoryStorage())


def test_a_cookie_that_scripts_can_read_warns() -> None:
    """It works, and is weaker than it should be."""
    with pytest.warns(CoatcheckWarning, match="httponly"):
        Cycle(Cookie("name", secrets=[SECRET], httponly=False), MemoryStorage())


@pytest.mark.parametrize(
    "options",
    [
        {"idle": 0},
        {"idle": -1},
        {"idle": float("inf")},
        {"idle": float("nan")},
        {"lifetime": 0},
        {"lifetime": float("inf")},
        {"refresh": -0.1},
        {"refresh": 1.1},
        {"refresh": float("nan")},
    ],
    ids=str,
)
def test_a_duration_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    """Configuration fails when the application starts."""
    with pytest.raises(ConfigurationError):
        cycle(**options)


def test_idle_is_the_cookies_max_age_unless_it_is_said() -> None:
    """And fourteen days if neither says."""
    storage = MemoryStorage()
    with_age = Cookie("name", secrets=[SECRET], max_age=60)
    assert Cycle(with_age, storage).terms.idle == 60
    assert Cycle(with_age, storage, idle=30).terms.idle == 30
    assert cycle().terms.idle == DEFAULT_IDLE == 14 * 24 * 3600


def test_a_session_is_put_where_handlers_look() -> None:
    """In the scope, and in the context."""
    scope: dict[str, Any] = {}
    session = cycle().admit(Session(), scope, PLACE)
    assert scope[PLACE] is session
    assert Context(scope).get(Session) is session


def test_a_second_session_on_a_request_is_refused() -> None:
    """Two would overwrite each other."""
    with pytest.raises(ConfigurationError, match="twice"):
        cycle().admit(Session(), {PLACE: {}}, PLACE)


def test_a_storage_that_reads_no_session_is_refused() -> None:
    """The message names what came back."""
    with pytest.raises(ConfigurationError, match="dict"):
        cycle().admit({}, {}, PLACE)


def test_a_session_in_its_place_is_refused() -> None:
    """What somebody put there would not be saved."""
    scope: dict[str, Any] = {}
    admitted = cycle().admit(Session(), scope, PLACE)
    cycle().check_place(admitted, scope, PLACE)
    scope[PLACE] = {}
    with pytest.raises(ConfigurationError, match="replaced"):
        cycle().check_place(admitted, scope, PLACE)


def test_headers_that_do_not_concern_us_stay() -> None:
    """Other cookies above all, in their order."""
    given = [(b"set-cookie", b"a=1"), (b"x", b"y"), (b"Set-Cookie", b"b=2")]
    kept = amended(given, "name=value")
    assert [pair for pair in kept if pair in given] == given
    assert kept[-1] == (b"set-cookie", b"name=value")


def test_a_response_that_only_read_is_not_made_private() -> None:
    """It varies with the cookie, and a cache may keep it so."""
    kept = amended([(b"cache-control", b"public")], None)
    assert kept == [(b"cache-control", b"public"), (b"vary", b"Cookie")]


def test_a_response_that_sets_the_cookie_is_private() -> None:
    """Also to the caches that read a Cache-Control of their own (RFC 9213)."""
    given = [(b"Cache-Control", b"public"), (b"CDN-Cache-Control", b"max-age=60")]
    kept = dict(amended(given, "name=value"))
    assert kept[b"Cache-Control"] == b"private"
    assert kept[b"CDN-Cache-Control"] == b"max-age=60, private"
    assert dict(amended([], "name=value"))[b"cache-control"] == b"private"


def test_several_vary_headers_become_one() -> None:
    """What each of them said stays."""
    kept = amended([(b"vary", b"Accept"), (b"Vary", b"Origin")], None)
    assert kept == [(b"vary", b"Accept, Origin, Cookie")]


def test_a_storage_is_asynchronous_if_either_method_is() -> None:
    """The middleware asks before the first request."""

    class Half(CookieStorage):
        async def save(self, session: Session) -> None:  # type: ignore[override]
            """Do nothing."""

    assert is_async(Half())
    assert not is_async(CookieStorage())
    assert is_async(AsyncKeyedStorage(None))  # type: ignore[arg-type]


def test_the_usual_configuration_is_quiet() -> None:
    """No warning without a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cycle(idle=60, lifetime=3600, refresh=0)


OLDER, NEWER = "o" * 40, "n" * 40


def rotating(storage: KeyedStorage) -> tuple[Cycle, str]:
    """Return a cycle whose secret has changed, and the header of a session from before."""
    before = Cycle(Cookie("name", secrets=[OLDER]), storage)
    first = before.admit(storage.read(None), {}, PLACE)
    first["user"] = 1
    header = before.answer(first, storage.save(first), None) or ""
    return Cycle(Cookie("name", secrets=[NEWER, OLDER]), storage), header.partition(";")[0]


def answered(cycle: Cycle, session: Session, opened: Opened | None) -> str | None:
    value = cycle.storage.save(session) if cycle.start(session, opened) else None
    assert value is None or isinstance(value, str)
    return cycle.answer(session, value, opened)


@pytest.mark.parametrize("writes", [True, False])
def test_a_cookie_that_an_older_secret_sealed_is_sealed_anew(*, writes: bool) -> None:
    """Once, by the first secret, also in a request that only reads."""
    storage = MemoryStorage()
    cycle, header = rotating(storage)
    opened = cycle.cookie.open(header)
    assert opened
    session = cycle.admit(storage.read(opened.text), {}, PLACE)
    if writes:
        session["n"] = 1
    renewed = cycle.cookie.open((answered(cycle, session, opened) or "").partition(";")[0])
    assert renewed == Opened(opened.text, stale=False)
    again = cycle.admit(storage.read(renewed.text), {}, PLACE)
    assert answered(cycle, again, renewed) is None


@pytest.mark.parametrize("writes", [True, False])
def test_a_stale_cookie_never_takes_the_place_of_a_new_id(*, writes: bool) -> None:
    """A request that is overtaken by a new id seals the old one anew for nobody."""
    storage = MemoryStorage()
    cycle, header = rotating(storage)
    opened = cycle.cookie.open(header)
    assert opened
    slow = cycle.admit(storage.read(opened.text), {}, PLACE)
    fast = cycle.admit(storage.read(opened.text), {}, PLACE)
    fast.regenerate_id()
    assert answered(cycle, fast, opened)
    if writes:
        slow["n"] = 1
    assert answered(cycle, slow, opened) is None


def test_a_storage_of_ones_own_keeps_its_value_under_the_newer_secret() -> None:
    """It renews nothing by itself, so what its cookie carries is sealed anew as it is."""

    class Drawer:
        waits = False

        def read(self, value: str | None) -> Session:
            return Session({"user": 1}, id=value) if value else Session()

        def save(self, session: Session) -> str | None:
            assert not session.modified
            return None

    before = Cookie("name", secrets=[OLDER])
    cycle = Cycle(Cookie("name", secrets=[NEWER, OLDER]), Drawer())
    opened = cycle.cookie.open(before.serialize("key").partition(";")[0])
    assert opened
    session = cycle.admit(Drawer().read(opened.text), {}, PLACE)
    renewed = cycle.cookie.open((answered(cycle, session, opened) or "").partition(";")[0])
    assert renewed == Opened("key", stale=False)
