"""
A small router whose handlers take the context and return a response.

    sessions = coatcheck.session(cookie, storage)
    router = Router(middleware=[form_data(), sessions, auth(schemes=[scheme])])

    @router.get("/items/{id:int}")
    async def item(context: Context) -> Response:
        return PlainTextResponse(f"Item {context.params['id']}")

The router is a Starlette application. Starlette does the paths and their parameters, HEAD, 404 and
405, redirected slashes, `url_for`, exception handlers, `state` and the lifespan. This module adds
one thing: it calls a handler with the context of the request.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypedDict, TypeVar, Unpack

from starlette.applications import Starlette
from starlette.middleware import Middleware as Factory
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, ExceptionHandler, Lifespan

from coatcheck._request.concurrency import call
from coatcheck.context import Context

__all__ = ["ANY", "Handler", "Middleware", "Router"]

Handler = Callable[[Context], Awaitable[Response] | Response]
"""A function that answers one request. A plain function runs in a worker thread."""

Middleware = Callable[[ASGIApp], ASGIApp]
"""A function that wraps an application: `session()`, `form_data()` and `auth()` return one."""

ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""The HTTP methods that `map` answers by default."""

H = TypeVar("H", bound=Handler)


class RouteOptions(TypedDict, total=False):
    """
    The options of a route.

    Args:
        name: The name for `url_for`; without it, the name of the handler.
        middleware: Middleware for this route alone: `[require_auth()]`. The first is the outermost.
    """

    name: str
    middleware: Sequence[Middleware]


class Router(Starlette):
    """
    An ASGI application that finds a handler by path and method.

    The class is a `starlette.applications.Starlette`: `mount`, `host`, `url_path_for` and `state`
    are there too.

    Args:
        middleware: In the order in which a request passes them: the first is the outermost.
        routes: Routes of Starlette, beside those that `map`, `get` and `mount` add.
        exception_handlers: Handlers by status code or exception class, as in Starlette.
        lifespan: An async context manager for startup and shutdown, as in Starlette.
        debug: Show a traceback to the client when a handler raises. Never do so in production.
    """

    def __init__(
        self,
        *,
        middleware: Sequence[Middleware] = (),
        routes: Sequence[BaseRoute] = (),
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan["Router"] | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__(
            debug=debug,
            routes=routes,
            middleware=[Factory(each) for each in middleware],
            exception_handlers=exception_handlers,
            lifespan=lifespan,
        )

    def map(
        self,
        path: str,
        handler: Handler | None = None,
        *,
        methods: Sequence[str] = ANY,
        **options: Unpack[RouteOptions],
    ) -> Callable[[H], H]:
        """
        Answer *path* with *handler*, or with the function that this decorates.

        Args:
            path: "/items/{id:int}", with Starlette's types. `context.params` holds the values.
            handler: The handler; None: use the returned decorator.
            methods: The HTTP methods to answer. A request with another method gets 405.
            options: `name`: the name for `url_for`; without it, the name of the handler.
                `middleware`: middleware for this route alone, such as `[require_auth()]`; the first
                is the outermost.

        Returns:
            A decorator that registers a handler and returns it unchanged.
        """

        def register(handler: H) -> H:
            middleware = [Factory(each) for each in options.get("middleware", ())]
            route = Route(
                path,
                _endpoint(handler),
                methods=methods,
                name=options.get("name"),
                middleware=middleware,
            )
            self.router.routes.append(route)
            return handler

        if handler is not None:
            register(handler)
        return register

    def get(
        self, path: str, handler: Handler | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[H], H]:
        """Answer GET and HEAD; the arguments are those of `map`."""
        return self.map(path, handler, methods=["GET"], **options)

    def post(
        self, path: str, handler: Handler | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[H], H]:
        """Answer POST; the arguments are those of `map`."""
        return self.map(path, handler, methods=["POST"], **options)

    def put(
        self, path: str, handler: Handler | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[H], H]:
        """Answer PUT; the arguments are those of `map`."""
        return self.map(path, handler, methods=["PUT"], **options)

    def patch(
        self, path: str, handler: Handler | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[H], H]:
        """Answer PATCH; the arguments are those of `map`."""
        return self.map(path, handler, methods=["PATCH"], **options)

    def delete(
        self, path: str, handler: Handler | None = None, **options: Unpack[RouteOptions]
    ) -> Callable[[H], H]:
        """Answer DELETE; the arguments are those of `map`."""
        return self.map(path, handler, methods=["DELETE"], **options)


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return *handler* in the form that Starlette calls: with the request, not the context."""

    @wraps(handler)
    async def endpoint(request: Request) -> Response:
        context = Context(request.scope)
        context.set(Request, request)
        return await call(handler, context)

    return endpoint
