"""Django: `COATCHECK_OPTIONS`, what it takes and what it does."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings

from coatcheck import Cookie, Users, adopt
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.adopt.formats import AsyncRecords
from tests.frameworks.django.stores import DAY, held

USERS = Users(Cookie("sessionid", secrets=["x" * 40]), MemoryStorage())

OURS = [
    "coatcheck.frameworks.django.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"rotat": 3600},
            "has the key 'rotat': it takes 'lifetime', 'rotate', 'user_key',",
        ),
        ({"idle": 60}, "Django's own settings, SESSION_"),
        ({"rotate": 60}, "rotate must be at least 300 seconds, got 60"),
        ({"rotate": "hourly"}, "cannot be used"),
        ({"users": 7, "user_key": "u"}, "users must be .* got a int"),
        ({"on_event": 7}, "on_event must be"),
        ({"users": USERS}, "users needs user_key"),
        ({"users": USERS, "user_key": "u"}, "users must be made with the storage"),
        ({"user_key": 7}, "user_key must be the key of a session"),
        ({"lifetime": -1}, "lifetime must be seconds above 0"),
        ({"adopts": [5]}, "adopts must be readers of coatcheck.adopt"),
        ({"adopts": [adopt.DjangoCache(AsyncRecords({}))]}, "must have a plain client in Django"),
        (3600, "is a int: set it to a dict"),
    ],
)
def test_an_option_that_makes_no_sense_is_told(engine: Any, options: object, says: str) -> None:
    """The application does not start, and the message says what to write."""
    with (
        override_settings(COATCHECK_OPTIONS=options),
        pytest.raises(ImproperlyConfigured, match=says),
    ):
        importlib.reload(engine)


def test_no_session_outlives_its_lifetime(store: Any, clock: Clock) -> None:
    """However often it is used."""
    with override_settings(COATCHECK_OPTIONS={"lifetime": 20 * DAY}):
        session = store()
        session["x"] = 1
        session.save()
        clock.advance(13 * DAY)
        again = store(session.session_key)
        again["y"] = 2
        again.save()
        clock.advance(6 * DAY)
        assert held(store, session.session_key) == {"x": 1, "y": 2}
        clock.advance(2 * DAY)
        assert held(store, session.session_key) == {}


@pytest.fixture
def rotating(kept: object) -> Iterator[None]:
    """A site whose keys are renewed once an hour."""
    assert kept
    with override_settings(COATCHECK_OPTIONS={"rotate": 3600}, MIDDLEWARE=OURS):
        yield


def key_of(client: Client) -> str:
    key: str = client.cookies["sessionid"].value
    return key


def with_key(key: str) -> Client:
    """Return another client that holds the same key."""
    client = Client()
    client.cookies["sessionid"] = key
    return client


@pytest.mark.usefixtures("rotating")
def test_a_key_that_is_due_is_renewed_with_a_save(clock: Clock) -> None:
    """The data stay, and the response brings the new key; a page that only reads renews none."""
    client = Client()
    client.get("/add/tea")
    first = key_of(client)
    clock.advance(3599)
    client.get("/add/milk")
    assert key_of(client) == first
    clock.advance(1)
    client.get("/cart")
    assert key_of(client) == first
    assert client.get("/add/jam").json() == ["tea", "milk", "jam"]
    assert key_of(client) != first
    assert client.get("/cart").json() == ["tea", "milk", "jam"]


@pytest.mark.usefixtures("rotating")
def test_a_request_with_the_old_key_goes_on(clock: Clock) -> None:
    """It reads and writes the session, and gets the new key, also if it only looks."""
    client = Client()
    client.get("/add/tea")
    late, reader = with_key(key_of(client)), with_key(key_of(client))
    clock.advance(3600)
    client.get("/add/milk")
    assert late.get("/add/jam").json() == ["tea", "milk", "jam"]
    assert reader.get("/cart").json() == ["tea", "milk", "jam"]
    assert key_of(client) == key_of(late) == key_of(reader)


@pytest.mark.usefixtures("rotating")
def test_a_request_that_began_before_goes_on(clock: Clock, store: Any) -> None:
    """What it writes is kept under the new key."""
    client = Client()
    client.get("/add/tea")
    slow = store(key_of(client))
    assert slow["cart"] == ["tea"]
    clock.advance(3600)
    client.get("/add/milk")
    slow["slow"] = True
    slow.save()
    assert slow.session_key == key_of(client)
    assert held(store, key_of(client)) == {"cart": ["tea", "milk"], "slow": True}


@pytest.mark.usefixtures("rotating")
@pytest.mark.parametrize("act", ["flush", "delete"])
def test_a_sign_out_with_the_old_key_ends_the_session(clock: Clock, store: Any, act: str) -> None:
    """Under its new key, too."""
    client = Client()
    client.get("/add/tea")
    old = key_of(client)
    clock.advance(3600)
    client.get("/add/milk")
    getattr(store(old), act)()
    assert client.get("/cart").json() is None


@pytest.mark.usefixtures("rotating")
def test_a_save_that_no_response_carries_renews_nothing(clock: Clock, store: Any) -> None:
    """A task or a command that saves a session must not take the browser's key away."""
    client = Client()
    client.get("/add/tea")
    clock.advance(3600)
    task = store(key_of(client))
    task["done"] = True
    task.save()
    assert task.session_key == key_of(client)
    clock.advance(1000)
    assert client.get("/cart").json() == ["tea"]


@pytest.mark.usefixtures("rotating")
def test_an_old_key_is_nobodys_after_the_grace(clock: Clock) -> None:
    """Fifteen minutes, as everywhere."""
    client = Client()
    client.get("/add/tea")
    thief = with_key(key_of(client))
    clock.advance(3600)
    client.get("/add/milk")
    clock.advance(901)
    assert thief.get("/cart").json() is None
    assert client.get("/cart").json() == ["tea", "milk"]
