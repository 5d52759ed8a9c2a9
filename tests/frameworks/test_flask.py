"""Flask: `flask.session` is a coatcheck session, and everything that knows Flask's finds it so."""

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.sessions import SessionMixin
from markupsafe import Markup
from werkzeug.test import TestResponse

from coatcheck import (
    BackendError,
    ConfigurationError,
    Context,
    Cookie,
    ResponseStarted,
    Session,
    UnstorableValue,
)
from coatcheck import session as session_of_wsgi
from coatcheck.frameworks.flask import FlaskSession, SessionInterface, session
from coatcheck.storage import (
    AsyncKeyedStorage,
    CookieStorage,
    KeyedStorage,
    MemoryStorage,
    SessionStorage,
    SqliteStorage,
)
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import Clock, SessionKit
from tests.applications import Awaited
from tests.frameworks.visits import ITEM, add
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False, max_age=1000)

Page = Callable[[], Any]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Flask logs what handlers raise."""
    caplog.set_level(logging.CRITICAL, __name__)


@pytest.fixture(params=["cookie", "memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStorage]:
    """One of each family: in the cookie, in the process, on the disk."""
    if request.param == "sqlite":
        sqlite = SqliteStorage(tmp_path / "db")
        yield sqlite
        sqlite.close()
    else:
        yield CookieStorage() if request.param == "cookie" else MemoryStorage()


def application(
    storage: SessionStorage, pages: dict[str, Page] | None = None, **options: Any
) -> flask.Flask:
    """Return an application with these pages; it has no SECRET_KEY."""
    app = flask.Flask(__name__)
    app.session_interface = SessionInterface(COOKIE, storage, **options)
    for path, page in (pages or {}).items():
        app.add_url_rule(path, path, page)
    return app


def client_of(*given: Any, **options: Any) -> Any:
    """Return a client of an application: its responses are read to the end, and closed."""
    client = application(*given, **options).test_client()

    def get(path: str, **more: Any) -> TestResponse:
        return client.get(path, buffered=True, **more)

    client.ask = get  # type: ignore[attr-defined]
    return client


def names_of(answer: TestResponse) -> list[str]:
    """Return the names of the cookies that a response sets."""
    return [line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie")]


def cart_page() -> Any:
    return flask.jsonify(session.get("cart"))


def add_page() -> Any:
    return flask.jsonify(add(flask.session, flask.request.args["item"]))


def failing_page() -> Any:
    session["lost"] = True
    raise LookupError


PAGES: dict[str, Page] = {"/cart": cart_page, "/add": add_page, "/fail": failing_page}


# HTTP


def test_a_visit(storage: SessionStorage) -> None:
    """Nothing is kept for who looks; a cart is filled, shown, kept through an error, and left."""

    def out() -> str:
        session.destroy()
        return ""

    client = client_of(
        storage,
        {**PAGES, "/template": lambda: ITEM.render(session=flask.session), "/out": out},
    )
    answer = client.ask("/cart")
    assert answer.json is None
    assert names_of(answer) == []
    assert client.ask("/add?item=coat").json == ["coat"]
    assert client.ask("/add?item=hat").json == ["coat", "hat"]
    assert client.ask("/template").text == "cart=['coat', 'hat'];"
    failed = client.ask("/fail")
    assert failed.status_code == 500
    assert names_of(failed) == []
    with client.session_transaction() as held:
        assert dict(held) == {"cart": ["coat", "hat"]}
    assert "Max-Age=0" in client.ask("/out").headers["Set-Cookie"]
    assert client.ask("/cart").json is None


def test_flasks_session_is_the_session_itself(storage: SessionStorage) -> None:
    """Not a copy: `Session` and Flask's own type, with the members of both."""

    def page() -> str:
        held = flask.session
        assert isinstance(held, Session)
        assert isinstance(held, SessionMixin)
        assert Context(flask.request.environ).get(Session) == held
        assert held.new
        assert not held.modified
        held["cart"] = []
        assert held.modified
        held.flash("notice", "Saved.")
        held.apply("visits", lambda n: n + 1, default=0)
        return held.id

    def again() -> str:
        assert not session.new
        assert session["visits"] == 1
        before = session.id
        session.regenerate_id()
        assert session.id != before
        return str(session.get("notice"))

    client = client_of(storage, {"/": page, "/again": again})
    assert client.ask("/").status_code == 200
    answer = client.ask("/again")
    assert answer.text == "Saved."
    assert names_of(answer) == ["session"]
    assert client.ask("/again").text == "None"


def test_a_response_that_depends_on_the_session_says_so(storage: SessionStorage) -> None:
    """One that does not carries none of our headers, and nothing is written for it."""

    def plain() -> flask.Response:
        response = flask.Response("")
        response.set_cookie("other", "1")
        return response

    def own() -> flask.Response:
        session["user"] = "ada"
        response = flask.Response("", headers={"Vary": "Accept", "Cache-Control": "max-age=60"})
        response.set_cookie("other", "1")
        return response

    client = client_of(storage, {"/plain": plain, "/own": own, **PAGES})
    answer = client.ask("/plain")
    assert "Vary" not in answer.headers
    assert names_of(answer) == ["other"]
    assert client.ask("/cart").headers.getlist("Vary") == ["Cookie"]
    answer = client.ask("/own")
    assert answer.headers.getlist("Vary") == ["Accept, Cookie"]
    assert answer.headers.getlist("Cache-Control") == ["max-age=60, private"]
    assert sorted(names_of(answer)) == ["other", "session"]


@pytest.mark.parametrize(
    "look",
    [lambda: session.get("x"), lambda: "x" in session, lambda: len(session), lambda: session.new],
)
def test_every_look_varies(look: Callable[[], object]) -> None:
    """Whatever asks the session, the response depends on the cookie (CVE-2023-30861)."""

    def page() -> str:
        look()
        return ""

    assert client_of(MemoryStorage(), {"/": page}).ask("/").headers["Vary"] == "Cookie"


def test_a_change_after_the_handler_is_saved(storage: SessionStorage) -> None:
    """`after_request` comes before the save."""
    app = application(storage, PAGES)

    @app.after_request
    def note(response: flask.Response) -> flask.Response:
        session["cart"] = ["coat"]
        return response

    client = app.test_client()
    assert client.get("/cart").json is None
    assert client.get("/cart").json == ["coat"]


def test_flasks_attributes_may_be_assigned(storage: SessionStorage) -> None:
    """`modified` needs no help, and `permanent` says what it was told."""

    def page() -> str:
        session.setdefault("cart", []).append("coat")
        session.modified = True
        said = str(session.permanent)
        session.permanent = not session.permanent
        return said

    client = client_of(storage, {"/": page, **PAGES})
    assert [client.ask("/").text for _ in range(3)] == ["False", "True", "False"]
    assert client.ask("/cart").json == ["coat", "coat", "coat"]

    def touch() -> str:
        session.modified = True
        session.permanent = False
        return ""

    assert names_of(client_of(storage, {"/": touch}).ask("/")) == []


def test_clear_signs_out(storage: SessionStorage) -> None:
    """What many applications do: the cookie goes."""

    def out() -> str:
        flask.session.clear()
        return ""

    client = client_of(storage, {**PAGES, "/out": out})
    client.ask("/add?item=coat")
    assert "Max-Age=0" in client.ask("/out").headers["Set-Cookie"]
    assert client.ask("/cart").json is None


def test_flash_and_get_flashed_messages(storage: SessionStorage) -> None:
    """Messages come back once, as the pairs that Flask promises, and as text."""

    def leave() -> str:
        flask.flash("Saved.")
        flask.flash(Markup("<b>Gone.</b>"), "error")
        return ""

    def show() -> str:
        found = flask.get_flashed_messages(with_categories=True)
        assert found == flask.get_flashed_messages(with_categories=True)
        return repr((found, flask.get_flashed_messages(category_filter=["error"])))

    client = client_of(storage, {"/leave": leave, "/show": show})
    client.ask("/leave")
    pairs = [("message", "Saved."), ("error", "<b>Gone.</b>")]
    assert client.ask("/show").text == repr((pairs, ["<b>Gone.</b>"]))
    assert client.ask("/show").text == repr(([], []))


def test_looking_at_the_messages_in_the_session_changes_nothing() -> None:
    """They are turned into pairs for who asks, and stay what was stored."""

    def look() -> str:
        assert session["_flashes"] == [("message", "Saved.")]
        session["_flashes"] = session["_flashes"]
        return str(session.modified)

    def leave() -> str:
        flask.flash("Saved.")
        return ""

    client = client_of(MemoryStorage(), {"/leave": leave, "/": look})
    client.ask("/leave")
    assert [client.ask("/").text for _ in range(2)] == ["False", "False"]


def leave(text: str) -> str:
    flask.flash(text)
    return ""


def meanwhile(page: Page, other: str) -> Page:
    """Return *page*, but before it is saved another request of the same visitor asks *other*."""

    def overtaken() -> Any:
        said = page()
        client = flask.current_app.test_client()
        client.set_cookie("session", flask.request.cookies["session"])
        assert client.get(other).status_code == 200
        return said

    return overtaken


def shown() -> Any:
    return flask.jsonify(flask.get_flashed_messages())


@pytest.mark.parametrize("storage", ["memory", "sqlite"], indirect=True)
def test_no_message_is_lost_to_another_request(storage: SessionStorage) -> None:
    """Two that flash at once are both heard; one left while others were shown waits."""
    pages: dict[str, Page] = {
        "/first": lambda: leave("first"),
        "/second": lambda: leave("second"),
        "/both": meanwhile(lambda: leave("first"), "/second"),
        "/shown": shown,
        "/overtaken": meanwhile(shown, "/first"),
        **PAGES,
    }
    client = client_of(storage, pages)
    client.ask("/add?item=coat")
    client.ask("/both")
    assert client.ask("/shown").json == ["second", "first"]
    client.ask("/first")
    assert client.ask("/overtaken").json == ["first"]
    assert client.ask("/shown").json == ["first"]
    assert client.ask("/shown").json == []
    with client.session_transaction() as held:
        assert dict(held) == {"cart": ["coat"]}


def test_messages_that_were_put_there_by_hand(storage: SessionStorage) -> None:
    """A test that sets them, or an application that takes some away, gets what it put there."""
    client = client_of(storage, {"/shown": shown, "/first": lambda: leave("first")})
    with client.session_transaction() as held:
        held["_flashes"] = [("message", "one"), ("message", "two")]
    client.ask("/first")
    with client.session_transaction() as held:
        assert held["_flashes"][2] == ("message", "first")
        held["_flashes"] = held["_flashes"][1:]
        held["_flashes"] = [*held["_flashes"], ("message", "more")]
    assert client.ask("/shown").json == ["two", "first", "more"]
    with client.session_transaction() as held:
        held["_flashes"] = [("message", "one")]
        held["_flashes"] = [("message", "another"), ("message", "two")]
    assert client.ask("/shown").json == ["another", "two"]
    with client.session_transaction() as held:
        assert "_flashes" not in held
        with pytest.raises(KeyError):
            del held["_flashes"]


# What must not happen


def test_an_asynchronous_storage_is_refused() -> None:
    """Flask cannot wait for it, and says so when the interface is made."""
    with pytest.raises(ConfigurationError, match="asynchronous"):
        SessionInterface(COOKIE, AsyncKeyedStorage(Awaited()))


def test_a_cookie_without_secrets_is_refused() -> None:
    """There is no null session that fails at the first write: the application does not start."""
    with pytest.raises(ConfigurationError, match="no secrets"):
        SessionInterface(Cookie("session", secure=False), MemoryStorage())


def test_flasks_own_settings_are_not_used() -> None:
    """The cookie is the one that was given, and extensions that ask learn its name."""
    app = application(MemoryStorage(), PAGES)
    app.config.update(SESSION_COOKIE_NAME="theirs", SESSION_COOKIE_PATH="/theirs")
    line = app.test_client().get("/add?item=coat").headers["Set-Cookie"]
    assert line.startswith("session=")
    assert "Path=/;" in line
    assert app.session_interface.get_cookie_name(app) == "session"
    assert not app.session_interface.is_null_session(SessionInterface)


def test_two_middlewares_on_one_request_are_refused() -> None:
    """session() around the application, beside the interface, is a mistake that is told."""
    app = application(MemoryStorage(), PAGES)
    app.testing = True
    app.wsgi_app = session_of_wsgi(COOKIE, MemoryStorage()).wsgi(app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="runs twice"):
        app.test_client().get("/cart")


def test_a_session_that_was_replaced_is_not_saved() -> None:
    """What an extension puts in its place would be lost, so nothing is sent."""
    app = application(MemoryStorage(), PAGES)
    app.testing = True

    @app.after_request
    def replace(response: flask.Response) -> flask.Response:
        flask.globals.request_ctx._session = {"user": 1}  # type: ignore[assignment]
        return response

    with pytest.raises(ConfigurationError, match="something replaced"):
        app.test_client().get("/cart")


def test_an_error_page_is_a_failure_too(storage: SessionStorage) -> None:
    """Whoever writes it: a status of 500 and above saves nothing."""

    def unavailable() -> tuple[str, int]:
        session["cart"] = ["lost"]
        return "later", 503

    client = client_of(storage, {**PAGES, "/unavailable": unavailable})
    answer = client.ask("/unavailable")
    assert answer.headers["Vary"] == "Cookie"
    assert names_of(answer) == []
    assert client.ask("/cart").json is None


def test_a_value_that_cannot_be_stored_answers_500(storage: SessionStorage) -> None:
    """The page of the error is sent without a session, and nothing else of it is kept."""
    seen: list[object] = []

    def page() -> str:
        session["cart"] = held = ["coat"]
        held.append(object())  # type: ignore[arg-type]
        return ""

    app = application(storage, {**PAGES, "/page": page})

    @app.errorhandler(500)
    def failed(error: Any) -> tuple[str, int]:
        seen.append(type(error.original_exception))
        session.get("cart")
        return "sorry", 500

    client = app.test_client()
    answer = client.get("/page")
    assert (answer.status_code, answer.text) == (500, "sorry")
    assert answer.headers["Vary"] == "Cookie"
    assert names_of(answer) == []
    assert seen == [UnstorableValue]
    assert client.get("/cart").json is None


def test_an_error_after_the_save_loses_no_new_id() -> None:
    """The record lies under the new id already, so the page of the error carries it."""
    app = application(MemoryStorage(), PAGES)

    def sign_in() -> str:
        session["cart"] = ["coat"]
        session.regenerate_id()
        return ""

    app.add_url_rule("/in", "in", sign_in)
    client = app.test_client()
    client.get("/add?item=hat")

    def fail(_: flask.Flask, **__: object) -> None:
        raise LookupError

    with flask.request_finished.connected_to(fail, app):
        answer = client.get("/in")
    assert answer.status_code == 500
    assert names_of(answer) == ["session"]
    assert client.get("/cart").json == ["coat"]


def test_a_cookie_that_browsers_lose_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As by the middleware: Secure, over plain http."""
    caplog.set_level(logging.WARNING, "coatcheck")
    app = application(MemoryStorage(), PAGES)
    secure = Cookie("session", secrets=[SECRET])
    app.session_interface = SessionInterface(secure, MemoryStorage())
    app.test_client().get("/add?item=coat", base_url="http://example.org")
    assert "cookie 'session' will be lost: it is Secure" in caplog.text


# Servers that fail


class Down(MemoryBackend):
    """A server that takes no reads, or no writes."""

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=system_clock)
        self.reads = self.writes = True

    def get(self, key: str) -> Any:
        if not self.reads:
            raise BackendError("the server", "read")
        return super().get(key)

    def swap(self, *given: Any) -> Any:
        if not self.writes:
            raise BackendError("the server", "write")
        return super().swap(*given)


@pytest.mark.parametrize("fails", ["reads", "writes"])
def test_a_store_that_is_down_is_for_the_application_to_answer(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handler of status 500 gets the error, whether a read failed or a save."""
    caplog.set_level(logging.ERROR, __name__)
    backend = Down()
    app = application(KeyedStorage(backend), PAGES)

    @app.errorhandler(500)
    def failed(error: Any) -> tuple[str, int]:
        assert isinstance(error.original_exception, BackendError)
        return "later", 503

    client = app.test_client()
    client.get("/add?item=coat")
    setattr(backend, fails, False)
    assert client.get("/add?item=hat").status_code == 503
    assert [record.getMessage() for record in caplog.records if record.name == __name__] == [
        "Exception on /add [GET]"  # and nothing about the answer to it
    ]
    setattr(backend, fails, True)
    assert client.get("/cart").json == ["coat"]


def test_an_outage_may_be_served_without_sessions() -> None:
    """With on_outage="anonymous": an empty session that is never written."""
    backend = Down()
    client = client_of(KeyedStorage(backend), PAGES, on_outage="anonymous")
    client.ask("/add?item=coat")
    backend.reads = False
    answer = client.ask("/add?item=hat")
    assert answer.json == ["hat"]
    assert names_of(answer) == []
    backend.reads = True
    assert client.ask("/cart").json == ["coat"]


# Streams and late changes


def stream_of(*steps: Callable[[], object]) -> Page:
    """Return a page that streams between its steps, the first of which runs in the handler."""

    def page() -> flask.Response:
        steps[0]()

        def parts() -> Iterator[str]:
            for step in steps[1:]:
                yield "part;"
                step()

        return flask.Response(flask.stream_with_context(parts()))

    return page


def sets(**values: Any) -> Callable[[], object]:
    return lambda: session.update(values)


def test_a_stream_is_saved_before_its_headers_and_at_its_end() -> None:
    """A server-side session that the client holds an id of takes late changes."""
    memory = MemoryStorage()
    pages = {"/": stream_of(sets(cart=["coat"]), sets(cart=["coat", "hat"]), sets(late=1)), **PAGES}
    app = application(memory, pages)
    client = app.test_client()
    answer = client.get("/")  # not read yet
    assert names_of(answer) == ["session"]
    with client.session_transaction() as held:
        assert dict(held) == {"cart": ["coat"]}
    assert answer.text == "part;part;"
    answer.close()
    assert client.get("/cart").json == ["coat", "hat"]


def test_a_stream_that_is_the_first_to_read_says_that_it_may() -> None:
    """Its headers leave before its parts run, so they say so for every session there is."""
    pages = {"/": stream_of(lambda: None, lambda: session.get("cart")), **PAGES}
    client = application(MemoryStorage(), pages).test_client()
    assert "Vary" not in client.get("/").headers
    with client.session_transaction() as held:
        held["cart"] = ["coat"]
    assert client.get("/").headers["Vary"] == "Cookie"


def test_what_a_client_that_leaves_did_not_hear_is_saved() -> None:
    """A server closes a stream in the middle; what was changed by then is no failure."""
    client = application(
        MemoryStorage(), {"/": stream_of(sets(cart=[]), sets(cart=["coat"]), sets(x=1)), **PAGES}
    ).test_client()
    answer = client.get("/")
    parts = iter(answer.response)
    assert [next(parts), next(parts)] == [b"part;", b"part;"]
    answer.close()
    assert client.get("/cart").json == ["coat"]


def test_a_stream_that_breaks_keeps_what_left_with_its_headers() -> None:
    """And nothing that came after."""

    def breaks() -> None:
        session["cart"] = ["lost"]
        raise LookupError

    client = client_of(MemoryStorage(), {"/": stream_of(sets(cart=["coat"]), breaks), **PAGES})
    client.ask("/add?item=hat")  # a client of a test gets no headers of a stream that breaks
    with pytest.raises(LookupError):
        client.ask("/")
    assert client.ask("/cart").json == ["coat"]


@pytest.mark.parametrize("make", [MemoryStorage, CookieStorage])
def test_a_change_that_comes_too_late_fails_at_its_line(
    make: Callable[[], SessionStorage],
) -> None:
    """The headers of a new session, or of one in the cookie, have left."""
    raised: list[ResponseStarted] = []

    def late() -> None:
        with pytest.raises(ResponseStarted) as error:
            session["late"] = True
        raised.append(error.value)

    storage = make()
    client = client_of(storage, {"/": stream_of(lambda: None, late), **PAGES})
    assert client.ask("/").text == "part;"
    if isinstance(storage, CookieStorage):
        client.ask("/add?item=coat")
        client.ask("/")
        assert len(raised) == 2
    assert raised


def test_a_stream_is_closed_also_when_it_was_not_read() -> None:
    """HEAD reads nothing, and what the handler opened is closed."""
    opened = io.BytesIO(b"body")

    def page() -> flask.Response:
        session["cart"] = ["coat"]
        return flask.Response(opened)

    client = application(MemoryStorage(), {"/": page, **PAGES}).test_client()
    client.head("/", buffered=True)
    assert opened.closed
    assert client.get("/cart").json == ["coat"]


def file_page() -> flask.Response:
    session.get("cart")
    return flask.send_file(io.BytesIO(b"file"), mimetype="text/plain")


def test_a_change_in_a_teardown_is_saved_or_told() -> None:
    """It runs after the save: where the body is a file, the server sees its end, and not we."""
    app = application(MemoryStorage(), {**PAGES, "/file": file_page})
    raised: list[Exception] = []

    @app.teardown_request
    def late(_: BaseException | None) -> None:
        if flask.request.path != "/cart":
            try:
                session["cart"] = [flask.request.path]
            except ResponseStarted as error:
                raised.append(error)

    client = app.test_client()
    with client.session_transaction() as held:
        held["user"] = "ada"
    client.get("/add?item=coat", buffered=True)
    assert client.get("/cart").json == ["/add"]
    assert client.get("/file", buffered=True).data == b"file"
    assert len(raised) == 1
    assert client.get("/cart").json == ["/add"]


# Tests of an application


def test_session_transaction(storage: SessionStorage) -> None:
    """Flask's test client reads the session that it holds, and stores it back."""
    client = client_of(storage, PAGES)
    with client.session_transaction() as held:
        assert isinstance(held, Session)
        assert held.is_new
        held["cart"] = ["coat"]
    assert client.ask("/cart").json == ["coat"]
    with client.session_transaction() as held:
        held["cart"].append("hat")
    assert client.ask("/add?item=tie").json == ["coat", "hat", "tie"]
    with client.session_transaction() as held:
        held.clear()
    assert client.ask("/cart").json is None


def test_a_session_transaction_that_changes_nothing_leaves_no_cookie() -> None:
    """As a request would."""
    client = client_of(MemoryStorage(), PAGES)
    with client.session_transaction() as held:
        assert "cart" not in held
    assert client.get_cookie("session") is None


def test_the_session_can_be_read_after_a_request(storage: SessionStorage) -> None:
    """`with client:` keeps the request, and its session, for a look."""
    with application(storage, PAGES).test_client() as client:
        client.get("/add?item=coat")
        assert flask.session["cart"] == ["coat"]


def test_the_test_kit_speaks_to_flasks_client(storage: SessionStorage) -> None:
    """What `SessionKit` puts there `flask.session` finds, and the other way round."""
    kit = SessionKit(COOKIE, storage)
    client = client_of(storage, PAGES)
    kit.put(client, cart=["coat"])
    assert client.ask("/add?item=hat").json == ["coat", "hat"]
    assert kit.read(client)["cart"] == ["coat", "hat"]


def test_the_terms_are_the_ones_of_session() -> None:
    """idle, lifetime and refresh are carried through."""
    clock = Clock()
    client = client_of(MemoryStorage(clock=clock), PAGES, idle=100, lifetime=150, refresh=0.5)
    client.ask("/add?item=coat")
    clock.now += 40
    assert names_of(client.ask("/cart")) == []
    clock.now += 20
    assert names_of(client.ask("/cart")) == ["session"]
    clock.now += 80
    assert client.ask("/cart").json == ["coat"]
    clock.now += 20
    assert client.ask("/cart").json is None


@dataclass
class Visit:
    cart: list[str] = field(default_factory=list)


def test_a_typed_session(storage: SessionStorage) -> None:
    """With data=Visit: `session.data` is one, and what does not fit is refused."""

    def add() -> Any:
        visit: Visit = session.data
        visit.cart.append(flask.request.args["item"])
        return flask.jsonify(flask.session["cart"])

    def break_it() -> str:
        flask.session["cart"] = "a coat"
        return ""

    client = client_of(storage, {**PAGES, "/add": add, "/break": break_it}, data=Visit)
    assert client.ask("/cart").json is None
    assert client.ask("/add?item=coat").json == ["coat"]
    assert client.ask("/break").status_code == 500
    assert client.ask("/add?item=hat").json == ["coat", "hat"]
    assert client.ask("/cart").json == ["coat", "hat"]


def test_a_handler_that_is_async(storage: SessionStorage) -> None:
    """Flask runs it in a loop of its own, with the same session."""
    pytest.importorskip("asgiref")

    async def page() -> Any:
        session["cart"] = ["coat"]
        return flask.jsonify(session["cart"])

    client = client_of(storage, {"/": page, **PAGES})
    assert client.ask("/").json == ["coat"]
    assert client.ask("/cart").json == ["coat"]


def test_leaving_a_message_is_a_use_of_the_session() -> None:
    """So the response says `Vary: Cookie`, also where Flask's proxy has no part in it."""
    held: FlaskSession[Any] = FlaskSession()
    assert not held.accessed
    held["_flashes"] = [("message", "Saved.")]
    assert held.accessed
