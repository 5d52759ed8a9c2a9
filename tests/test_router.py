"""The router: its handlers take a context, its middleware run in order, the rest is Starlette's."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck import Context, Cookie, Session, session
from coatcheck.router import ANY, Router
from coatcheck.storage import CookieStorage
from tests.asgi_requests import ask

SECRET = "a secret that is long enough for any test"


async def hello(context: Context) -> Response:
    """Answer with what was asked for."""
    request = context.get(Request)
    return PlainTextResponse(f"{request.method} {request.url.path}")


def noting(word: str, notes: list[str]) -> Callable[[ASGIApp], ASGIApp]:
    """Return a middleware that notes when a request enters and leaves it."""

    def around(app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            notes.append(f"{word} in")
            await app(scope, receive, send)
            notes.append(f"{word} out")

        return noted

    return around


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_each_method_has_its_own_routes(method: str) -> None:
    """What is registered for one method answers it, and 405 to the others."""
    router = Router()
    getattr(router, method)("/a", hello)
    assert ask(router, method.upper(), "/a").text == f"{method.upper()} /a"
    other = "PUT" if method == "post" else "POST"
    refused = ask(router, other, "/a")
    assert refused.status_code == 405
    assert method.upper() in refused.headers["allow"]


@pytest.mark.parametrize("method", ANY)
def test_map_answers_every_method(method: str) -> None:
    """`map(path, handler)` is for any method."""
    router = Router()
    router.map("/a", hello)
    assert ask(router, method, "/a").status_code == 200


def test_map_answers_only_the_methods_it_is_told() -> None:
    """`methods` narrows a route down."""
    router = Router()
    router.map("/a", hello, methods=["PUT", "PATCH"])
    assert ask(router, "PATCH", "/a").status_code == 200
    assert ask(router, "GET", "/a").status_code == 405


def test_decorators_leave_the_handler_as_it_was() -> None:
    """A handler that a decorator registered can be registered, and called, again."""
    router = Router()
    decorated = router.get("/a")(router.post("/b")(hello))
    assert decorated is hello
    assert ask(router, "GET", "/a").text == "GET /a"
    assert ask(router, "POST", "/b").text == "POST /b"


def test_head_is_answered_like_get_without_a_body() -> None:
    """HEAD comes with GET, as in Starlette."""
    router = Router()
    router.get("/a", hello)
    assert ask(router, "HEAD", "/a").status_code == 200


def test_unknown_paths_get_404_and_missing_slashes_a_redirect() -> None:
    """Both are Starlette's."""
    router = Router()
    router.get("/a", hello)
    assert ask(router, "GET", "/b").status_code == 404
    assert ask(router, "GET", "/a/").headers["location"] == "http://shop.test/a"


def test_path_parameters_are_found_in_the_context() -> None:
    """They are converted as the path says."""
    router = Router()

    @router.get("/items/{id:int}/{rest:path}")
    async def item(context: Context) -> Response:
        return JSONResponse(dict(context.params))

    assert ask(router, "GET", "/items/7/a/b").json() == {"id": 7, "rest": "a/b"}
    assert ask(router, "GET", "/items/seven/a").status_code == 404


def test_a_context_without_a_route_has_no_parameters() -> None:
    """Before a route was found, and under WSGI, there are none."""
    assert dict(Context({}).params) == {}


def test_a_plain_handler_runs_in_a_worker_thread() -> None:
    """It may block without holding up other requests."""
    router = Router()
    threads: list[int] = []

    @router.get("/")
    def plain(context: Context) -> Response:
        threads.append(threading.get_ident())
        return PlainTextResponse(context.get(Request).url.path)

    assert ask(router, "GET", "/").text == "/"
    assert threads != [threading.get_ident()]


def test_a_handler_may_be_an_object() -> None:
    """Whatever can be called with a context is a handler."""

    class Greeter:
        async def __call__(self, context: Context) -> Response:
            return PlainTextResponse(context.params["name"])

    router = Router()
    router.get("/{name}", Greeter())
    assert ask(router, "GET", "/ada").text == "ada"


def test_the_first_middleware_is_the_outermost() -> None:
    """A request passes them in the order in which they are written."""
    notes: list[str] = []
    router = Router(middleware=[noting("first", notes), noting("second", notes)])
    router.get("/", hello, middleware=[noting("third", notes), noting("fourth", notes)])
    ask(router, "GET", "/")
    words = ["first", "second", "third", "fourth"]
    assert notes == [f"{word} in" for word in words] + [f"{word} out" for word in words[::-1]]


def test_middleware_of_a_route_are_for_that_route_alone() -> None:
    """Another route does not pass them."""
    notes: list[str] = []
    router = Router()
    router.get("/a", hello, middleware=[noting("a", notes)])
    router.get("/b", hello)
    ask(router, "GET", "/b")
    assert notes == []


def test_the_session_is_in_the_context_of_a_handler() -> None:
    """`context.get(Session)` is the session, and what is set in it is there in the next request."""
    router = Router(
        middleware=[session(Cookie("s", secrets=[SECRET], secure=False), CookieStorage())]
    )

    @router.get("/")
    async def count(context: Context) -> Response:
        return PlainTextResponse(str(context.get(Session).apply("n", lambda n: n + 1, 0)))

    jar = httpx.Cookies()
    assert [ask(router, "GET", "/", cookies=jar).text for _ in range(3)] == ["1", "2", "3"]


def test_a_mounted_router_has_the_context_and_the_parameters_of_the_outer_one() -> None:
    """What the outer middleware attached is there, and the path's parameters add up."""
    inner = Router()

    @inner.get("/{leaf}")
    async def leaf(context: Context) -> Response:
        context.get(Session).set("seen", True)
        return PlainTextResponse(f"{context.params['branch']} {context.params['leaf']}")

    outer = Router(middleware=[session(Cookie("s", secrets=[SECRET]), CookieStorage())])
    outer.mount("/{branch}", inner)
    answer = ask(outer, "GET", "/oak/7")
    assert answer.text == "oak 7"
    assert "set-cookie" in answer.headers


def test_routes_are_found_by_name() -> None:
    """A route is named after its handler, unless it is given a name."""
    router = Router()
    router.get("/a", hello)
    router.get("/items/{id:int}", hello, name="item")

    @router.get("/urls")
    async def urls(context: Context) -> Response:
        request = context.get(Request)
        return JSONResponse([str(request.url_for("hello")), str(request.url_for("item", id=3))])

    assert ask(router, "GET", "/urls").json() == ["http://shop.test/a", "http://shop.test/items/3"]
    assert router.url_path_for("item", id=3) == "/items/3"


def test_an_http_exception_becomes_its_response() -> None:
    """`raise HTTPException(403)` answers 403, through the application's handler if it has one."""

    async def sorry(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse("Sorry.", 403)

    async def forbidden(_context: Context) -> Response:
        raise HTTPException(403)

    plain, kind = Router(), Router(exception_handlers={403: sorry})
    for router in (plain, kind):
        router.get("/", forbidden)
    assert ask(plain, "GET", "/").text == "Forbidden"
    assert ask(kind, "GET", "/").text == "Sorry."


def test_the_lifespan_runs_around_the_application() -> None:
    """Its state reaches the handlers, and it ends when the server does."""
    notes: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: Router) -> AsyncIterator[dict[str, str]]:
        notes.append("up")
        yield {"greeting": "hello"}
        notes.append("down")

    async def live(app: ASGIApp) -> None:
        messages = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> Message:
            return {"type": next(messages)}

        async def send(message: Message) -> None:
            notes.append(message["type"])

        await app({"type": "lifespan", "state": state}, receive, send)

    state: dict[str, str] = {}
    cookie = Cookie("s", secrets=[SECRET])
    asyncio.run(live(Router(lifespan=lifespan, middleware=[session(cookie, CookieStorage())])))
    assert notes == ["up", "lifespan.startup.complete", "down", "lifespan.shutdown.complete"]
    assert state == {"greeting": "hello"}


def test_the_handler_reads_the_body_through_the_request() -> None:
    """`context.get(Request)` is Starlette's own, with the request's stream."""
    router = Router()

    @router.post("/")
    async def echo(context: Context) -> Response:
        return Response(await context.get(Request).body())

    assert ask(router, "POST", "/", content=b"abc").content == b"abc"


def test_what_is_attached_is_found_by_later_middleware_and_handlers() -> None:
    """A middleware of one's own attaches by type."""

    class User(str):
        __slots__ = ()

    def ada(app: ASGIApp) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        async def attached(scope: Scope, receive: Receive, send: Send) -> None:
            scope = dict(scope)
            Context(scope).set(User, User("ada"))
            await app(scope, receive, send)

        return attached

    router = Router(middleware=[ada])

    @router.get("/")
    async def user(context: Context) -> Response:
        return PlainTextResponse(context.get(User))

    assert ask(router, "GET", "/").text == "ada"
