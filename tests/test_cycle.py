"""What a response is told, and what no middleware starts with."""

import pytest

from coatcheck import CoatcheckWarning, ConfigurationError, Cookie, Session
from coatcheck.cycle import DEFAULT_IDLE, Cycle, amended, is_async
from coatcheck.record import owner_of
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, KeyedStorage, MemoryStorage
from tests.fronts import COOKIE, SECRET

SET = "__session=value; Path=/"


def cache_control(given: str, name: str = "Cache-Control") -> str:
    """Return that header after a session cookie was set beside it."""
    headers = dict(amended([(name.encode(), given.encode())], SET))
    return headers[name.encode()].decode()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("public, s-maxage=600", "private"),
        ("public, max-age=60, S-MaxAge=600", "max-age=60, private"),
        ("private", "private"),
        ("private=set-cookie, max-age=5", "max-age=5, private"),
        ("no-store", "no-store"),
        ("public, no-store", "no-store"),
        ("max-age=60,, proxy-revalidate", "max-age=60, private"),
        ("", "private"),
    ],
)
def test_a_response_with_the_cookie_is_kept_by_no_shared_cache(given: str, kept: str) -> None:
    """What allows a shared cache to keep it is taken out; private is put in (RFC 9111, 5.2.2)."""
    assert cache_control(given) == kept


@pytest.mark.parametrize("name", ["CDN-Cache-Control", "cdn-cache-control", "Acme-Cache-Control"])
def test_a_cache_that_has_its_own_header_is_told_too(name: str) -> None:
    """A targeted header overrides Cache-Control where it is understood (RFC 9213)."""
    headers = amended([(name.encode(), b"public, max-age=60")], SET)
    assert headers[0] == (name.encode(), b"max-age=60, private")
    assert (b"cache-control", b"private") in headers


def test_several_cache_control_fields_are_all_amended() -> None:
    """A header may come in several fields (RFC 9110, 5.3)."""
    given = [(b"cache-control", b"public"), (b"cache-control", b"max-age=60")]
    headers = amended(given, SET)
    kept = [value for name, value in headers if name == b"cache-control"]
    assert kept == [b"private", b"max-age=60, private"]


def test_a_response_that_only_read_the_session_may_be_kept() -> None:
    """By caches that obey Vary; its Cache-Control is the application's own."""
    headers = amended([(b"cache-control", b"public, max-age=60")], None)
    assert headers == [(b"cache-control", b"public, max-age=60"), (b"vary", b"Cookie")]


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ([], "Cookie"),
        (["Accept"], "Accept, Cookie"),
        (["Accept", "Accept-Encoding, Origin"], "Accept, Accept-Encoding, Origin, Cookie"),
        (["accept, cookie"], "accept, cookie"),
        (["*"], "*"),
        ([""], "Cookie"),
    ],
)
def test_vary_is_merged(given: list[str], merged: str) -> None:
    """One field in the end, with what was there and Cookie."""
    headers = amended([(b"Vary", value.encode()) for value in given], None)
    assert headers == [(b"vary", merged.encode())]


def test_other_headers_stay_as_they_are() -> None:
    """Their order, their spelling, and other cookies among them."""
    given = [
        (b"Set-Cookie", b"theme=dark; Path=/"),
        (b"content-type", b"text/html"),
        (b"Set-Cookie", b"a=1"),
        (b"X-Raw", b"\xff\xfe"),
    ]
    added = [(b"vary", b"Cookie"), (b"cache-control", b"private"), (b"set-cookie", SET.encode())]
    assert amended(given, SET) == given + added


def test_idle_falls_back_to_the_cookie_and_then_to_a_fortnight() -> None:
    """`idle`, else `max_age`, else 14 days."""
    storage = MemoryStorage()
    short = Cookie("s", secrets=[SECRET], max_age=100)
    endless = Cookie("s", secrets=[SECRET])
    assert Cycle(short, storage, idle=50).terms.idle == 50
    assert Cycle(short, storage).terms.idle == 100
    assert Cycle(endless, storage).terms.idle == DEFAULT_IDLE == 14 * 24 * 3600
    assert Cycle(short, storage).terms.owner == owner_of("s")


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["idle", "lifetime"])
def test_a_duration_that_makes_no_sense_is_refused(name: str, seconds: float) -> None:
    """None says that there is no limit; zero, negative and endless numbers say nothing."""
    with pytest.raises(ConfigurationError, match=name):
        Cycle(COOKIE, MemoryStorage(), **{name: seconds})


@pytest.mark.parametrize("refresh", [-0.1, 1.1, float("nan")])
def test_a_refresh_is_a_share(refresh: float) -> None:
    """From 0, on every request, to 1, when it would be over."""
    with pytest.raises(ConfigurationError, match="refresh"):
        Cycle(COOKIE, MemoryStorage(), refresh=refresh)


def test_a_cookie_that_anybody_can_write_is_refused() -> None:
    """An unsigned session cookie is a session of the visitor's own making."""
    with pytest.raises(ConfigurationError, match="'plain' has no secrets"):
        Cycle(Cookie("plain"), MemoryStorage())


def test_a_cookie_that_scripts_can_read_warns() -> None:
    """httponly=False works, and is weaker than it should be."""
    cookie = Cookie("s", secrets=[SECRET], httponly=False)
    with pytest.warns(CoatcheckWarning, match="httponly=False"):
        Cycle(cookie, MemoryStorage())


def test_a_storage_with_one_coroutine_is_asynchronous() -> None:
    """Either method may be plain or `async def`."""

    class Mixed:
        def read(self, _: str | None) -> Session:
            raise AssertionError

        async def save(self, _: Session) -> None: ...

    assert is_async(Mixed())
    assert is_async(AsyncKeyedStorage(MemoryStorage().backend))  # type: ignore[arg-type]
    assert not is_async(CookieStorage())
    assert not is_async(KeyedStorage(MemoryStorage().backend))
