"""What session() is made from: its options, and the two arguments before them."""

import warnings
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy

from coatcheck import ConfigurationError, Cookie, Users, session
from coatcheck._request.cycle import Cycle
from coatcheck.storage import CookieStorage, MemoryStorage
from tests.hosts import COOKIE


@pytest.mark.parametrize("option", ["idle", "lifetime", "rotate"])
@pytest.mark.parametrize("duration", [3600, 3600.0, timedelta(hours=1)])
def test_a_duration_is_seconds_or_a_timedelta(option: str, duration: float | timedelta) -> None:
    """Each is converted once, so that all that decides counts in seconds."""
    options: dict[str, Any] = {option: duration}
    terms = Cycle(COOKIE, MemoryStorage(), **options).terms
    assert getattr(terms, option) == 3600
    assert not isinstance(getattr(terms, option), timedelta)


def test_an_idle_time_that_is_not_given_is_the_max_age_of_the_cookie() -> None:
    """Also where that is a timedelta."""
    cookie = Cookie("s", secrets=["x" * 40], max_age=timedelta(hours=2))
    assert Cycle(cookie, MemoryStorage()).terms.idle == 7200


@pytest.mark.parametrize("option", ["idle", "lifetime", "rotate"])
@pytest.mark.parametrize(
    "duration",
    [0, -1, float("inf"), float("nan"), True, "3600", timedelta(0), timedelta(-1), [], object()],
)
def test_another_duration_is_refused(option: str, duration: Any) -> None:
    """The message names the option."""
    options: dict[str, Any] = {option: duration}
    with pytest.raises(ConfigurationError, match=rf"^{option} must be seconds above 0, or a timed"):
        session(COOKIE, MemoryStorage(), **options)


@pytest.mark.parametrize("rotate", [299, timedelta(minutes=4)])
def test_ids_are_not_rotated_more_often_than_every_five_minutes(rotate: float | timedelta) -> None:
    """A slow request would find its id three ids old."""
    with pytest.raises(ConfigurationError, match=r"^rotate must be at least 300 seconds"):
        session(COOKIE, MemoryStorage(), rotate=rotate)


@pytest.mark.parametrize("refresh", [-0.1, 1.1, 2, None, "0.1", True, float("nan")])
def test_a_refresh_is_a_share(refresh: Any) -> None:
    """From 0 to 1."""
    with pytest.raises(ConfigurationError, match=r"^refresh must be from 0 to 1"):
        session(COOKIE, MemoryStorage(), refresh=refresh)


PASSWORD = "Tr0ub4dor"


@pytest.mark.parametrize(
    ("cookie", "storage", "says"),
    [
        (MemoryStorage(), COOKIE, "cookie must be a Cookie, got the storage: write session(cookie"),
        (CookieStorage(), COOKIE, "cookie must be a Cookie, got the storage: write session(cookie"),
        ("__session", MemoryStorage(), "cookie must be a Cookie, got str: Cookie("),
        (Cookie, MemoryStorage(), "cookie must be a Cookie, got the class"),
        (None, MemoryStorage(), "cookie must be a Cookie, got None"),
        (COOKIE, f"redis://:{PASSWORD}@host", "got a text: for a URL, write storage_from_url(url)"),
        (COOKIE, None, "storage must be a storage, with the methods read and save, got None"),
        (COOKIE, CookieStorage, "got the class CookieStorage: make one"),
        (COOKIE, MemoryStorage, "got function: make one, such as MemoryStorage()"),
        (COOKIE, redis.Redis(), "got a client, Redis: write RedisStorage(client)"),
        (COOKIE, sqlalchemy.create_engine("sqlite://"), "got an engine, Engine: write SqlStorage("),
        (COOKIE, MemoryStorage().backend, "got a backend, MemoryBackend: write KeyedStorage("),
        (COOKIE, {}, "got dict: make one"),
    ],
)
def test_an_argument_of_another_kind_is_answered_with_what_to_write(
    cookie: Any, storage: Any, says: str
) -> None:
    """The message names the argument, and holds nothing of a URL."""
    with pytest.raises(ConfigurationError) as raised:
        session(cookie, storage)
    assert says in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("other", [3, "users", MemoryStorage(), Users])
def test_users_is_a_users(other: Any) -> None:
    """Neither a text is one, nor the class."""
    with pytest.raises(ConfigurationError, match=r"^users must be a Users, got "):
        session(COOKIE, MemoryStorage(), users=other)


def test_the_usual_options_are_quiet() -> None:
    """No warning without a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session(COOKIE, MemoryStorage(), idle=60, lifetime=timedelta(days=1), refresh=0)
