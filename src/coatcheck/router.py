"""
A small router whose handlers take the context and return a response.

    router = Router(middleware=[form_data(), session(cookie, storage), auth(schemes=[scheme])])

    @router.get("/items/{id:int}")
    async def item(context: Context) -> Response:
        return PlainTextResponse(f"Item {context.params['id']}")

It is a Starlette application, and what Starlette does, Starlette does: paths and their parameters,
HEAD, 404 and 405, redirected slashes, `url_for`, exception handlers, `state`, the lifespan, worker
threads for handlers that are plain functions. This module adds only what turns a context into the
argument of a handler.
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
"""Answers one request. A plain function runs in a worker thread."""

Middleware = Callable[[ASGIApp], ASGIApp]
"""Turns an application into one that does more: what `session()` and its like return."""

ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""The methods that `map` answers unless it is told others."""

H = TypeVar("H", bound=Handler)


class Options(TypedDict, total=False):
    """
    What a route may be told.

    Args:
        name: For `url_for`; without it, the handler's own.
        middleware: For this route alone, the first outermost: `[require_auth()]`.
    """

    name: str
    middleware: Sequence[Middleware]


class Router(Starlette):
    """
    An ASGI application made of routes.

    Args:
        middleware: In the order in which a request passes them: the first is the outermost.
        routes: Starlette's own, beside those that `map`, `mount` and their like add.
        exception_handlers: By status code or exception, as in Starlette.
        lifespan: An async context manager around the application's life, as in Starlette.
        debug: Show a traceback to the client when a handler raises: never in production.
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
        **options: Unpack[Options],
    ) -> Callable[[H], H]:
        """
        Answer *path* with *handler*, or with the function that this decorates.

        Args:
            path: "/items/{id:int}", with Starlette's types; `context.params` holds what was found.
            handler: None: the function that the returned decorator is put on.
            methods: What it answers; anything else gets 405.
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
        self, path: str, handler: Handler | None = None, **options: Unpack[Options]
    ) -> Callable[[H], H]:
        """Answer GET, and HEAD with it; otherwise as `map`."""
        return self.map(path, handler, methods=["GET"], **options)

    def post(
        self, path: str, handler: Handler | None = None, **options: Unpack[Options]
    ) -> Callable[[H], H]:
        """Answer POST; otherwise as `map`."""
        return self.map(path, handler, methods=["POST"], **options)

    def put(
        self, path: str, handler: Handler | None = None, **options: Unpack[Options]
    ) -> Callable[[H], H]:
        """Answer PUT; otherwise as `map`."""
        return self.map(path, handler, methods=["PUT"], **options)

    def patch(
        self, path: str, handler: Handler | None = None, **options: Unpack[Options]
    ) -> Callable[[H], H]:
        """Answer PATCH; otherwise as `map`."""
        return self.map(path, handler, methods=["PATCH"], **options)

    def delete(
        self, path: str, handler: Handler | None = None, **options: Unpack[Options]
    ) -> Callable[[H], H]:
        """Answer DELETE; otherwise as `map`."""
        return self.map(path, handler, methods=["DELETE"], **options)


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return *handler* as Starlette calls it: with the request, which the context then holds."""

    @wraps(handler)
    async def endpoint(request: Request) -> Response:
        context = Context(request.scope)
        context.set(Request, request)
        return await call(handler, context)

    return endpoint
