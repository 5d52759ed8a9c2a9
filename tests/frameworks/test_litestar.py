"""Litestar: the plugin, the injected session, guards, the OpenAPI document."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from litestar import Litestar, Request, Response, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.config.csrf import CSRFConfig
from litestar.exceptions import WebSocketDisconnect
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.response import ServerSentEvent, Stream
from litestar.testing import AsyncTestClient, TestClient
from litestar.types import Scope

from coatcheck import ConfigurationError, Cookie, Session
from coatcheck.frameworks.litestar import SCHEME, SessionDep, SessionPlugin, requires_session
from coatcheck.storage import MemoryStorage
from tests.hosts import COOKIE

URL = "https://testserver.local"  # the cookie is Secure


@post("/sign-in/{user:str}")
async def sign_in(user: FromPath[str], session: SessionDep) -> None:
    session["user"] = user
    session.regenerate_id()


@get("/plain", sync_to_thread=True)
def plain(session: SessionDep) -> dict[str, Any]:
    return dict(session)


@get("/held")
async def held(request: Request[Any, Any, Any], session: SessionDep) -> dict[str, Any]:
    assert request.session is session
    return dict(session)


@get("/me", guards=[requires_session("user")], security=[{SCHEME: []}])
async def me(session: SessionDep) -> str:
    return str(session["user"])


@get("/out")
async def out(session: SessionDep) -> None:
    session.destroy()


@websocket("/chat", guards=[requires_session("user")])
async def chat(socket: WebSocket[Any, Any, Any], session: SessionDep) -> None:
    assert socket.session is session
    await socket.accept()
    session["chats"] = 1
    await socket.send_text(session["user"])
    session["heard"] = await socket.receive_text()
    await socket.close()


@get("/stream")
async def stream(session: SessionDep) -> Stream:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        session["late"] = 1
        yield "two"

    return Stream(parts())


@get("/events")
async def events(session: SessionDep) -> ServerSentEvent:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        session["late"] = 1
        yield "two"

    return ServerSentEvent(parts())


@get("/task")
async def task(session: SessionDep) -> Response[None]:
    return Response(None, background=BackgroundTask(session.set, "late", 1))


@get("/fail")
async def fail(session: SessionDep) -> None:
    session["lost"] = True
    raise LookupError


@get("/")
async def home() -> None:
    return None


HANDLERS: list[Any] = [sign_in, plain, held, me, out, chat, stream, events, task, fail]


def application(**options: Any) -> Litestar:
    return Litestar(HANDLERS, plugins=[SessionPlugin(COOKIE, MemoryStorage())], **options)


@pytest.fixture
def client() -> Iterator[TestClient[Litestar]]:
    with TestClient(application(), base_url=URL) as client:
        yield client


def test_the_session_is_injected(client: TestClient[Litestar]) -> None:
    """It is `request.session`, also in a thread; nothing is kept of those who only look."""
    assert client.get("/held").json() == {}
    assert not client.cookies
    client.post("/sign-in/ada")
    assert client.get("/held").json() == client.get("/plain").json() == {"user": "ada"}
    assert client.get("/fail").status_code == 500
    assert client.get("/held").json() == {"user": "ada"}
    client.get("/out")
    assert not client.cookies
    assert client.get("/held").json() == {}


def test_the_asynchronous_client_works_too() -> None:
    """One loop for the client and the application."""

    async def scene() -> None:
        async with AsyncTestClient(application(), base_url=URL) as client:
            await client.post("/sign-in/ada")
            assert (await client.get("/held")).json() == {"user": "ada"}

    asyncio.run(scene())


def test_a_guard_lets_through_who_signed_in(client: TestClient[Litestar]) -> None:
    """All others get 401, and a WebSocket is refused."""
    assert client.get("/me").status_code == 401
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("wss://testserver.local/chat"),
    ):
        pytest.fail("accepted")
    client.post("/sign-in/ada")
    assert client.get("/me").text == "ada"


def test_a_websocket_reads_and_saves_the_session(client: TestClient[Litestar]) -> None:
    """What changed after the accept is saved at the close."""
    client.post("/sign-in/ada")
    with client.websocket_connect("wss://testserver.local/chat") as socket:
        assert socket.receive_text() == "ada"
        socket.send_text("hello")
    assert client.get("/held").json() == {"user": "ada", "chats": 1, "heard": "hello"}


@pytest.mark.parametrize("path", ["/stream", "/events", "/task"])
def test_what_changes_late_is_saved(client: TestClient[Litestar], path: str) -> None:
    """In a stream, in events, in a background task; the client has an id already."""
    client.post("/sign-in/ada")
    assert client.get(path).status_code == 200
    assert client.get("/held").json() == {"user": "ada", "late": 1}


def test_the_openapi_document_shows_the_cookie(client: TestClient[Litestar]) -> None:
    """By its name; the session is no parameter; documents of other applications stay."""
    document = client.get("/schema/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE.name}
    }
    assert document["paths"]["/me"]["get"]["security"] == [{"session": []}]
    assert "parameters" not in document["paths"]["/held"]["get"]
    with TestClient(Litestar([home])) as other:
        assert "securitySchemes" not in str(other.get("/schema/openapi.json").json())


def test_the_applications_own_components_stay() -> None:
    """The cookie stands beside the schemes that the application describes."""
    bearer = Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")})
    config = OpenAPIConfig(title="Shop", version="1", components=bearer)
    with TestClient(application(openapi_config=config), base_url=URL) as client:
        document = client.get("/schema/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "session"}
    assert document["info"]["title"] == "Shop"


def test_without_a_document_there_is_none() -> None:
    """`openapi_config=None` stays so."""
    with TestClient(application(openapi_config=None), base_url=URL) as client:
        assert client.get("/schema/openapi.json").status_code == 404


def test_the_plugin_works_beside_other_middleware() -> None:
    """It is the outermost: what the application adds may use the session."""
    seen: list[bool] = []

    def looking(app: Any) -> Any:
        async def look(scope: Scope, receive: Any, send: Any) -> None:
            seen.append(isinstance(scope.get("session"), Session))
            await app(scope, receive, send)

        return look

    csrf = CSRFConfig(secret="s" * 32, exclude=["/sign-in"])
    with TestClient(application(middleware=[looking], csrf_config=csrf), base_url=URL) as client:
        client.post("/sign-in/ada")
        assert client.get("/held").json() == {"user": "ada"}
        assert {COOKIE.name, "csrftoken"} <= set(client.cookies)
    assert set(seen) == {True}


def test_the_storage_is_closed_with_the_application() -> None:
    """What it opened ends with the lifespan, once."""
    storage: Any = MemoryStorage()
    closed: list[Callable[[], None]] = []
    storage.close = lambda: closed.append(storage.close)
    with TestClient(Litestar(HANDLERS, plugins=[SessionPlugin(COOKIE, storage)])):
        assert not closed
    assert len(closed) == 1


def test_a_wrong_cookie_is_found_at_the_start() -> None:
    """When the plugin is made, not with the first request."""
    with pytest.raises(ConfigurationError, match="no secrets"):
        SessionPlugin(Cookie("session"), MemoryStorage())


@dataclass
class Visit:
    cart: list[str] = field(default_factory=list)


@post("/add/{item:str}")
async def add(item: FromPath[str], session: SessionDep[Visit]) -> list[str]:
    session.data.cart.append(item)
    return session.data.cart


def test_a_typed_session_is_injected() -> None:
    """`session: SessionDep[Visit]`, with `SessionPlugin(..., data=Visit)`."""
    plugin = SessionPlugin(COOKIE, MemoryStorage(), data=Visit)
    with TestClient(Litestar([add], plugins=[plugin]), base_url=URL) as client:
        assert client.post("/add/coat").json() == ["coat"]
        assert client.post("/add/hat").json() == ["coat", "hat"]
