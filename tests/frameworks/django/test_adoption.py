"""Sessions that Django's own engines left, under our engine."""

import asyncio
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends import signed_cookies
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from coatcheck import Cookie, Users, adopt
from coatcheck.testing import Clock
from tests.adopt.formats import Records

KEY = "185krgjzw49ni47ny99miwm6z1f2n27t"
RECORD = f":1:django.contrib.sessions.cache{KEY}"
VALUES = {"cart": [1], "_auth_user_id": "7", "_auth_user_hash": "h" * 64}

Get = Callable[[HttpRequest], HttpResponse]


@pytest.fixture
def client() -> Records:
    """A cache in which Django's engine left one session."""
    return Records({RECORD: pickle.dumps(VALUES)})


@pytest.fixture(params=[False, True], ids=["read", "taken"])
def adopting(request: pytest.FixtureRequest, kept: object, client: Records) -> Iterator[None]:
    """Our engine, with a reader of that cache."""
    assert kept
    readers = [
        adopt.Django(secrets=[settings.SECRET_KEY]),
        adopt.DjangoCache(client, take=request.param),
    ]
    with override_settings(COATCHECK_OPTIONS={"adopts": readers}):
        yield


def ask(engine: Any, cookie: str, view: Callable[[Any], object]) -> tuple[object, HttpResponse]:
    """Send one request through our middleware; return what the view returns, and the response."""
    said: list[object] = []

    def get_response(request: Any) -> HttpResponse:
        said.append(view(request.session))
        return HttpResponse("ok")

    request = HttpRequest()
    request.COOKIES = {"sessionid": cookie} if cookie else {}
    return said, engine.SessionMiddleware(get_response)(request)


def key_of(response: HttpResponse) -> str:
    """Return the key that a response gives to the browser."""
    return str(response.cookies["sessionid"].value)


@pytest.mark.usefixtures("adopting")
def test_a_session_of_the_cache_becomes_one_of_ours(engine: Any) -> None:
    """Under a new key, which replaces the old one in the browser; what login() wrote stays."""
    said, response = ask(engine, KEY, lambda session: dict(session.items()))
    assert said == [VALUES]
    key = key_of(response)
    assert len(key) == 40
    said, response = ask(engine, key, lambda session: session["_auth_user_hash"])
    assert said == ["h" * 64]
    assert "sessionid" not in response.cookies


@pytest.mark.usefixtures("adopting")
def test_a_request_that_does_not_look_keeps_the_old_key(engine: Any, client: Records) -> None:
    """An image takes no cookie away."""
    _, response = ask(engine, KEY, lambda _: None)
    assert "sessionid" not in response.cookies
    assert client.records


@pytest.mark.usefixtures("adopting")
def test_a_copy_of_the_old_key_signs_in_once(engine: Any, clock: Clock) -> None:
    """For the grace it leads to the same session; after the sign-out, and later, to none."""
    _, response = ask(engine, KEY, lambda session: session["cart"])
    said, again = ask(engine, KEY, lambda session: session["cart"])
    assert (said, key_of(again)) == ([[1]], key_of(response))
    ask(engine, key_of(response), lambda session: session.flush())
    assert ask(engine, KEY, lambda session: session.get("cart"))[0] == [None]
    clock.advance(3600)
    assert ask(engine, KEY, lambda session: session.get("cart"))[0] == [None]


@pytest.mark.usefixtures("adopting")
def test_a_sign_out_as_the_first_request_uses_the_old_key_up(engine: Any) -> None:
    """Django's `logout()` flushes."""
    _, response = ask(engine, KEY, lambda session: session.flush())
    assert response.cookies["sessionid"]["max-age"] == 0
    assert ask(engine, KEY, lambda session: session.get("cart"))[0] == [None]


@pytest.mark.usefixtures("adopting")
def test_a_login_in_the_first_request_has_a_key_of_its_own(engine: Any) -> None:
    """Django's `login()` calls `cycle_key`."""

    def login(session: Any) -> None:
        session["cart"].append(2)
        session.cycle_key()

    _, response = ask(engine, KEY, login)
    assert ask(engine, key_of(response), lambda session: session["cart"])[0] == [[1, 2]]


def test_after_a_sign_out_everywhere_nothing_is_adopted(
    engine: Any, kept: Any, client: Records
) -> None:
    """Of that user; the session of another one is let in, signed in from the first request on."""
    options = {
        "adopts": [adopt.DjangoCache(client)],
        "user_key": "_auth_user_id",
        "users": Users(Cookie("sessionid", secrets=["x" * 40]), kept),
    }
    with override_settings(COATCHECK_OPTIONS=options):
        engine.users().end_all("8")
        said, _ = ask(engine, KEY, lambda session: session.signed_in.user)
        assert said == ["7"]
        client.records[RECORD.replace(KEY, "z" * 32)] = pickle.dumps(VALUES)
        engine.users().end_all("7")
        said, response = ask(engine, "z" * 32, lambda session: list(session.items()))
        assert said == [[]]
        assert "sessionid" not in response.cookies or not key_of(response)


@pytest.mark.usefixtures("adopting")
def test_a_signed_cookie_is_adopted(engine: Any) -> None:
    """And the messages in it stay where Django's messages framework looks."""
    old = signed_cookies.SessionStore()
    old["a"] = 1
    old["_messages"] = json.dumps([["__json_message", 0, 20, "Hi."]])
    old.save()
    clock_of_django_is_real = adopt.Django(secrets=[settings.SECRET_KEY], max_age=10**10)
    with override_settings(COATCHECK_OPTIONS={"adopts": [clock_of_django_is_real]}):
        said, _ = ask(engine, old.session_key, lambda session: dict(session.items()))
    assert said == [{"a": 1, "_messages": old["_messages"]}]


@pytest.mark.usefixtures("adopting")
@pytest.mark.parametrize("cookie", ["forged", "x" * 500, "é", '"', KEY[:-1] + "0"])
def test_what_no_engine_wrote_is_an_empty_session(engine: Any, cookie: str) -> None:
    """Nothing raises, and nothing is kept."""
    said, response = ask(engine, cookie, lambda session: dict(session.items()))
    assert said == [{}]
    assert response.cookies["sessionid"]["max-age"] == 0


@pytest.mark.usefixtures("adopting")
def test_asynchronous_views_adopt_too(engine: Any, client: Records) -> None:
    """The reader's client is asked in a thread."""

    async def views() -> object:
        session = engine.SessionStore(KEY)
        said = await session.aget("cart")
        await session.asave()
        return said, await engine.SessionStore(session.session_key).aget("cart")

    assert asyncio.run(views()) == ([1], [1])
    assert client.asked


def test_an_event_loop_does_not_wait_for_the_client(
    engine: Any, client: Records, tmp_path: Path
) -> None:
    """Over a storage that waits, the reader looks and takes in a thread."""
    options = {"adopts": [adopt.DjangoCache(client, take=True)]}

    async def views() -> object:
        session = engine.SessionStore(KEY)
        said = await session.aget("cart")
        await session.asave()
        return said

    with override_settings(COATCHECK_STORAGE=f"sqlite:{tmp_path}/db", COATCHECK_OPTIONS=options):
        assert asyncio.run(views()) == [1]
    assert not client.records


def test_a_record_that_cannot_be_taken_stays(
    engine: Any, kept: object, client: Records, caplog: pytest.LogCaptureFixture
) -> None:
    """The session is one of ours all the same."""
    assert kept

    class Stuck(Records):
        def execute_command(self, command: str, key: str) -> Any:
            if command == "DEL":
                raise OSError
            return super().execute_command(command, key)

    readers = [adopt.DjangoCache(Stuck(client.records), take=True)]
    with override_settings(COATCHECK_OPTIONS={"adopts": readers}):
        _, response = ask(engine, KEY, lambda session: session["cart"])
    assert len(key_of(response)) == 40
    assert "stays where it was" in caplog.text
