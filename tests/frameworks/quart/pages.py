"""An application in Quart, and a client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from inspect import isawaitable
from typing import Any

import quart

from coatcheck import Cookie
from coatcheck.frameworks.quart import SessionInterface, session
from coatcheck.storage import SessionStorage
from tests.frameworks.visits import add
from tests.hosts import SECRET

NAME = __name__
"""Of the application, and so of its logger."""

COOKIE = Cookie("session", secrets=[SECRET], secure=False, max_age=1000)

Page = Callable[[], Any]


def application(
    storage: SessionStorage, pages: dict[str, Page] | None = None, **options: Any
) -> quart.Quart:
    """Return an application with these pages; it has no SECRET_KEY."""
    app = quart.Quart(NAME)
    interface = SessionInterface(COOKIE, storage, **options)
    app.session_interface = interface  # type: ignore[assignment] # Quart's own type is too narrow
    app.after_serving(interface.close)
    for path, page in (pages or {}).items():
        if path.startswith("/ws"):
            app.add_websocket(path, path, page)
        else:
            app.add_url_rule(path, path, page)
    return app


def play(app: quart.Quart, scene: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Play a scene with a client, from the start of the application to its end."""

    async def played() -> None:
        async with app.test_app() as served:
            await scene(served.test_client())

    asyncio.run(played())


def names_of(answer: Any) -> list[str]:
    """Return the names of the cookies that a response sets."""
    return [line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie")]


async def cart_page() -> Any:
    return quart.jsonify(session.get("cart"))


async def add_page() -> Any:
    return quart.jsonify(add(quart.session, quart.request.args["item"]))


async def failing_page() -> Any:
    session["lost"] = True
    raise LookupError


PAGES: dict[str, Page] = {"/cart": cart_page, "/add": add_page, "/fail": failing_page}


def stream_of(*steps: Callable[[], object]) -> Page:
    """Return a page that streams between its steps, the first of which runs in the handler."""

    async def page() -> quart.Response:
        steps[0]()

        @quart.stream_with_context
        async def parts() -> AsyncIterator[str]:
            for step in steps[1:]:
                yield "part;"
                said = step()
                if isawaitable(said):
                    await said

        return quart.Response(parts())

    return page


def sets(**values: Any) -> Callable[[], object]:
    return lambda: session.update(values)
