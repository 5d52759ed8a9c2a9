"""Packages that people put on Flask, over `flask.session` as a coatcheck session."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import flask_login
import flask_socketio
import pytest
from authlib.integrations.base_client import MismatchingStateError
from authlib.integrations.flask_client import OAuth
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect, FlaskForm
from flask_wtf.csrf import generate_csrf
from wtforms import StringField

from coatcheck import Cookie
from coatcheck.frameworks.flask import SessionInterface, session
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage, SqliteStorage
from tests.frameworks import oauth_provider
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False)


@pytest.fixture(params=["cookie", "memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStorage]:
    """One of each family: in the cookie, in the process, on the disk."""
    if request.param == "sqlite":
        sqlite = SqliteStorage(tmp_path / "db")
        yield sqlite
        sqlite.close()
    else:
        yield CookieStorage() if request.param == "cookie" else MemoryStorage()


@pytest.fixture
def app(storage: SessionStorage) -> flask.Flask:
    """An application with a SECRET_KEY, which these packages sign with; our sessions need none."""
    app = flask.Flask(__name__)
    app.secret_key = "a key of the application"
    app.session_interface = SessionInterface(COOKIE, storage)
    return app


def session_cookie(client: FlaskClient) -> str:
    held = client.get_cookie("session")
    return held.value if held else ""


# Flask-Login


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


@pytest.fixture
def users(app: flask.Flask) -> flask_login.LoginManager:
    """Sign-in and sign-out, and a page for those who are in."""
    manager = flask_login.LoginManager(app)
    manager.login_view = manager.refresh_view = "login"
    manager.user_loader(User)

    @app.route("/login")
    def login() -> str:
        remember = "remember" in flask.request.args
        flask_login.login_user(User("ada"), remember=remember)
        session.regenerate_id()
        return ""

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        session.regenerate_id()
        return ""

    @app.get("/account")
    @flask_login.login_required  # type: ignore[untyped-decorator]
    def account() -> str:
        return str(flask_login.current_user.id)

    @app.get("/password")
    @flask_login.fresh_login_required  # type: ignore[untyped-decorator]
    def password() -> str:
        return "changed"

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = ["coat"]
        return ""

    return manager


@pytest.mark.usefixtures("users")
def test_login_and_logout(app: flask.Flask) -> None:
    """Who signs in gets a new id, keeps the cart, and is out after signing out."""
    client = app.test_client()
    assert client.get("/account").location == "/login?next=%2Faccount"
    client.get("/cart")
    before = session_cookie(client)
    client.get("/login")
    assert session_cookie(client) != before
    assert client.get("/account").text == "ada"
    assert client.get("/password").text == "changed"
    assert client.get_cookie("remember_token") is None
    with client.session_transaction() as held:
        assert held["cart"] == ["coat"]
    client.get("/logout")
    assert client.get("/account").status_code == 302
    with client.session_transaction() as held:
        assert held["cart"] == ["coat"]


@pytest.mark.usefixtures("users")
def test_the_old_id_of_who_signed_in_is_worth_nothing(app: flask.Flask) -> None:
    """What somebody planted or overheard before does not lead to the signed-in session."""
    client = app.test_client()
    client.get("/cart")
    before = session_cookie(client)
    client.get("/login")
    thief = app.test_client()
    thief.set_cookie("session", before)
    assert thief.get("/account").status_code == 302
    assert client.get("/account").text == "ada"


@pytest.mark.usefixtures("users")
def test_remember_me(app: flask.Flask) -> None:
    """Its cookie outlives the session, and the new one is not fresh."""
    client = app.test_client()
    answer = client.get("/login?remember")
    names = sorted(line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie"))
    assert names == ["remember_token", "session"]
    client.delete_cookie("session")
    assert client.get("/account").text == "ada"
    with client.session_transaction() as held:
        assert held["_fresh"] is False
    assert client.get("/password").status_code == 302
    client.get("/logout")
    assert client.get_cookie("remember_token") is None
    assert client.get("/account").status_code == 302


@pytest.mark.parametrize(
    ("mode", "account", "password"), [("basic", 200, 302), ("strong", 302, 302)]
)
def test_session_protection(
    app: flask.Flask, users: flask_login.LoginManager, mode: str, account: int, password: int
) -> None:
    """From another browser a session is not fresh, or ends."""
    users.session_protection = mode
    client = app.test_client()
    client.get("/login")
    other = {"User-Agent": "another browser"}
    assert client.get("/account", headers=other).status_code == account
    assert client.get("/password", headers=other).status_code == password


@pytest.mark.usefixtures("users")
def test_flask_logins_own_test_client(app: flask.Flask) -> None:
    """It signs in by `session_transaction`."""
    app.test_client_class = flask_login.FlaskLoginClient
    assert app.test_client(user=User("grace")).get("/account").text == "grace"
    assert app.test_client().get("/account").status_code == 302


@pytest.mark.usefixtures("users")
def test_who_only_looks_gets_no_session_from_flask_login(app: flask.Flask) -> None:
    """Its check of every request writes nothing."""
    app.add_url_rule("/", "home", lambda: str(flask_login.current_user.is_authenticated))
    client = app.test_client()
    assert client.get("/").text == "False"
    assert session_cookie(client) == ""


# Flask-WTF


class Profile(FlaskForm):  # type: ignore[misc]
    name = StringField()


@pytest.fixture
def forms(app: flask.Flask) -> None:
    """A form, and a page that only has the protection."""
    CSRFProtect(app)

    @app.route("/profile", methods=["GET", "POST"])
    def profile() -> str:
        form = Profile()
        if form.validate_on_submit():
            return f"Hello, {form.name.data}"
        return flask.render_template_string("{{ form.hidden_tag() }}", form=form)

    @app.get("/token")
    def token() -> str:
        return str(generate_csrf())

    @app.post("/bare")
    def bare() -> str:
        return "done"


def token_in(page: str) -> str:
    """Return the token of a form."""
    return page.partition('value="')[2].partition('"')[0]


@pytest.mark.usefixtures("forms")
def test_a_form_with_its_token_is_taken(app: flask.Flask) -> None:
    """The token lies in the session, the form carries it back."""
    client = app.test_client()
    token = token_in(client.get("/profile").text)
    answer = client.post("/profile", data={"csrf_token": token, "name": "Ada"})
    assert answer.text == "Hello, Ada"
    assert client.post("/bare", headers={"X-CSRFToken": token}).text == "done"


@pytest.mark.usefixtures("forms")
def test_a_token_is_bound_to_its_session(app: flask.Flask) -> None:
    """Nobody's, another visitor's, and one of a session that ended are refused."""
    client, other = app.test_client(), app.test_client()
    token = token_in(client.get("/profile").text)
    other.get("/profile")
    for given in ("", "made up", token):
        assert other.post("/bare", data={"csrf_token": given}).status_code == 400
    assert app.test_client().post("/bare", data={"csrf_token": token}).status_code == 400
    with client.session_transaction() as held:
        held.clear()
    assert client.post("/bare", data={"csrf_token": token}).status_code == 400


@pytest.mark.usefixtures("forms")
def test_a_token_survives_a_new_id(app: flask.Flask) -> None:
    """The form of a tab that was open while somebody signed in still works."""
    client = app.test_client()
    token = client.get("/token").text
    with client.session_transaction() as held:
        held.regenerate_id()  # type: ignore[attr-defined]
    assert client.post("/bare", data={"csrf_token": token}).text == "done"


# Authlib


@pytest.fixture(scope="module")
def provider() -> Iterator[oauth_provider.Provider]:
    """A provider on a real socket."""
    with oauth_provider.serving() as provider:
        yield provider


@pytest.fixture
def signing_in(app: flask.Flask, provider: oauth_provider.Provider) -> None:
    """Authlib's client: state, nonce and PKCE verifier wait in the session for the callback."""
    oauth = OAuth(app)
    oauth.register(
        "local",
        client_id=oauth_provider.CLIENT_ID,
        client_secret=oauth_provider.CLIENT_SECRET,
        server_metadata_url=provider.metadata_url,
        client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
    )

    @app.get("/login")
    def login() -> Any:
        return oauth.local.authorize_redirect(flask.url_for("callback", _external=True))

    @app.get("/callback")
    def callback() -> Any:
        try:
            token = oauth.local.authorize_access_token()
        except MismatchingStateError:
            return "not yours", 403
        session.regenerate_id()
        session["user"] = token["userinfo"]["name"]
        return flask.redirect("/account")

    @app.get("/account")
    def account() -> str:
        return str(session.get("user"))


@pytest.mark.usefixtures("signing_in")
def test_oauth_all_the_way(app: flask.Flask, provider: oauth_provider.Provider) -> None:
    """To the provider and back: signed in under a new id, and what waited is gone."""
    client = app.test_client()
    sent = client.get("/login")
    waiting = session_cookie(client)
    asked = sent.location
    with client.session_transaction() as held:
        (key,) = [key for key in held if key.startswith("_state_local_")]
        assert {"nonce", "code_verifier"} <= held[key]["data"].keys()
    back = client.get(provider.approve(asked))
    assert back.location == "/account"
    assert provider.asked[-1]["code_challenge_method"] == "S256"
    assert session_cookie(client) != waiting
    with client.session_transaction() as held:
        assert list(held) == ["user"]
    assert client.get("/account").text == "Ada Lovelace"


@pytest.mark.usefixtures("signing_in")
def test_a_callback_of_somebody_elses_is_refused(
    app: flask.Flask, provider: oauth_provider.Provider
) -> None:
    """A code that was brought to another session signs nobody in (CSRF at sign-in)."""
    attacker, victim = app.test_client(), app.test_client()
    link = provider.approve(attacker.get("/login").location)
    victim.get("/login")
    assert victim.get(link).status_code == 403
    assert victim.get("/account").text == "None"


@pytest.mark.usefixtures("signing_in")
def test_two_sign_ins_at_once(app: flask.Flask, provider: oauth_provider.Provider) -> None:
    """Two tabs: each finds its own state."""
    client = app.test_client()
    first, second = client.get("/login").location, client.get("/login").location
    links = [provider.approve(second), provider.approve(first)]
    assert client.get(links[0]).location == "/account"
    assert client.get(links[1]).location == "/account"


# Flask-SocketIO


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_http_requests_and_events_share_a_session(app: flask.Flask) -> None:
    """With `manage_session=False`, each event reads and saves the session on the server."""
    app.add_url_rule("/put/<int:value>", "put", lambda value: session.update(http=value) or "")
    app.add_url_rule("/show", "show", lambda: flask.jsonify(dict(session)))
    sockets = flask_socketio.SocketIO(app, manage_session=False, async_mode="threading")

    @sockets.on("put")  # type: ignore[untyped-decorator]
    def put(value: int) -> None:
        session["socket"] = value
        flask_socketio.emit("seen", dict(session))

    client = app.test_client()
    client.get("/put/0")
    socket = sockets.test_client(app, flask_test_client=client)
    for number in (1, 2, 3):
        client.get(f"/put/{number}")
        socket.emit("put", number)
        expected = {"http": number, "socket": number}
        assert socket.get_received()[-1]["args"] == [expected]
        assert client.get("/show").json == expected
