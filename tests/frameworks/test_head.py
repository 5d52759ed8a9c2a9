"""A HEAD request takes no message away: no page shows its response. With each framework's words."""

import asyncio
import tempfile
from collections.abc import Callable
from typing import Any

import flask
import pytest
import quart
from django.contrib import messages as django_messages
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path as django_path
from litestar import HttpMethod, Litestar, get, route
from litestar import Request as LitestarRequest
from litestar.plugins.flash import FlashConfig, FlashPlugin, get_flashes
from litestar.plugins.flash import flash as litestar_flash
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig
from litestar.testing import TestClient
from pyramid.config import Configurator
from pyramid.response import Response
from webob import Request  # type: ignore[import-untyped]

from coatcheck import Cookie, session
from coatcheck.frameworks import flask as of_flask
from coatcheck.frameworks import quart as of_quart
from coatcheck.frameworks.litestar import SessionPlugin
from coatcheck.frameworks.pyramid import PyramidSession
from coatcheck.storage import MemoryStorage
from tests.frameworks import django_site  # noqa: F401 - configures Django

COOKIE = Cookie("s", secrets=["a secret of more than thirty-two characters"], secure=False)

Visit = tuple[str, str]
"""A method and a path."""

VISITS: list[Visit] = [("GET", "/leave"), ("HEAD", "/"), ("GET", "/"), ("GET", "/")]


def of_pages_in_flask() -> list[str]:
    app = flask.Flask("pages")
    app.session_interface = of_flask.SessionInterface(COOKIE, MemoryStorage())

    @app.get("/leave")
    def leave() -> str:
        flask.flash("Saved.")
        return ""

    @app.get("/")
    def show() -> str:
        return ", ".join(map(str, flask.get_flashed_messages()))

    client = app.test_client()
    return [client.open(path, method=method).text for method, path in VISITS]


def of_pages_in_quart() -> list[str]:
    app: Any = quart.Quart("pages")
    app.session_interface = of_quart.SessionInterface(COOKIE, MemoryStorage())

    async def leave() -> str:
        await quart.flash("Saved.")
        return ""

    async def show() -> str:
        return ", ".join(map(str, quart.get_flashed_messages()))

    app.add_url_rule("/leave", view_func=leave)
    app.add_url_rule("/", view_func=show)

    async def visit() -> list[str]:
        client = app.test_client()
        answers = [await client.open(path, method=method) for method, path in VISITS]
        return [await answer.get_data(as_text=True) for answer in answers]

    return asyncio.run(visit())


def of_pages_in_pyramid() -> list[str]:
    config = Configurator()
    config.set_session_factory(PyramidSession)
    config.add_route("leave", "/leave")
    config.add_route("show", "/")

    def leave(request: Any) -> Response:
        request.session.flash("Saved.")
        return Response("")

    def show(request: Any) -> Response:
        return Response(", ".join(request.session.pop_flash()))

    config.add_view(leave, route_name="leave")
    config.add_view(show, route_name="show")
    app = session(COOKIE, MemoryStorage()).wsgi(config.make_wsgi_app())
    headers: dict[str, str] = {}
    texts = []
    for method, path in VISITS:
        answer = Request.blank(path, method=method, headers=headers).get_response(app)
        if "Set-Cookie" in answer.headers:
            headers = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        texts.append(answer.text)
    return texts


def of_pages_in_litestar() -> list[str]:
    @get("/leave", sync_to_thread=False)
    def leave(request: LitestarRequest[Any, Any, Any]) -> str:
        litestar_flash(request, "Saved.", "info")
        return ""

    @route("/", http_method=[HttpMethod.GET, HttpMethod.HEAD], sync_to_thread=False)
    def show(request: LitestarRequest[Any, Any, Any]) -> str:
        return ", ".join(each["message"] for each in get_flashes({"request": request}))

    with tempfile.TemporaryDirectory() as folder:
        templates: Any = TemplateConfig(directory=folder, engine=JinjaTemplateEngine)
        app = Litestar(
            [leave, show],
            plugins=[SessionPlugin(COOKIE, MemoryStorage()), FlashPlugin(FlashConfig(templates))],
            template_config=templates,
            openapi_config=None,
        )
        with TestClient(app) as client:
            return [client.request(method, path).text for method, path in VISITS]


def leave_in_django(request: HttpRequest) -> HttpResponse:
    django_messages.info(request, "Saved.")
    return HttpResponse("")


def show_in_django(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join(map(str, django_messages.get_messages(request))))


urlpatterns = [django_path("leave", leave_in_django), django_path("", show_in_django)]


def of_pages_in_django() -> list[str]:
    middleware = [
        "coatcheck.frameworks.django.SessionMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    with override_settings(
        ROOT_URLCONF=__name__, MIDDLEWARE=middleware, COATCHECK_STORAGE=MemoryStorage()
    ):
        client: Any = Client()
        return [client.generic(method, path).content.decode() for method, path in VISITS]


@pytest.mark.parametrize(
    "visit",
    [
        of_pages_in_flask,
        of_pages_in_quart,
        of_pages_in_pyramid,
        of_pages_in_litestar,
        of_pages_in_django,
    ],
)
def test_a_message_waits_for_a_page_that_shows_it(visit: Callable[[], list[str]]) -> None:
    """It is left, not taken by a HEAD, shown once, and gone."""
    _, _, first, second = visit()
    assert (first, second) == ("Saved.", "")
