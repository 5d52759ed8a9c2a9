"""Django's users, messages and admin over sessions of ours, under WSGI, ASGI and uvicorn."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.contrib.auth import alogin, login
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest
from django.test import AsyncClient, Client, override_settings

from coatcheck import Cookie, Event, Users
from coatcheck.storage import MemoryStorage, SqliteStorage
from coatcheck.testing import Clock
from tests.frameworks.django_site import migrate
from tests.storage_kinds import storage_of
from tests.test_servers_http import served

ROOT = Path(__file__).parent.parent.parent

RIGHT = "analytical engine"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    """The tables of the site."""
    migrate()
    yield
    connections.close_all()


@pytest.fixture
def ada() -> Iterator[Any]:
    """A user who may do everything."""
    from django.contrib.auth.models import User

    user = User.objects.create_superuser("ada", password=RIGHT)
    yield user
    user.delete()


@pytest.fixture
def kept(clock: Clock) -> Iterator[Any]:
    """The storage of the site: in memory, under the test's clock."""
    storage = MemoryStorage(clock=clock)
    with override_settings(COATCHECK_STORAGE=storage):
        yield storage


@pytest.mark.usefixtures("ada")
def test_signing_in_changes_the_key_and_signing_out_ends_it(kept: Any) -> None:
    """The key from before the sign-in leads nowhere, a message is shown once, a copy is dead."""
    client = Client()
    client.get("/add/tea")
    before = client.cookies["sessionid"].value
    client.get("/sign-in", {"password": RIGHT})
    signed_in = client.cookies["sessionid"].value
    assert signed_in != before
    assert client.get("/who").json() == {"user": "ada", "said": ["Welcome."]}
    assert client.get("/who").json() == {"user": "ada", "said": []}
    assert client.get("/cart").json() == ["tea"]
    fixed = Client(headers={"cookie": f"sessionid={before}"})
    assert fixed.get("/who").json()["user"] == ""
    client.get("/sign-out")
    copied = Client(headers={"cookie": f"sessionid={signed_in}"})
    assert copied.get("/who").json()["user"] == ""
    assert client.get("/who").json()["user"] == ""
    assert kept.backend.get("x") is None


@pytest.fixture
def with_user_key(kept: Any) -> Iterator[Any]:
    """The site, with what Django's `login()` keeps as the user of the session."""
    with override_settings(COATCHECK_OPTIONS={"user_key": "_auth_user_id"}):
        yield kept


def store_of(client: Any) -> Any:
    """Return the session of a client, as a view sees it."""
    from coatcheck.frameworks.django import SessionStore

    return SessionStore(client.cookies["sessionid"].value)


@pytest.mark.usefixtures("with_user_key")
def test_a_login_is_a_sign_in(ada: Any) -> None:
    """With `user_key`: `login()` and `logout()` as they are, and what they tell of the user."""
    client = Client()
    client.get("/add/tea")
    client.get("/sign-in", {"password": RIGHT})
    assert client.get("/who").json()["user"] == "ada"
    assert client.get("/cart").json() == ["tea"]
    found = store_of(client).signed_in
    assert found.user == str(ada.pk) and not found.is_fresh(3600)
    key = client.cookies["sessionid"].value
    client.get("/who")
    assert client.cookies["sessionid"].value == key
    client.get("/sign-out")
    copied = Client(headers={"cookie": f"sessionid={key}"})
    assert copied.get("/who").json()["user"] == ""


def test_the_devices_of_a_user_are_listed_and_ended(kept: Any, ada: Any) -> None:
    """`users` in the options, and `users()` for views and commands; other users' stay."""
    from coatcheck.frameworks.django import users

    made = Users(Cookie("sessionid", secrets=["x" * 40]), kept)
    chosen = {"user_key": "_auth_user_id", "users": made}
    with override_settings(COATCHECK_OPTIONS=chosen):
        laptop, phone = Client(), Client()
        for client in (laptop, phone):
            client.get("/sign-in", {"password": RIGHT})
        found = users().sessions_of(ada.pk)
        assert len(found) == 2
        assert users().end(ada.pk, store_of(phone).signed_in.handle)
        assert laptop.get("/who").json()["user"] == "ada"
        assert phone.get("/who").json()["user"] == ""
        laptop.get("/sign-out")
        assert users().sessions_of(ada.pk) == []
        phone.get("/sign-in", {"password": RIGHT})
        assert users().end_all(ada.pk) == 1
        assert phone.get("/who").json()["user"] == ""
    with override_settings(COATCHECK_OPTIONS={}), pytest.raises(ImproperlyConfigured):
        users()


def test_a_list_from_before_a_change_of_the_secret_is_found(kept: Any, ada: Any) -> None:
    """With the old one in SECRET_KEY_FALLBACKS: its sessions are listed and ended."""
    from coatcheck.frameworks.django import users

    made = Users(Cookie("sessionid", secrets=["x" * 40]), kept)
    laptop, phone, tablet = Client(), Client(), Client()
    with override_settings(COATCHECK_OPTIONS={"user_key": "_auth_user_id", "users": made}):
        for client in (laptop, phone):
            client.get("/sign-in", {"password": RIGHT})
        handle = store_of(phone).signed_in.handle
        former = [settings.SECRET_KEY]
        with override_settings(SECRET_KEY="the secret of today", SECRET_KEY_FALLBACKS=former):
            tablet.get("/sign-in", {"password": RIGHT})
            assert len(users().sessions_of(ada.pk)) == 3
            assert users().end(ada.pk, handle)
            assert [is_ada(client) for client in (laptop, phone, tablet)] == [True, False, True]
            assert users().end_all(ada.pk) == 2
            assert not is_ada(laptop) and not is_ada(tablet)


@pytest.fixture
def listed(kept: Any) -> Iterator[Users]:
    """The site, with a list of each user's sessions."""
    made = Users(Cookie("sessionid", secrets=["x" * 40]), kept)
    with override_settings(COATCHECK_OPTIONS={"user_key": "_auth_user_id", "users": made}):
        yield made


class Click:
    """A request that logs a user in, from the session of a visitor."""

    def __init__(self, key: str | None) -> None:
        from coatcheck.frameworks.django import SessionStore

        self.request: Any = HttpRequest()
        self.session = self.request.session = SessionStore(key)
        self.request.META["CSRF_COOKIE"] = None
        self.session.get("cart")  # it is read

    def log_in(self, user: Any) -> None:
        login(self.request, user, "django.contrib.auth.backends.ModelBackend")


def django_users() -> Users:
    """Return the `Users` of the site."""
    from coatcheck.frameworks.django import users

    return users()


def visitor() -> str:
    """Return the key of a visitor who has put something into a cart."""
    from coatcheck.frameworks.django import SessionStore

    session = SessionStore()
    session["cart"] = ["tea"]
    session.save()
    return str(session.session_key)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("order", ["at once", "one after the other", "late"])
def test_two_clicks_on_log_in_leave_one_session(ada: Any, order: str, *, awaited: bool) -> None:
    """Both answers carry its key, and it has what each request wrote."""
    key = visitor()
    one, other = Click(key), Click(key)

    async def log_in(click: Click) -> None:
        await alogin(click.request, ada, "django.contrib.auth.backends.ModelBackend")
        await click.session.asave()

    def logs_in(click: Click) -> None:
        if awaited:
            asyncio.run(log_in(click))
        else:
            click.log_in(ada)

    logs_in(one)
    one.session["one"] = 1
    if order != "at once":
        one.session.save()
        other = other if order == "one after the other" else Click(key)
    logs_in(other)
    other.session["other"] = 2
    for click in (one, other):
        click.session.save()
    assert one.session.session_key == other.session.session_key != key
    (only,) = django_users().sessions_of(ada.pk)
    kept = Click(one.session.session_key).session
    assert kept.signed_in and kept.signed_in.handle == only.handle
    assert (kept["one"], kept["other"], kept["cart"]) == (1, 2, ["tea"])


@pytest.mark.usefixtures("listed")
def test_a_log_in_tells_the_key_that_it_will_have(ada: Any) -> None:
    """A receiver of `user_logged_in` may keep it; the old key opens nothing after the save."""
    key = visitor()
    click = Click(key)
    click.log_in(ada)
    told = click.session.session_key
    click.session.save()
    assert click.session.session_key == told != key
    assert "cart" not in Click(key).session
    assert len(django_users().sessions_of(ada.pk)) == 1


@pytest.mark.usefixtures("listed")
def test_two_users_who_log_in_at_once_have_two_sessions(ada: Any) -> None:
    """The browser keeps the key that arrives last."""
    from django.contrib.auth.models import User

    bob = User.objects.create_user("bob")
    key = visitor()
    clicks = [Click(key), Click(key)]
    for click, user in zip(clicks, (ada, bob), strict=True):
        click.log_in(user)
    for click in clicks:
        click.session.save()
    assert len({click.session.session_key for click in clicks}) == 2
    assert [len(django_users().sessions_of(user.pk)) for user in (ada, bob)] == [1, 1]
    bob.delete()


@pytest.mark.usefixtures("listed")
def test_a_new_key_without_a_log_in_is_made_with_the_save() -> None:
    """`cycle_key()` of a visitor; a session that is flushed meanwhile has none."""
    key = visitor()
    click = Click(key)
    click.session.cycle_key()
    assert click.session.modified
    click.session.save()
    assert click.session.session_key != key
    assert Click(click.session.session_key).session["cart"] == ["tea"]
    again = Click(click.session.session_key)
    again.session.cycle_key()
    assert not again.session.is_empty()
    again.session.flush()
    assert again.session.session_key is None
    assert "cart" not in Click(click.session.session_key).session


def is_ada(client: Client) -> bool:
    return bool(client.get("/who").json()["user"] == "ada")


@pytest.mark.usefixtures("kept", "ada")
def test_a_project_is_told_of_events() -> None:
    """`on_event`: a login of Django's is a sign-in there, too."""
    events: list[Event] = []
    chosen = {"user_key": "_auth_user_id", "on_event": events.append}
    with override_settings(COATCHECK_OPTIONS=chosen):
        client = Client()
        client.get("/sign-in", {"password": RIGHT})
        (signed_in,) = [event for event in events if event.kind == "signed_in"]
        assert signed_in.user and signed_in.user != "ada"


@pytest.mark.usefixtures("ada", "with_user_key")
def test_a_confirmed_password_is_kept_by_the_session() -> None:
    """`confirm()` gives a new key; `act_as` shows another user until `stop_acting`."""
    client = Client()
    client.get("/sign-in", {"password": RIGHT})
    session = store_of(client)
    key = session.session_key
    session.confirm(pin="hash")
    session.save()
    assert session.session_key != key
    signed_in = session.signed_in
    assert signed_in.is_fresh(60) and signed_in.holds("hash")
    session.act_as("7", seconds=60)
    session.save()
    assert (session.signed_in.user, session.signed_in.actor) == ("7", signed_in.user)
    session.stop_acting()
    session.save()
    assert session.signed_in.user == signed_in.user


@pytest.mark.usefixtures("ada", "with_user_key")
def test_a_sign_in_can_be_awaited() -> None:
    """`asigned_in()` and `aconfirm()`."""

    async def scene() -> None:
        client = AsyncClient()
        await client.get("/async/sign-in", {"password": RIGHT})
        session = store_of(client)
        assert (await session.asigned_in()).user
        await session.aconfirm()
        await session.asave()
        assert (await session.asigned_in()).is_fresh(60)

    asyncio.run(scene())


def test_a_new_password_ends_the_other_sessions(kept: object, ada: Any) -> None:
    """Django keeps a hash of the password in the session, and compares."""
    assert kept
    client = Client()
    client.get("/sign-in", {"password": RIGHT})
    assert client.get("/who").json()["user"] == "ada"
    ada.set_password("difference engine")
    ada.save()
    assert client.get("/who").json()["user"] == ""


@pytest.mark.usefixtures("ada")
def test_a_session_in_use_ends_at_its_deadline(kept: object, clock: Clock) -> None:
    """The client keeps its cookie; the server knows better."""
    assert kept
    client = Client()
    client.get("/sign-in", {"password": RIGHT})
    key = client.cookies["sessionid"].value
    clock.advance(14 * 24 * 3600 + 1)
    late = Client(headers={"cookie": f"sessionid={key}"})
    assert late.get("/who").json()["user"] == ""


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
@pytest.mark.usefixtures("ada")
def test_the_admin(kind: str, request: pytest.FixtureRequest, clock: Clock) -> None:
    """Sign in with the form and its token, add a user, read the message, sign out."""
    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        client = Client(enforce_csrf_checks=True)

        def post(path: str, **fields: str) -> Any:
            found = TOKEN.search(client.get(path).content.decode())
            assert found
            return client.post(path, {**fields, "csrfmiddlewaretoken": found[1]}, follow=True)

        assert client.post("/admin/login/", {"username": "ada"}).status_code == 403
        wrong = post("/admin/login/", username="ada", password="difference engine")
        assert b"correct username" in wrong.content
        home = post("/admin/login/?next=/admin/", username="ada", password=RIGHT)
        assert b"Site administration" in home.content
        added = post("/admin/auth/group/add/", name=f"readers on {kind}")
        assert b"was added successfully" in added.content
        assert b"was added successfully" not in client.get("/admin/auth/group/").content
        key = client.cookies["sessionid"].value
        out = post("/admin/password_change/")  # any page with a token
        token = client.cookies["csrftoken"].value
        assert out.status_code == 200
        client.post("/admin/logout/", {"csrfmiddlewaretoken": token})
        copied = Client(headers={"cookie": f"sessionid={key}"})
        assert copied.get("/admin/").status_code == 302


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "redis-asyncio"])
@pytest.mark.usefixtures("ada")
def test_signing_in_asynchronously(kind: str, request: pytest.FixtureRequest, clock: Clock) -> None:
    """`alogin`, `auser` and `alogout` do as their plain forms, also over an asyncio client."""

    async def visit(close: Any) -> None:
        client = AsyncClient()
        assert (await client.get("/async/count")).json() == 1
        before = client.cookies["sessionid"].value
        await client.get("/async/sign-in", {"password": RIGHT})
        key = client.cookies["sessionid"].value
        assert key != before
        assert (await client.get("/async/who")).json() == {"user": "ada"}
        assert (await client.get("/async/count")).json() == 2
        assert (await client.get("/who")).json()["user"] == "ada"
        await client.get("/async/sign-out")
        copied = AsyncClient(headers={"cookie": f"sessionid={key}"})
        assert (await copied.get("/async/who")).json() == {"user": ""}
        if close:
            await close()

    with (
        storage_of(kind, request, clock) as made,
        override_settings(COATCHECK_STORAGE=made.storage),
    ):
        asyncio.run(visit(made.close))


@pytest.mark.usefixtures("ada")
def test_a_visit_over_uvicorn(tmp_path: Path) -> None:
    """Django's ASGI application behind a real server, plain and asynchronous pages."""
    storage = SqliteStorage(tmp_path / "sessions")
    with (
        override_settings(COATCHECK_STORAGE=storage),
        served(get_asgi_application()) as address,
        httpx.Client(base_url=f"http://{address}") as client,
    ):
        assert [client.get("/async/count").json() for _ in range(3)] == [1, 2, 3]
        client.get("/sign-in", params={"password": RIGHT})
        assert client.get("/who").json() == {"user": "ada", "said": ["Welcome."]}
        assert client.get("/async/who").json() == {"user": "ada"}
        key = client.cookies["sessionid"]
        client.get("/async/sign-out")
        client.cookies.set("sessionid", key)
        assert client.get("/async/who").json() == {"user": ""}
    if storage.aio:
        asyncio.run(storage.aio.close())
    storage.close()


VISIT = """
import django_app
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
User.objects.create_user("ada", password="analytical engine")
client = Client(enforce_csrf_checks=True)
assert b"Visit 1 of somebody." in client.get("/").content


def post(path, **fields):
    token = client.cookies["csrftoken"].value
    return client.post(path, {**fields, "csrfmiddlewaretoken": token}).status_code


assert client.post("/sign-out").status_code == 403
assert post("/sign-in", name="ada", password="difference engine") == 403
assert post("/sign-in", name="ada", password="analytical engine") == 302
assert b"Visit 2 of ada." in client.get("/").content
assert post("/sign-out") == 302
assert b"Visit 1 of somebody." in client.get("/").content
call_command("clearsessions")
"""


def test_the_example_runs(tmp_path: Path) -> None:
    """As it is, in a process of its own: settings hold for a process."""
    environment = {
        **os.environ,
        "DJANGO_SECRET": "a secret that only this test knows, and nobody else",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), *sys.path]),
    }
    command = [sys.executable, "-W", "error", "-c", VISIT]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "sessions" / "db").exists()


def test_the_page_shows_the_example() -> None:
    """The code of docs/how-to/django.md is that of the example, which runs."""
    page = (ROOT / "docs" / "how-to" / "django.md").read_text()
    example = (ROOT / "examples" / "django_app.py").read_text()
    code = re.sub(r"  # (type: ignore|noqa).*", "", example.split('"""', 2)[2]).lstrip()
    assert f'```python title="django_app.py"\n{code}```' in page
