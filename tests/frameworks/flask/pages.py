"""An application in Flask, and a client of it."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import flask
from werkzeug.test import TestResponse

from coatcheck import Cookie
from coatcheck.frameworks.flask import SessionInterface, session
from coatcheck.storage import SessionStorage
from tests.frameworks.visits import add
from tests.hosts import SECRET

NAME = __name__
"""Of the application, and so of its logger."""

COOKIE = Cookie("session", secrets=[SECRET], secure=False, max_age=1000)

Page = Callable[[], Any]


def application(
    storage: SessionStorage, pages: dict[str, Page] | None = None, **options: Any
) -> flask.Flask:
    """Return an application with these pages; it has no SECRET_KEY."""
    app = flask.Flask(NAME)
    app.session_interface = SessionInterface(COOKIE, storage, **options)
    for path, page in (pages or {}).items():
        app.add_url_rule(path, path, page)
    return app


def client_of(*given: Any, **options: Any) -> Any:
    """Return a client of an application: its responses are read to the end, and closed."""
    client = application(*given, **options).test_client()

    def get(path: str, **more: Any) -> TestResponse:
        return client.get(path, buffered=True, **more)

    client.ask = get  # type: ignore[attr-defined]
    return client


def names_of(answer: TestResponse) -> list[str]:
    """Return the names of the cookies that a response sets."""
    return [line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie")]


def cart_page() -> Any:
    return flask.jsonify(session.get("cart"))


def add_page() -> Any:
    return flask.jsonify(add(flask.session, flask.request.args["item"]))


def failing_page() -> Any:
    session["lost"] = True
    raise LookupError


PAGES: dict[str, Page] = {"/cart": cart_page, "/add": add_page, "/fail": failing_page}


def stream_of(*steps: Callable[[], object]) -> Page:
    """Return a page that streams between its steps, the first of which runs in the handler."""

    def page() -> flask.Response:
        steps[0]()

        def parts() -> Iterator[str]:
            for step in steps[1:]:
                yield "part;"
                step()

        return flask.Response(flask.stream_with_context(parts()))

    return page


def sets(**values: Any) -> Callable[[], object]:
    return lambda: session.update(values)


def some_file() -> flask.Response:
    return flask.send_file(io.BytesIO(b"file"), mimetype="text/plain")
