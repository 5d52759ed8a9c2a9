"""Django: whose record a session is."""

from typing import Any

import pytest
from django.test import Client, override_settings

from coatcheck.testing import Clock
from tests.frameworks.django.stores import DAY, STORAGES, held
from tests.storage_kinds import storage_of

OTHER = override_settings(SECRET_KEY="the secret of another project")
CHANGED = override_settings(
    SECRET_KEY="the secret of today",
    SECRET_KEY_FALLBACKS=["an older secret", "a secret that only these tests know"],
)
DROPPED = override_settings(SECRET_KEY="the secret of today", SECRET_KEY_FALLBACKS=[])


def stored(store: Any, **values: Any) -> str:
    """Return the key of a session that is stored."""
    session = store()
    session.update(values)
    session.save()
    key: str = session.session_key
    return key


def test_two_projects_on_one_server_do_not_share_sessions(store: Any) -> None:
    """With the same cookie name, by their SECRET_KEY: a key of one is nobody's in the other."""
    key = stored(store, user="ada")
    with OTHER:
        assert held(store, key) == {}
        assert not store().exists(key)
        stranger = store(key)
        stranger["x"] = 1
        stranger.save()
        assert stranger.session_key != key
        store(key).flush()
    assert held(store, key) == {"user": "ada"}


@pytest.mark.parametrize("kind", STORAGES)
def test_a_record_of_an_older_secret_is_read_and_written_anew(
    kind: str, request: pytest.FixtureRequest, clock: Clock, engine: Any
) -> None:
    """So a key of SECRET_KEY_FALLBACKS can be dropped once every session in use was read."""
    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        key, unread = (stored(engine.SessionStore, user="ada") for _ in range(2))
        with CHANGED:
            assert held(engine.SessionStore, key) == {"user": "ada"}
            again = engine.SessionStore(key)
            again["cart"] = ["tea"]
            again.save()
        with DROPPED:
            assert held(engine.SessionStore, key) == {"user": "ada", "cart": ["tea"]}
            assert held(engine.SessionStore, unread) == {}


def test_reading_it_anew_moves_no_deadline(store: Any, clock: Clock) -> None:
    """The session lives as long as it would have."""
    key = stored(store, user="ada")
    clock.advance(13 * DAY)
    with CHANGED:
        assert store(key).get("user") == "ada"
        clock.advance(2 * DAY)
        assert store(key).get("user") is None


@pytest.mark.parametrize("act", ["flush", "cycle_key", "delete"])
def test_a_session_of_an_older_secret_ends_and_moves(store: Any, act: str) -> None:
    """As any other does."""
    key = stored(store, user="ada")
    with CHANGED:
        getattr(store(key), act)()
        assert not store().exists(key)
    assert held(store, key) == {}


def test_a_browser_stays_signed_in_while_the_secret_changes(kept: object) -> None:
    """With the key that its cookie has."""
    assert kept
    browser = Client()
    browser.get("/add/tea")
    before = browser.cookies["sessionid"].value
    with CHANGED:
        assert browser.get("/cart").json() == ["tea"]
    with DROPPED:
        assert browser.get("/add/milk").json() == ["tea", "milk"]
    assert browser.cookies["sessionid"].value == before
    assert browser.get("/cart").json() is None
