"""Django: what a request with an old key, or one whose session ended meanwhile, may still do."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.test import Client, override_settings

from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock
from tests.frameworks.django_site import PAGES

DAY = 24 * 3600

Meanwhile = Callable[[Callable[[], object]], None]

OURS = [
    name.replace("django.contrib.sessions.middleware", "coatcheck.frameworks.django")
    for name in settings.MIDDLEWARE
]


@pytest.fixture(autouse=True)
def kept(clock: Clock) -> Iterator[KeyedStorage]:
    """The storage of the site: in memory, under the test's clock."""
    storage = MemoryStorage(clock=clock)
    with override_settings(COATCHECK_STORAGE=storage):
        yield storage


@pytest.fixture
def store() -> Any:
    """Makes a session, as the middleware does from a cookie's value."""
    return importlib.import_module(settings.SESSION_ENGINE).SessionStore


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Sets what another request does while /slow is served."""
    place = importlib.import_module(PAGES).Meanwhile

    def set_act(act: Callable[[], object]) -> None:
        monkeypatch.setattr(place, "act", act)

    return set_act


@pytest.fixture(params=[False, True], ids=["when modified", "every request"])
def _saves(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways of Django's to save."""
    with override_settings(SESSION_SAVE_EVERY_REQUEST=request.param):
        yield


@pytest.fixture(params=["theirs", "ours"])
def _middleware(request: pytest.FixtureRequest) -> Iterator[None]:
    """Django's middleware and the one that may take its place."""
    names = settings.MIDDLEWARE if request.param == "theirs" else OURS
    with override_settings(MIDDLEWARE=names):
        yield


def made(store: Any, **values: object) -> Any:
    """A session that is stored."""
    session = store()
    session.update(values)
    session.save()
    return session


def held(store: Any, key: str | None) -> dict[str, Any]:
    return dict(store(key).items())


def browser(key: str) -> Client:
    return Client(headers={"cookie": f"sessionid={key}"})


def sign_in_as_another(session: Any) -> None:
    """What `login` does where another user is signed in."""
    session.flush()
    session["user"] = "bob"
    session.save()


CHANGES = {
    "another key": lambda session: session.cycle_key(),
    "ended": lambda session: session.flush(),
    "another user": sign_in_as_another,
}
"""What may happen to a session while requests with its key are under way."""


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Callable[[Any], object]:
    return CHANGES[request.param]


@pytest.mark.usefixtures("_saves", "_middleware")
@pytest.mark.parametrize("path", ["/cart", "/nothing", "/slow"])
def test_a_request_that_comes_with_an_old_key_and_only_looks_is_served(
    store: Any, change: Callable[[Any], object], path: str
) -> None:
    """It sees no session, and its answer neither sets nor removes the browser's newer cookie."""
    session = made(store, cart=["tea"])
    old = session.session_key
    change(session)
    answer = browser(old).get(path)
    assert answer.status_code == 200
    assert not answer.cookies
    assert b"tea" not in answer.content


@pytest.mark.usefixtures("_saves", "_middleware")
def test_a_request_that_comes_with_the_key_from_before_and_writes_is_refused(store: Any) -> None:
    """For a minute after the change of key: the browser is about to get the new one."""
    session = made(store, cart=["tea"])
    old = session.session_key
    session.cycle_key()
    answer = browser(old).get("/add/milk")
    assert answer.status_code == 400
    assert not answer.cookies
    assert held(store, session.session_key) == {"cart": ["tea"]}


def test_a_client_that_kept_an_old_key_is_a_new_visitor_after_a_minute(
    store: Any, clock: Clock
) -> None:
    """No answer with the new key is on its way any more."""
    session = made(store, cart=["tea"])
    old = session.session_key
    session.cycle_key()
    clock.advance(61)
    answer = browser(old).get("/add/milk")
    assert held(store, answer.cookies["sessionid"].value) == {"cart": ["milk"]}


@pytest.mark.usefixtures("_saves", "_middleware")
def test_a_request_whose_session_is_gone_when_it_writes_is_refused(
    store: Any, change: Callable[[Any], object], meanwhile: Meanwhile
) -> None:
    """400 and no cookie; nothing is brought back."""
    session = made(store, cart=["tea"])
    old = session.session_key
    meanwhile(lambda: change(session))
    answer = browser(old).get("/slow?write")
    assert answer.status_code == 400
    assert not answer.cookies
    assert held(store, old) == {}
    assert "slow" not in held(store, session.session_key)


@pytest.mark.parametrize(
    ("overridden", "status"),
    [
        ({"SESSION_SAVE_EVERY_REQUEST": False}, 200),
        ({"SESSION_SAVE_EVERY_REQUEST": True}, 400),
        ({"SESSION_SAVE_EVERY_REQUEST": False, "MIDDLEWARE": OURS}, 200),
        ({"SESSION_SAVE_EVERY_REQUEST": True, "MIDDLEWARE": OURS}, 200),
    ],
)
def test_a_request_whose_session_is_gone_when_it_was_only_to_be_renewed(
    store: Any,
    change: Callable[[Any], object],
    meanwhile: Meanwhile,
    overridden: dict[str, Any],
    status: int,
) -> None:
    """Never a cookie; Django's own middleware knows nothing but 400 for a save that fails."""
    session = made(store, cart=["tea"])
    meanwhile(lambda: change(session))
    with override_settings(**overridden):
        answer = browser(session.session_key).get("/slow")
    assert answer.status_code == status
    assert not answer.cookies


@pytest.mark.usefixtures("_saves", "_middleware")
def test_a_key_that_leads_nowhere_is_removed_from_the_browser() -> None:
    """As by Django's own engines: a session that expired long ago, or was never there."""
    answer = browser("x" * 40).get("/cart")
    assert answer.status_code == 200
    assert answer.cookies["sessionid"]["max-age"] == 0


@pytest.mark.parametrize("write", [lambda s: s.save(), lambda s: s.clear() or s.save()])
def test_a_save_that_changes_nothing_tells_that_the_session_is_gone(
    store: Any, change: Callable[[Any], object], write: Callable[[Any], object]
) -> None:
    """Also when its deadline needs no moving; and the key is none that could go into a cookie."""
    session = made(store, cart=["tea"])
    late = store(session.session_key)
    assert late["cart"] == ["tea"]
    change(session)
    with pytest.raises(UpdateError):
        write(late)
    with pytest.raises(UpdateError):
        late.save()


def test_a_new_key_keeps_nothing_of_a_session_that_moved(store: Any) -> None:
    """What this request wrote under keys that the session did not hold goes along, no more."""
    session = made(store, cart=["tea"], auth={"user": "ada"})
    late = store(session.session_key)
    late["cart"].append("milk")
    late["auth"]["team"] = 7
    late["next"] = "/account"
    session.cycle_key()
    late.cycle_key()
    assert dict(late.items()) == {"next": "/account"}
    late["user"] = "ada"
    late.save()
    assert held(store, late.session_key) == {"next": "/account", "user": "ada"}


def test_a_new_key_of_a_session_that_ended_is_refused(store: Any) -> None:
    """The visitor signed out: nothing that was there returns."""
    session = made(store, auth={"user": "ada"})
    late = store(session.session_key)
    late["auth"]["team"] = 7
    session.flush()
    with pytest.raises(SessionInterrupted):
        late.cycle_key()


def test_a_value_that_was_handed_out_before_the_key_changed_is_still_seen(store: Any) -> None:
    """As long as the session kept it."""
    session = made(store, cart=["tea"])
    again = store(session.session_key)
    cart = again["cart"]
    again.cycle_key()
    cart.append("milk")
    again.save()
    assert held(store, again.session_key) == {"cart": ["tea", "milk"]}


@pytest.mark.usefixtures("_saves", "_middleware")
@pytest.mark.parametrize("page", ["/out", "/slow?out"])
def test_signing_out_with_the_old_key_ends_the_session_under_its_new_one(
    store: Any, meanwhile: Meanwhile, page: str
) -> None:
    """The request had read the session before its key changed, or comes later."""
    session = made(store, user="ada")
    old = session.session_key
    if page == "/out":
        session.cycle_key()
    else:
        meanwhile(session.cycle_key)
    answer = browser(old).get(page)
    assert answer.cookies["sessionid"]["max-age"] == 0
    assert held(store, session.session_key) == {}


@pytest.mark.usefixtures("_saves", "_middleware")
@pytest.mark.parametrize("page", ["/out", "/slow?out"])
def test_signing_out_with_the_key_of_a_former_user_ends_nothing(
    store: Any, meanwhile: Meanwhile, page: str
) -> None:
    """Another user signed in meanwhile: that session stays, and so does its cookie."""
    session = made(store, user="ada")
    old = session.session_key
    if page == "/out":
        sign_in_as_another(session)
    else:
        meanwhile(lambda: sign_in_as_another(session))
    answer = browser(old).get(page)
    assert answer.status_code == 200
    assert not answer.cookies
    assert held(store, session.session_key) == {"user": "bob"}


def test_an_expiry_in_the_past_is_told_too_if_the_session_is_gone(store: Any) -> None:
    """It ends the session; a removal cookie would take the browser's newer one."""
    session = made(store, user="ada")
    late = store(session.session_key)
    late.set_expiry(-1)
    session.flush()
    with pytest.raises(UpdateError):
        late.save()


def test_a_request_that_takes_longer_than_a_session_may_idle_keeps_it(
    store: Any, clock: Clock
) -> None:
    """It read a living session, and may renew it for 15 minutes after the deadline."""
    session = made(store, user="ada")
    key = session.session_key
    clock.advance(14 * DAY - 10)
    upload, too_long = store(key), store(key)
    assert upload["user"] == too_long["user"] == "ada"
    clock.advance(15 * 60)
    assert held(store, key) == {}
    upload["file"] = "report.pdf"
    upload.save()
    assert held(store, key) == {"user": "ada", "file": "report.pdf"}


def test_no_request_keeps_a_session_longer_than_that(store: Any, clock: Clock) -> None:
    """Its record is gone 15 minutes after the deadline."""
    session = made(store, user="ada")
    clock.advance(14 * DAY - 10)
    upload = store(session.session_key)
    upload["file"] = "report.pdf"
    clock.advance(15 * 60 + 11)
    with pytest.raises(UpdateError):
        upload.save()


@pytest.mark.parametrize(
    "look",
    [
        lambda session: session.session_key,
        lambda session: session.exists("x" * 40),
        lambda session: session.exists(None),
        lambda session: session.load(),
    ],
)
def test_whoever_asks_for_the_key_depends_on_the_session(
    store: Any, look: Callable[[Any], object]
) -> None:
    """The response is to vary by the cookie."""
    for session in (store(), store("x" * 40)):
        assert not session.accessed
        look(session)
        assert session.accessed


@pytest.mark.parametrize("path", ["/nothing", "/file"])
@pytest.mark.usefixtures("_middleware")
def test_a_response_that_did_not_touch_the_session_does_not_vary(store: Any, path: str) -> None:
    """Caches may keep it for everybody, a file too."""
    for client in (Client(), browser(made(store, cart=[]).session_key)):
        answer = client.get(path)
        assert not answer.has_header("Vary")


@pytest.mark.usefixtures("_middleware")
def test_a_streamed_response_varies_by_the_cookie(store: Any) -> None:
    """Its body may read the session after the headers left: the middleware asks before that."""
    answer = browser(made(store, cart=["tea"]).session_key).get("/stream")
    assert answer["Vary"] == "Cookie"
    assert b"".join(answer.streaming_content) == b"['tea']"


@pytest.mark.usefixtures("_middleware", "_saves")
def test_caches_are_told_of_an_old_key_too(store: Any) -> None:
    """The response to it depends on the cookie, though it sets none."""
    session = made(store, cart=["tea"])
    old = session.session_key
    session.cycle_key()
    assert browser(old).get("/cart")["Vary"] == "Cookie"


def test_only_the_middleware_is_told_of_a_response(store: Any) -> None:
    """Other code that asks an old key learns what it always did."""
    session = made(store, cart=["tea"])
    old = store(session.session_key)
    assert not old.accessed
    session.cycle_key()
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True), pytest.raises(AttributeError):
        old.is_empty()
    assert old.accessed
