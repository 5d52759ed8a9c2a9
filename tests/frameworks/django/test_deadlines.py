"""Django: when a session ends, and what removes what expired."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from coatcheck.storage import FileStorage, SqliteStorage
from coatcheck.testing import Clock, later
from tests.frameworks.django.stores import DAY, held


@pytest.mark.parametrize(
    ("expiry", "seconds"),
    [
        (None, settings.SESSION_COOKIE_AGE),
        (0, settings.SESSION_COOKIE_AGE),
        (600, 600),
        (30 * DAY, 30 * DAY),
    ],
)
def test_the_server_refuses_a_key_after_its_deadline(
    store: Any, clock: Clock, expiry: int | None, seconds: int
) -> None:
    """The deadline of the record is that of set_expiry, whoever copied the cookie."""
    session = store()
    session["x"] = 1
    session.set_expiry(expiry)
    session.save()
    clock.advance(seconds - 1)
    assert store(session.session_key).get("x") == 1
    clock.advance(2)
    assert store(session.session_key).get("x") is None
    assert not session.exists(session.session_key)


def test_later_moves_the_time_of_the_project(store: Any) -> None:
    """That of a storage which the engine has used already."""
    session = store()
    session["x"] = 1
    session.save()
    with later(settings.COATCHECK_STORAGE, settings.SESSION_COOKIE_AGE + 1):
        assert store(session.session_key).get("x") is None
    assert store(session.session_key).get("x") == 1


def test_a_date_is_a_deadline_and_a_date_in_the_past_is_an_end(store: Any, clock: Clock) -> None:
    """set_expiry takes a datetime; a save moves it no further."""
    session = store()
    session["x"] = 1
    session.set_expiry(datetime.fromtimestamp(clock() + 100, UTC))
    session.save()
    clock.advance(60)
    again = store(session.session_key)
    again["x"] = 2
    again.save()
    clock.advance(39)
    assert held(store, session.session_key)["x"] == 2
    clock.advance(2)
    assert held(store, session.session_key) == {}
    over = store()
    over["x"] = 1
    over.save()
    over.set_expiry(-timedelta(days=40_000))
    over.save()
    assert held(store, over.session_key) == {}


def test_a_save_moves_the_deadline(store: Any, clock: Clock) -> None:
    """As Django's cookie does, so that the two do not part."""
    session = store()
    session["x"] = 1
    session.save()
    clock.advance(13 * DAY)
    store_again = store(session.session_key)
    store_again.save()
    clock.advance(13 * DAY)
    assert held(store, session.session_key) == {"x": 1}


def test_clearsessions_removes_what_expired(tmp_path: Path, clock: Clock, engine: Any) -> None:
    """Django's command sweeps a storage that does not do it by itself, to the end."""
    for storage in (
        SqliteStorage(tmp_path / "db", clock=clock),
        FileStorage(tmp_path / "files", clock=clock),
    ):
        with override_settings(COATCHECK_STORAGE=storage):
            for age in (60, 3600):
                for _ in range(30):
                    session = engine.SessionStore()
                    session.set_expiry(age)
                    session.save()
            clock.advance(100)
            call_command("clearsessions")
            assert storage.sweep(1_000_000) == 0
            assert session.exists(session.session_key)
        storage.close()
