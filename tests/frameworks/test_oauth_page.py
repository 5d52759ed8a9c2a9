"""The page "Sign in with OAuth": its program, at a provider on a real socket."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from tests.frameworks.oauth_provider import CLIENT_ID, CLIENT_SECRET, USER, Provider, serving
from tests.test_docs import ROOT, files_of

PAGE = ROOT / "docs/how-to/oauth.md"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving() as provider:
        yield provider


@pytest.fixture
def shop(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program of the page, as its reader saves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", "a secret that is long enough for any test")
    monkeypatch.setenv("OIDC_METADATA_URL", provider.metadata_url)
    monkeypatch.setenv("OIDC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("OIDC_CLIENT_SECRET", CLIENT_SECRET)
    (tmp_path / "app.py").write_text(files_of(PAGE)["app.py"])
    spec = importlib.util.spec_from_file_location("oauth_page", tmp_path / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "oauth_page", module)
    spec.loader.exec_module(module)
    return module


def test_a_user_signs_in_and_out(shop: ModuleType, provider: Provider) -> None:
    """The state waits in the session; the sign-in changes the id, and takes the user back."""
    with TestClient(shop.app, follow_redirects=False) as browser:
        asked = browser.get("/sign-in?next=/cart").headers["location"]
        before = browser.cookies["__session"]
        back = browser.get(provider.approve(asked))
        assert back.headers["location"] == "/cart"
        assert browser.cookies["__session"] != before
        assert f"You are {USER['email']}." in browser.get("/").text
        browser.post("/sign-out")
        assert "Sign in" in browser.get("/").text


def test_two_tabs_sign_in_at_once(shop: ModuleType, provider: Provider) -> None:
    """Authlib keeps the newest state; the older tab comes back signed in, without a complaint."""
    with TestClient(shop.app, follow_redirects=False) as browser:
        older, newer = [browser.get("/sign-in").headers["location"] for _ in range(2)]
        for asked in (newer, older):
            browser.get(provider.approve(asked))
            home = browser.get("/").text
            assert USER["email"] in home
            assert "not signed in" not in home


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test"])
def test_the_way_back_leads_to_the_application(
    shop: ModuleType, provider: Provider, target: str
) -> None:
    """A link with a foreign "next" leads home."""
    with TestClient(shop.app, follow_redirects=False) as browser:
        asked = browser.get("/sign-in", params={"next": target}).headers["location"]
        assert browser.get(provider.approve(asked)).headers["location"] == "/"


def test_the_answer_to_another_browser_signs_nobody_in(
    shop: ModuleType, provider: Provider
) -> None:
    """Its state is in no session of this browser; the page says so, and does not fail."""
    with TestClient(shop.app, follow_redirects=False) as attacker:
        planted = provider.approve(attacker.get("/sign-in").headers["location"])
    with TestClient(shop.app) as browser:
        text = browser.get(planted).text
        assert "You are not signed in. Please try again." in text
        assert "You are not signed in." not in browser.get("/").text
