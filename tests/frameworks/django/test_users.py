"""A user's sessions, as Django's views list and end them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from coatcheck import Cookie, Session, Users
from coatcheck.storage import FileStorage
from coatcheck.testing import Clock

KEY = "_auth_user_id"


@pytest.fixture(autouse=True)
def _listed(kept: Any) -> Iterator[None]:
    """The site lists the sessions of its users."""
    users = Users(Cookie("sessionid", secrets=["x" * 40]), kept)
    with override_settings(COATCHECK_OPTIONS={"user_key": KEY, "users": users}):
        yield


def request_of(key: str | None) -> HttpRequest:
    request = HttpRequest()
    request.COOKIES = {"sessionid": key} if key else {}
    return request


def ask(engine: Any, key: str | None, view: Any) -> str:
    """Send one request through our middleware; return the key that the browser has then."""

    def get_response(request: Any) -> HttpResponse:
        view(request.session)
        return HttpResponse("ok")

    response = engine.SessionMiddleware(get_response)(request_of(key))
    newer = response.cookies.get("sessionid")
    return str(newer.value) if newer else str(key)


def sign_in(engine: Any, clock: Clock) -> str:
    """Sign user 7 in, as `login()` does."""
    key = ask(engine, None, lambda session: session.update({KEY: "7"}))
    clock.advance(1)
    return key


def user_of(store: Any, key: str) -> object:
    signed_in = store(key).signed_in
    return signed_in and signed_in.user


def test_a_view_says_which_session_is_its_own(engine: Any, store: Any, clock: Clock) -> None:
    """`request.session` is that of the request for every method of `Users`."""
    laptop, phone = sign_in(engine, clock), sign_in(engine, clock)
    said: list[Any] = []

    def ends_others(session: Any) -> None:
        listed = engine.users().sessions_of(7, current=session)
        said.append([each.is_current for each in listed])
        said.append(engine.users().end_others(session))

    ask(engine, laptop, ends_others)
    assert said == [[False, True], 1]
    assert [user_of(store, key) for key in (laptop, phone)] == ["7", None]

    def resets(session: Any) -> None:
        engine.users().end_all(7, current=session)
        session.clear()
        session.cycle_key()
        session[KEY] = "7"

    assert user_of(store, ask(engine, phone, resets)) == "7"
    assert user_of(store, laptop) is None


def test_an_asynchronous_view_does_so_too(engine: Any, store: Any, clock: Clock) -> None:
    """Once the session was read, as Django's `auser` does."""
    laptop, phone = sign_in(engine, clock), sign_in(engine, clock)

    async def get_response(request: Any) -> HttpResponse:
        assert await request.session.aget(KEY) == "7"
        assert await engine.users().aio.end_others(request.session) == 1
        return HttpResponse("ok")

    asyncio.run(engine.SessionMiddleware(get_response)(request_of(laptop)))
    assert [user_of(store, key) for key in (laptop, phone)] == ["7", None]


def test_the_session_behind_it_is_read_when_it_is_asked_for(store: Any, tmp_path: Any) -> None:
    """Never in an event loop."""

    async def asks() -> Session:
        own: Session = store("k" * 40).own
        return own

    with override_settings(COATCHECK_STORAGE=FileStorage(tmp_path / "s"), COATCHECK_OPTIONS={}):
        session = store(None)
        assert session.own is session.own
        with pytest.raises(SynchronousOnlyOperation):
            asyncio.run(asks())
