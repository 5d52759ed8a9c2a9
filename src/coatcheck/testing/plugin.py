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

Each may be overridden by a fixture of the same name: an application that makes its own cookie and
storage returns those.
"""

import secrets

import pytest

from coatcheck._cookie.cookie import Cookie
from coatcheck.storage.backends.memory import MemoryStorage
from coatcheck.storage.protocol import SessionStorage
from coatcheck.testing.clock import Clock
from coatcheck.testing.kit import SessionKit


@pytest.fixture
def coatcheck_clock() -> Clock:
    """A clock that stands still until the test moves it; `session_storage` goes by it."""
    return Clock()


@pytest.fixture
def session_cookie() -> Cookie:
    """A session cookie, with a secret that only this test knows."""
    return Cookie("__session", secrets=[secrets.token_urlsafe(32)])


@pytest.fixture
def session_storage(coatcheck_clock: Clock) -> SessionStorage:
    """A storage in memory, with nothing in it."""
    return MemoryStorage(clock=coatcheck_clock)


@pytest.fixture
def session_kit(session_cookie: Cookie, session_storage: SessionStorage) -> SessionKit:
    """What puts values into clients' sessions, and reads them."""
    return SessionKit(session_cookie, session_storage)
