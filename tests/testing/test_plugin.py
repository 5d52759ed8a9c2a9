"""The fixtures, as a project of somebody's own uses them."""

import os
import subprocess
import sys
from pathlib import Path

from coatcheck import Cookie
from coatcheck.testing import Clock, SessionKit
from coatcheck.testing.plugin import (  # noqa: F401 - fixtures, found by their names
    coatcheck_clock,
    session_cookie,
    session_kit,
    session_storage,
)

CONFTEST = """
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from coatcheck import session

pytest_plugins = ["coatcheck.testing.plugin"]

async def home(request):
    return PlainTextResponse(request.session.get("user", "stranger"))

@pytest.fixture
def client(session_cookie, session_storage):
    app = session(session_cookie, session_storage)(Starlette(routes=[Route("/", home)]))
    with TestClient(app, base_url="https://test") as client:
        yield client
"""

TESTS = """
def test_signed_in(client, session_kit):
    session_kit.put(client, user="ada")
    assert client.get("/").text == "ada"

def test_nobody_is_left_of_the_last_test(client):
    assert client.get("/").text == "stranger"

def test_the_clock(client, session_kit, coatcheck_clock):
    session_kit.put(client, user="ada")
    coatcheck_clock.advance(15 * 24 * 3600)
    assert client.get("/").text == "stranger"
"""

OVERRIDDEN = """
import pytest
from coatcheck import Cookie
from coatcheck.storage import CookieStorage

@pytest.fixture
def session_cookie():
    return Cookie("mine", secrets=["a-secret-of-at-least-32-characters"])

@pytest.fixture
def session_storage(coatcheck_clock):
    return CookieStorage(clock=coatcheck_clock)

def test_overridden(client, session_kit):
    session_kit.put(client, user="ada")
    assert list(client.cookies) == ["mine"]
    assert client.get("/").text == "ada"
"""


def test_the_fixtures(tmp_path: Path) -> None:
    """Each test gets a cookie, a storage, a kit and a clock of its own; a project may give its."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_others.py").write_text(OVERRIDDEN)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_the_fixtures_belong_together(
    coatcheck_clock: Clock,  # noqa: F811
    session_cookie: Cookie,  # noqa: F811
    session_kit: SessionKit,  # noqa: F811
) -> None:
    """The kit speaks of the cookie, the storage goes by the clock."""
    jar: dict[str, str] = {}
    session_kit.put(jar, user="ada")
    assert list(jar) == [session_cookie.name]
    coatcheck_clock.advance(15 * 24 * 3600)
    assert session_kit.read(jar).is_new


def test_pytest_alone_does_not_load_the_plugin(tmp_path: Path) -> None:
    """Whoever does not ask for it pays nothing."""
    (tmp_path / "test_none.py").write_text(
        "import sys\ndef test_none():\n    assert 'coatcheck' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
