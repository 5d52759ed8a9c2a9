"""Litestar's own words for sessions: they work as with its own middleware."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest
from litestar import Litestar, MediaType, Request, WebSocket, get, websocket
from litestar.exceptions import ImproperlyConfiguredException, WebSocketDisconnect
from litestar.params import FromPath
from litestar.plugins.flash import FlashConfig, FlashPlugin, flash
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Stream, Template
from litestar.template import TemplateConfig
from litestar.testing import TestClient

from coatcheck import ConfigurationError, Session
from coatcheck.frameworks.litestar import SessionDep, SessionPlugin
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import SessionKit
from tests.hosts import COOKIE

URL = "https://testserver.local"  # the cookie is Secure

AnyRequest = Request[Any, Any, Any]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Plain:
    user: str
    at: datetime


class Packed(msgspec.Struct):
    user: str
    at: datetime


class Checked(pydantic.BaseModel):
    user: str


GIVEN: dict[str, Any] = {
    "dict": {"user": "ada", "cart": ["tea"]},
    "dataclass": Plain("ada", NOW),
    "Struct": Packed("ada", NOW),
    "pydantic": Checked(user="ada"),
    "text": "ada",
    "unstorable": {"user": {1}},
}


@get("/set/{what:str}")
async def set_session(request: AnyRequest, what: FromPath[str]) -> str:
    request.set_session(GIVEN[what])
    return "set"


@get("/all")
async def everything(request: AnyRequest) -> dict[str, Any]:
    return request.session


@get("/packed", media_type=MediaType.MESSAGEPACK)
async def packed(session: SessionDep) -> Session:
    return session


@get("/clear")
async def clear(request: AnyRequest, session: SessionDep) -> None:
    session["more"] = 1
    request.clear_session()


@get("/fail")
async def fail(request: AnyRequest) -> None:
    request.set_session({"lost": True})
    raise LookupError


@get("/add")
async def add(request: AnyRequest, session: SessionDep) -> None:
    """Set the session anew, while another request changes it."""
    request.set_session({**request.session, "added": True})
    request.session["later"] = [1]
    request.app.state.meanwhile()
    assert "later" not in session


@get("/stream")
async def stream(request: AnyRequest) -> Stream:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        request.set_session({**request.session, "late": 1})
        yield "two"

    return Stream(parts())


@websocket("/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    socket.set_session({"heard": await socket.receive_text()})
    await socket.close()


@get("/health", skip_session=True)
async def health(request: AnyRequest) -> bool:
    return "session" in request.scope


@get("/static/a.css")
async def static(request: AnyRequest) -> bool:
    return "session" in request.scope


@get("/static/wants")
async def wants(session: SessionDep) -> bool:
    return bool(session)


HANDLERS: list[Any] = [
    set_session, everything, packed, clear, fail, add, stream, socket, health, static, wants,
]  # fmt: skip


class Site:
    """An application, its client, and a look at what the client's session holds."""

    def __init__(self, client: TestClient[Litestar], storage: KeyedStorage) -> None:
        self.client = client
        self.kit = SessionKit(COOKIE, storage)
        self.get = client.get

    @property
    def held(self) -> dict[str, Any]:
        return dict(self.kit.read(self.client))


@contextmanager
def site_of(**options: Any) -> Iterator[Site]:
    storage = MemoryStorage()
    app = Litestar(HANDLERS, plugins=[SessionPlugin(COOKIE, storage, **options)])
    app.state.meanwhile = lambda: None
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield Site(client, storage)


@pytest.fixture
def site() -> Iterator[Site]:
    with site_of() as site:
        yield site


@pytest.mark.parametrize(
    ("what", "held"),
    [
        ("dict", GIVEN["dict"]),
        ("dataclass", {"user": "ada", "at": NOW}),
        ("Struct", {"user": "ada", "at": NOW}),
        ("pydantic", {"user": "ada"}),
    ],
)
def test_set_session_says_what_the_session_holds(
    site: Site, what: str, held: dict[str, Any]
) -> None:
    """And nothing else: a dict, or an object of any kind that Litestar knows."""
    site.kit.put(site.client, old=1)
    before = site.kit.read(site.client).id
    assert site.get(f"/set/{what}").text == "set"
    assert site.held == held
    assert site.kit.read(site.client).id == before


@pytest.mark.parametrize("what", ["text", "unstorable"])
def test_what_no_session_holds_is_an_error(site: Site, what: str) -> None:
    """And nothing is kept."""
    site.kit.put(site.client, old=1)
    assert site.get(f"/set/{what}").status_code == 500
    assert site.held == {"old": 1}


def test_a_request_that_fails_sets_nothing(site: Site) -> None:
    """As with any other change."""
    site.kit.put(site.client, old=1)
    assert site.get("/fail").status_code == 500
    assert site.held == {"old": 1}


def test_what_another_request_wrote_meanwhile_stays(site: Site) -> None:
    """Only what differs is a change, and a dict that was set goes on being the session's."""
    site.kit.put(site.client, old=1)

    def meanwhile() -> None:
        with site.kit.session(site.client) as other:
            other["others"] = 2

    site.client.app.state.meanwhile = meanwhile
    assert site.get("/add").status_code == 200
    assert site.held == {"old": 1, "added": True, "later": [1], "others": 2}


def test_clear_session_ends_it(site: Site) -> None:
    """With its record and its cookie, whatever else the request wrote."""
    site.get("/set/dict")
    copied = dict(site.client.cookies)
    site.get("/clear")
    assert not site.client.cookies
    assert dict(site.kit.read(copied)) == {}
    assert site.get("/clear").status_code == 200


def test_a_handler_returns_the_session(site: Site) -> None:
    """It is encoded as a dict, in each media type; its type may be named."""
    assert site.get("/all").json() == {}
    site.get("/set/dict")
    assert site.get("/all").json() == GIVEN["dict"]
    assert msgspec.msgpack.decode(site.get("/packed").content) == GIVEN["dict"]
    assert site.get("/schema/openapi.json").status_code == 200


def test_set_session_in_a_stream_and_at_a_websocket(site: Site) -> None:
    """What comes after the headers is saved at the end."""
    site.get("/set/pydantic")
    assert site.get("/stream").text == "onetwo"
    assert site.held == {"user": "ada", "late": 1}
    with site.client.websocket_connect(f"{URL.replace('https', 'wss')}/socket") as connection:
        connection.send_text("hello")
        with pytest.raises(WebSocketDisconnect):
            connection.receive_text()
    assert site.held == {"heard": "hello"}


def test_a_handler_may_have_no_session(site: Site) -> None:
    """By `skip_session`, as with Litestar's own; nothing is read or said of it."""
    site.get("/set/dict")
    answer = site.get("/health")
    assert answer.json() is False
    assert "vary" not in answer.headers


@pytest.mark.parametrize("exclude", ["^/static", ["^/nothing", "^/static"]])
def test_paths_may_have_no_session(exclude: Any) -> None:
    """By `exclude`; a handler there that asks for one fails."""
    with site_of(exclude=exclude) as site:
        assert site.get("/static/a.css").json() is False
        assert site.get("/set/dict").text == "set"
        assert site.get("/static/wants").status_code == 500


def test_the_key_that_excludes_a_handler_may_be_another() -> None:
    """By `exclude_opt_key`."""
    with site_of(exclude_opt_key="no_session") as site:
        assert site.get("/health").json() is True
        assert site.get("/static/a.css").json() is True


@get("/leave")
async def leave(request: AnyRequest) -> None:
    flash(request, "Saved.", category="notice")


@get("/show")
async def show() -> Template:
    return Template(template_str="{% for it in get_flashes() %}{{ it.message }}{% endfor %}")


def test_the_flash_plugin() -> None:
    """A message is shown once; a session that held nothing else is gone then."""
    engine = TemplateConfig(directory=".", engine=JinjaTemplateEngine)
    plugins = [SessionPlugin(COOKIE, MemoryStorage()), FlashPlugin(FlashConfig(engine))]
    app = Litestar([leave, show], plugins=plugins, template_config=engine)
    with TestClient(app, base_url=URL) as client:
        client.get("/leave")
        assert client.get("/show").text == "Saved."
        assert client.get("/show").text == ""
        assert not client.cookies


def test_the_flash_plugin_comes_after_ours() -> None:
    """Litestar says so when the application is made."""
    engine = TemplateConfig(directory=".", engine=JinjaTemplateEngine)
    plugins = [FlashPlugin(FlashConfig(engine)), SessionPlugin(COOKIE, MemoryStorage())]
    with pytest.raises(ImproperlyConfiguredException, match="session middleware"):
        Litestar([leave, show], plugins=plugins, template_config=engine)


def test_an_option_that_makes_no_sense_is_told() -> None:
    """When the plugin is made."""
    with pytest.raises(ConfigurationError, match="rotate"):
        SessionPlugin(COOKIE, MemoryStorage(), rotate=1)
