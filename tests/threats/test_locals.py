"""
What a reporter of errors finds in the frames of coatcheck: no id, no cookie, no value.

Reporters such as Sentry, rich and structlog print the local variables of every frame.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp.web
import pytest
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from django.test import override_settings
from flask import Flask
from flask import session as flask_session
from flask.sessions import SecureCookieSessionInterface
from litestar import Litestar, Request, get
from litestar.exceptions import LitestarException
from litestar.testing import TestClient as LitestarClient
from quart import Quart
from quart import session as quart_session

import coatcheck
from coatcheck import BackendError, ConfigurationError, Session, SessionError, adopt
from coatcheck._request.adoption import Judged
from coatcheck._request.visit import Changes, Theirs
from coatcheck.adopt.reader import Found
from coatcheck.adopt.stores import Row
from coatcheck.adopt.timed import Timed
from coatcheck.frameworks import aiohttp as of_aiohttp
from coatcheck.frameworks import flask as of_flask
from coatcheck.frameworks import quart as of_quart
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.pyramid import PyramidSession
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, Refused, Stored
from coatcheck.storage.backends.memory import MemoryBackend
from tests.frameworks.django_site import engine
from tests.hosts import COOKIE, Handler
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import both, holding, sets

OURS = str(Path(coatcheck.__file__).parent)
VALUE = "swordfish"

Page = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]


class Failing(MemoryBackend):
    """A backend of which one operation fails."""

    fails = ""

    def get(self, key: str) -> Stored | None:
        if self.fails == "read":
            raise BackendError("the server", "read")
        return super().get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if self.fails == "write":
            raise BackendError("the server", "write")
        return super().swap(key, version, record, ttl)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    while each:
        yield each
        each = each.__cause__ or each.__context__


def shown_by(error: BaseException, *secrets: str | None) -> list[str]:
    """Return the local variables of our frames that show a secret, and the texts that do."""
    found = [
        f"text: {each!r}" for each in chain_of(error) for it in secrets if it and it in str(each)
    ]
    for each in chain_of(error):
        for frame, line in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename.startswith(OURS):
                found += [
                    f"{frame.f_code.co_qualname}:{line}: {name}"
                    for name, value in frame.f_locals.items()
                    for secret in secrets
                    if secret and secret in repr(value)
                ]
    return found


def fails(_: Any) -> None:
    raise LookupError("a mistake of the application")


def is_unstorable(session: Any) -> None:
    session["word"] = {VALUE}


def is_unstorable_inside(session: Any) -> None:
    session["words"].append({VALUE})


def grows(session: Any) -> None:
    session["word"] = VALUE * 200_000


def writes(session: Any) -> None:
    session["word"] = VALUE


def ends_and_writes(session: Session) -> None:
    session.destroy()
    session["word"] = VALUE


HANDLERS: list[Handler] = [fails, is_unstorable, is_unstorable_inside, grows, ends_and_writes]


@both
@pytest.mark.parametrize("make", [CookieStorage, MemoryStorage])
@pytest.mark.parametrize("handler", HANDLERS)
def test_an_error_of_a_request_shows_nothing(name: str, make: Any, handler: Handler) -> None:
    """Whether the application fails, or a change that it made."""
    with front_of(name, Made(make())) as front:
        browser = front.browser()
        browser.ask(sets(words=[VALUE]))
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind
            browser.ask(handler)
    assert shown_by(raised.value, VALUE, browser.value, browser.header) == []


CHANGES: dict[str, Callable[[Session], object]] = {
    "set": lambda session: session.set("word", {VALUE}),
    "setdefault": lambda session: session.setdefault("word", {VALUE}),
    "flash": lambda session: session.flash("word", {VALUE}),
    "apply, its default": lambda session: session.apply("word", str, {VALUE}),
    "apply, its result": lambda session: session.apply("word", lambda _: {VALUE}),
    "update": lambda session: session.update(word={VALUE}),
    "|=": lambda session: session.__ior__({"word": {VALUE}}),
    "a mapping": lambda session: session.set("word", MappingProxyType({"a": VALUE})),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_refused_change_shows_no_value(change: Callable[[Session], object]) -> None:
    """However it is written."""
    with pytest.raises(SessionError) as raised:
        change(Session())
    assert shown_by(raised.value, VALUE) == []


def destroyed(session: Session) -> Session:
    session.destroy()
    return session


def signed_in(session: Session) -> Session:
    session.sign_in("ada")
    return session


REFUSED: dict[str, Callable[[Session], object]] = {
    "a form's remember": lambda session: session.sign_in(VALUE, pin=VALUE, remember="on"),  # type: ignore[arg-type]
    "no secrets": lambda session: session.sign_in(VALUE, pin=VALUE),
    "a list": lambda session: session.sign_in([VALUE]),  # type: ignore[arg-type]
    "destroyed": lambda session: destroyed(session).sign_in(VALUE),
    "confirm": lambda session: session.confirm(pin=VALUE),
    "act_as": lambda session: signed_in(session).act_as(VALUE, seconds=-1),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_a_refused_sign_in_shows_no_user_and_no_pin(call: Callable[[Session], object]) -> None:
    """A pin is the hash of a password; whatever the mistake is, the line of the caller is shown."""
    with pytest.raises((SessionError, ConfigurationError, TypeError, ValueError)) as raised:
        call(Session())
    assert shown_by(raised.value, VALUE) == []
    assert Path(raised.traceback[-2].path).name == "test_locals.py"


@pytest.mark.parametrize("storage", [CookieStorage(), MemoryStorage()], ids=repr)
def test_a_session_that_is_too_large_shows_no_value(storage: Any) -> None:
    """Nor its id, when an application saves by itself; a new session, and one that was stored."""
    new, stored = storage.read(None), Session()
    stored["kept"] = VALUE
    value = storage.save(stored)
    for session in (new, storage.read(value)):
        grows(session)
        id = session.id
        with pytest.raises(SessionError) as raised:
            storage.save(session)
        assert shown_by(raised.value, VALUE, id) == []


def test_a_change_of_pyramids_session_shows_no_value() -> None:
    """It passes through frames of its own."""

    class Pages:
        environ = {"coatcheck.session": Session()}  # noqa: RUF012 - of one request

    session: Any = PyramidSession(Pages())
    changes = (
        lambda: session.flash({VALUE}),
        lambda: is_unstorable(session),
        lambda: session.setdefault("word", {VALUE}),
        lambda: session.__ior__({"word": {VALUE}}),
    )
    for change in changes:
        with pytest.raises(SessionError) as raised:
            change()
        assert shown_by(raised.value, VALUE) == []


# ---- hosts, while a server fails


def by_flask(storage: KeyedStorage, header: str, handler: Handler) -> None:
    app: Any = Flask("pages")
    app.session_interface = of_flask.SessionInterface(COOKIE, storage)
    app.testing = True
    app.add_url_rule("/", view_func=lambda: str(handler(flask_session)))  # type: ignore[arg-type]
    app.test_client(use_cookies=False).get("/", headers={"Cookie": header})


def by_quart(storage: KeyedStorage, header: str, handler: Handler) -> None:
    async def page() -> str:
        return str(handler(quart_session))  # type: ignore[arg-type]

    app: Any = Quart("pages")
    app.session_interface = of_quart.SessionInterface(COOKIE, storage)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.add_url_rule("/", view_func=page)
    asyncio.run(app.test_client(use_cookies=False).get("/", headers={"Cookie": header}))


def by_litestar(storage: KeyedStorage, header: str, handler: Handler) -> None:
    caught: list[Exception] = []

    @get("/", sync_to_thread=False)
    def page(request: Request[Any, Any, Any]) -> str:
        return str(handler(request.session))  # type: ignore[arg-type]

    app = Litestar(
        [page],
        plugins=[SessionPlugin(COOKIE, storage)],
        after_exception=[lambda error, _: caught.append(error)],
        openapi_config=None,
    )
    with LitestarClient(app) as client:
        client.get("/", headers={"cookie": header})
    raise caught[0]


def by_aiohttp(storage: KeyedStorage, header: str, change: Handler) -> None:
    caught: list[BaseException] = []

    @aiohttp.web.middleware
    async def outer(request: aiohttp.web.Request, handler: Page) -> aiohttp.web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:
            caught.append(error)
            raise

    async def page(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(text=str(change(of_aiohttp.get_session(request))))

    async def ask() -> None:
        app = aiohttp.web.Application(middlewares=[outer])
        of_aiohttp.setup(app, COOKIE, storage)
        app.router.add_get("/", page)
        async with AiohttpClient(TestServer(app)) as client:
            await client.get("/", headers={"Cookie": header})

    asyncio.run(ask())
    raise caught[0]


@pytest.mark.parametrize("host", [by_flask, by_quart, by_litestar, by_aiohttp])
@pytest.mark.parametrize("fails", ["read", "write"])
def test_a_failing_server_shows_nothing_in_an_adapter(host: Any, fails: str) -> None:
    """The id is in the headers, in a scope and an environ, and in the session itself."""
    backend = Failing(max_records=100, clock=time.time)
    storage = KeyedStorage(backend, waits=False)
    id = kept_in(storage)
    backend.fails = fails
    with pytest.raises((BackendError, LitestarException)) as raised:
        host(storage, holding(id), writes)
    assert shown_by(raised.value, VALUE, id, holding(id)) == []


def kept_in(storage: KeyedStorage) -> str:
    session = Session()
    session["word"] = VALUE * 2
    id = storage.save(session)
    assert id
    return id


DJANGO: dict[str, Callable[[Any, str], object]] = {
    "load": lambda store, _: store["word"],
    "exists": lambda store, key: store.exists(key),
    "aexists": lambda store, key: asyncio.run(store.aexists(key)),
    "delete": lambda store, key: store.delete(key),
    "adelete": lambda store, key: asyncio.run(store.adelete(key)),
    "flush": lambda store, _: store.flush(),
    "cycle_key": lambda store, _: store.cycle_key(),
}


@pytest.mark.parametrize("operation", DJANGO.values(), ids=DJANGO)
def test_a_failing_server_shows_nothing_in_djangos_engine(
    operation: Callable[[Any, str], object],
) -> None:
    """Its methods are called with keys, which are ids."""
    backend = Failing(max_records=100, clock=time.time)
    with override_settings(COATCHECK_STORAGE=KeyedStorage(backend, waits=False)):
        first = engine().SessionStore()
        first["word"] = VALUE
        first.save()
        key = first.session_key
        backend.fails = "read"
        with pytest.raises(BackendError) as raised:
            operation(engine().SessionStore(key), key)
    assert shown_by(raised.value, VALUE, key) == []


# ---- the cookies of other packages


@pytest.mark.parametrize("fails", ["read", "write"])
@both
def test_a_failing_server_shows_no_cookie_of_another_package(name: str, fails: str) -> None:
    """It signs in until it is adopted, and by then it is in variables of its own."""
    theirs = flask_cookie()
    backend = Failing(max_records=100, clock=time.time)
    backend.fails = fails
    things = [
        Theirs(None, {"session": theirs}, ("session",)),
        Changes(set_cookies=(theirs,)),
        Judged(theirs, None),
        Timed(theirs, 0.0, theirs.encode()),
        Found({"word": theirs}, theirs.encode()),
        Row(theirs.encode()),
    ]
    assert theirs not in repr(things)
    adopts = [adopt.Flask(secrets=["s" * 40], until=date(2100, 1, 1))]
    with front_of(name, Made(KeyedStorage(backend, waits=False))) as front:
        browser = front.browser(adopts=adopts)
        browser.header = f"session={theirs}"
        with pytest.raises(BackendError) as raised:
            browser.ask(sets(word=VALUE))
    assert shown_by(raised.value, theirs) == []


def flask_cookie() -> str:
    """Return a cookie that Flask's own sessions made."""
    app = Flask("pages")
    app.secret_key = "s" * 40
    signer: Any = SecureCookieSessionInterface().get_signing_serializer(app)
    cookie: str = signer.dumps({"user": "ada"})
    return cookie
