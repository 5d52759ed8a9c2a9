"""
Fixtures of pytest for an application's tests: `pytest_plugins = ["coatcheck.testing.plugin"]`.

    @pytest.fixture
    def client(session_cookie, session_storage):
        app = make_app(session_cookie, session_storage)
        with TestClient(app, base_url="https://test") as client:
            yield client

    def test_a_member_is_greeted(client, session_kit):
        session_kit.put(client, user="ada")
        assert client.get("/").text == "Hello, ada."

A fixture of the same name in your tests replaces one of these: return the cookie and the storage of
your application there.
"""

import secrets

import pytest

from coatcheck._cookie.cookie import Cookie
from coatcheck.storage.backends.memory import MemoryStorage
from coatcheck.storage.protocol import SessionStorage
from coatcheck.testing.clock import Clock
from coatcheck.testing.kit import SessionKit

__all__ = ["coatcheck_clock", "session_cookie", "session_kit", "session_storage"]


@pytest.fixture
def coatcheck_clock() -> Clock:
    """A `Clock`, which stands still until the test moves it. `session_storage` uses it."""
    return Clock()


@pytest.fixture
def session_cookie() -> Cookie:
    """A `Cookie` with a random secret, a new one for each test."""
    return Cookie("__session", secrets=[secrets.token_urlsafe(32)])


@pytest.fixture
def session_storage(coatcheck_clock: Clock) -> SessionStorage:
    """An empty `MemoryStorage`."""
    return MemoryStorage(clock=coatcheck_clock)


@pytest.fixture
def session_kit(session_cookie: Cookie, session_storage: SessionStorage) -> SessionKit:
    """A `SessionKit` over `session_cookie` and `session_storage`."""
    return SessionKit(session_cookie, session_storage)
