"""FastAPI: the session as a dependency, people who signed in, the OpenAPI document."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from coatcheck import ConfigurationError
from coatcheck.auth import SessionScheme
from coatcheck.frameworks.fastapi import RequireAuth, SessionDep, setup
from coatcheck.redirects import safe_redirect_target
from coatcheck.storage import CookieStorage, MemoryStorage
from tests.hosts import COOKIE

URL = "https://testserver"  # the cookie is Secure

USERS = {"ada": "Ada Lovelace"}
SCHEME = SessionScheme(read=lambda session: session.get("user"), verify=USERS.get)
Member = Annotated[str, Depends(RequireAuth(SCHEME))]
Visitor = Annotated[str, Depends(RequireAuth(SCHEME, sign_in="/sign-in"))]


def application() -> FastAPI:
    app = FastAPI()
    setup(app, COOKIE, MemoryStorage())

    @app.post("/sign-in/{user}")
    def sign_in(user: str, session: SessionDep) -> None:
        session["user"] = user
        session.regenerate_id()

    @app.get("/me")
    async def me(member: Member) -> str:
        return member

    @app.get("/page/{name}")
    def page(name: str, visitor: Visitor) -> str:
        return f"{name} of {visitor}"

    @app.post("/order")
    def order(visitor: Visitor) -> str:
        return visitor

    @app.get("/held")
    async def held(session: SessionDep) -> dict[str, Any]:
        return dict(session)

    @app.websocket("/chat")
    async def chat(websocket: WebSocket, session: SessionDep, member: Member) -> None:
        await websocket.accept()
        session["chats"] = 1
        await websocket.send_text(member)
        try:
            session["heard"] = await websocket.receive_text()
            await websocket.receive_text()
        except WebSocketDisconnect:
            return

    @app.get("/events")
    async def events(session: SessionDep) -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "data: one\n\n"
            session["seen"] = 1
            yield "data: two\n\n"

        return StreamingResponse(parts(), media_type="text/event-stream")

    @app.get("/task")
    def task(session: SessionDep, tasks: BackgroundTasks) -> None:
        tasks.add_task(session.set, "task", "done")

    return app


@pytest.mark.parametrize(
    ("cookie", "storage", "options", "names"),
    [
        (MemoryStorage(), COOKIE, {}, "cookie"),
        (COOKIE, "redis://127.0.0.1", {}, "storage"),
        (COOKIE, MemoryStorage(), {"refresh": 2}, "refresh"),
        (COOKIE, MemoryStorage(), {"rotate": 10}, "rotate"),
        (COOKIE, CookieStorage(), {"rotate": 3600}, "rotate"),
    ],
)
def test_setup_finds_mistakes_when_it_is_called(
    cookie: Any, storage: Any, options: Any, names: str
) -> None:
    """Starlette makes its middleware later, where a server shows an error of the start alone."""
    with pytest.raises(ConfigurationError, match=names):
        setup(FastAPI(), cookie, storage, **options)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(application(), base_url=URL, follow_redirects=False) as client:
        yield client


def test_the_session_is_a_dependency_in_every_kind_of_handler(client: TestClient) -> None:
    """Plain, `async def`, WebSocket; and it is one session."""
    client.post("/sign-in/ada")
    with client.websocket_connect("wss://testserver/chat") as websocket:
        assert websocket.receive_text() == "Ada Lovelace"
        websocket.send_text("hello")
    assert client.get("/held").json() == {"user": "ada", "chats": 1, "heard": "hello"}


@pytest.mark.parametrize(("path", "left"), [("/events", {"seen": 1}), ("/task", {"task": "done"})])
def test_what_changes_late_is_saved(client: TestClient, path: str, left: dict[str, Any]) -> None:
    """In a stream of events, and in a background task; the client has an id already."""
    client.post("/sign-in/ada")
    assert client.get(path).status_code == 200
    assert client.get("/held").json() == {"user": "ada", **left}


def test_a_stranger_gets_401(client: TestClient) -> None:
    """With a challenge, as RFC 9110 asks; who signed in gets the page."""
    answer = client.get("/me")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Session")
    client.post("/sign-in/ada")
    assert client.get("/me").json() == "Ada Lovelace"


def test_a_user_who_is_gone_is_signed_out(client: TestClient) -> None:
    """`verify` knows nobody of that name: 401, and the cookie is taken away."""
    client.post("/sign-in/bob")
    assert client.get("/me").status_code == 401
    assert not client.cookies
    assert client.get("/held").json() == {}


def test_a_stranger_is_sent_to_sign_in_and_back(client: TestClient) -> None:
    """The page asked for goes along as `next`, in a form that leads to this application alone."""
    answer = client.get("/page/a%26b?x=1&y=%2F")
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location == "/sign-in?next=/page/a%2526b%3Fx%3D1%26y%3D%252F"
    back = safe_redirect_target(answer.next_request.url.params["next"])  # type: ignore[union-attr]
    assert back == "/page/a%26b?x=1&y=%2F"
    client.post("/sign-in/ada")
    assert client.get(back).json() == "a&b of Ada Lovelace"


def test_what_a_stranger_sent_is_not_repeated(client: TestClient) -> None:
    """A form cannot be sent again by a redirect: there is no `next`."""
    assert client.post("/order").headers["location"] == "/sign-in"


def test_a_stranger_gets_no_websocket(client: TestClient) -> None:
    """It is refused before it is accepted."""
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect("wss://testserver/chat"),
    ):
        pytest.fail("accepted")
    assert refused.value.code == 1008


def test_the_openapi_document_shows_the_cookie(client: TestClient) -> None:
    """By its true name; who must sign in is said of each operation, the session is no parameter."""
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE.name}
    }
    assert document["paths"]["/me"]["get"]["security"] == [{"session": []}]
    assert "security" not in document["paths"]["/held"]["get"]
    assert "parameters" not in document["paths"]["/held"]["get"]
    assert client.get("/docs").status_code == 200


def test_a_session_that_nobody_set_up_is_an_error_of_the_application() -> None:
    """It says what to do."""
    app = FastAPI()

    @app.get("/")
    def page(session: SessionDep) -> int:
        return len(session)

    with pytest.raises(ConfigurationError, match="no Session"):
        TestClient(app).get("/")


@dataclass
class Visit:
    cart: list[str] = field(default_factory=list)


def test_a_typed_session_is_a_dependency() -> None:
    """`SessionDep[Visit]`, with `setup(..., data=Visit)`."""
    app = FastAPI()
    setup(app, COOKIE, MemoryStorage(), data=Visit)

    @app.post("/add/{item}")
    def add(item: str, session: SessionDep[Visit]) -> list[str]:
        session.data.cart.append(item)
        return session.data.cart

    with TestClient(app, base_url=URL) as client:
        assert client.post("/add/coat").json() == ["coat"]
        assert client.post("/add/hat").json() == ["coat", "hat"]


def test_the_storage_is_closed_with_the_application() -> None:
    """What it opened ends with the lifespan."""
    storage: Any = MemoryStorage()
    closed: list[Callable[[], None]] = []
    storage.close = lambda: closed.append(storage.close)
    app = FastAPI()
    setup(app, COOKIE, storage)
    with TestClient(app):
        assert not closed
    assert len(closed) == 1
