"""Pages made from templates, in every framework that has them: no page shows an id."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask
import jinja2
import pytest
import quart
from fastapi import FastAPI
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette.testclient import TestClient

from coatcheck import session
from coatcheck.frameworks import fastapi, litestar
from coatcheck.frameworks import flask as in_flask
from coatcheck.frameworks import quart as in_quart
from coatcheck.storage import MemoryStorage
from tests.frameworks.visits import URL
from tests.hosts import COOKIE

NAMES = ("id", "issued_id", "created_at", "data", "flash", "modified", "new", "signed_in")
KEYS = {name: f"the {name}" for name in NAMES if name != "signed_in"}

Ask = Callable[[str], str]


def page_of(session: str) -> str:
    """Return a template that reads every word of a session, as a key and as an attribute."""
    words = "".join(f"{{{{ {session}.{name} }}}};" for name in NAMES if name != "signed_in")
    who = f"{{{{ {session}.signed_in.user if {session}.signed_in }}}}"
    return f"{words}{{{{ {session}['id'] }}}};{who}"


def fill(held: Any) -> str:
    held.update(KEYS)
    held.sign_in("ada")
    return ""


TEMPLATES = {
    "page": page_of("session"),
    "macro": "{% macro shown() %}" + page_of("session") + "{% endmacro %}",
    "imports": "{% from 'macro' import shown %}{{ shown() }}",
    "request": page_of("request.session"),
}


@contextmanager
def flask_site(_: Path) -> Iterator[Ask]:
    app = flask.Flask("templates")
    app.session_interface = in_flask.SessionInterface(COOKIE, MemoryStorage())
    app.jinja_options = {"loader": jinja2.DictLoader(TEMPLATES)}
    app.add_url_rule("/in", view_func=lambda: fill(flask.session), endpoint="in")
    app.add_url_rule("/<template_name_or_list>", view_func=flask.render_template, endpoint="page")
    client = app.test_client()
    yield lambda path: client.get(path, base_url=URL).text


@contextmanager
def quart_site(_: Path) -> Iterator[Ask]:
    app = quart.Quart("templates")
    app.session_interface = in_quart.SessionInterface(COOKIE, MemoryStorage())  # type: ignore[assignment]
    app.jinja_options = {"loader": jinja2.DictLoader(TEMPLATES)}

    @app.get("/in")
    async def enter() -> str:
        fill(quart.session)
        return ""

    @app.get("/<name>")
    async def page(name: str) -> str:
        return await quart.render_template(name)

    client = app.test_client()

    async def ask(path: str) -> str:
        answer = await client.get(path, scheme="https")
        return str(await answer.get_data(as_text=True))

    with asyncio.Runner() as runner:
        yield lambda path: runner.run(ask(path))


def templates() -> Jinja2Templates:
    env = jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES))
    return Jinja2Templates(env=env)


@contextmanager
def starlette_site(_: Path) -> Iterator[Ask]:
    async def enter(request: Any) -> PlainTextResponse:
        fill(request.session)
        return PlainTextResponse("")

    async def page(request: Any) -> Any:
        name = request.path_params["name"]
        return templates().TemplateResponse(request, name, {"session": request.session})

    app = Starlette(routes=[Route("/in", enter), Route("/{name}", page)])
    client = TestClient(session(COOKIE, MemoryStorage())(app), base_url=URL)
    yield lambda path: str(client.get(path).text)


@contextmanager
def fastapi_site(_: Path) -> Iterator[Ask]:
    app = FastAPI()
    fastapi.setup(app, COOKIE, MemoryStorage())

    @app.get("/in")
    def enter(session: fastapi.SessionDep) -> None:
        fill(session)

    @app.get("/{name}")
    def page(request: Request, session: fastapi.SessionDep, name: str) -> Any:
        return templates().TemplateResponse(request, name, {"session": session})

    client = TestClient(app, base_url=URL)
    yield lambda path: str(client.get(path).text)


@get("/in")
async def litestar_enter(session: litestar.SessionDep) -> None:
    fill(session)


@get("/{name:str}")
async def litestar_page(session: litestar.SessionDep, name: FromPath[str]) -> Template:
    return Template(name, context={"session": session})


@contextmanager
def litestar_site(folder: Path) -> Iterator[Ask]:
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)
    app = Litestar(
        [litestar_enter, litestar_page],
        plugins=[litestar.SessionPlugin(COOKIE, MemoryStorage())],
        template_config=TemplateConfig(directory=folder, engine=JinjaTemplateEngine),
    )
    with LitestarClient(app, base_url=URL.replace("testserver", "testserver.local")) as client:
        yield lambda path: client.get(path).text


SITES = {
    "flask": (flask_site, ("page", "imports")),
    "quart": (quart_site, ("page", "imports")),
    "starlette": (starlette_site, ("page", "request")),
    "fastapi": (fastapi_site, ("page", "request")),
    "litestar": (litestar_site, ("page", "request")),
}


@pytest.mark.parametrize(
    ("site", "name"), [(site, name) for site, (_, names) in SITES.items() for name in names]
)
def test_a_template_gets_the_keys(site: str, name: str, tmp_path: Path) -> None:
    """A stranger's page shows nothing; one with such keys shows their values, and who signed in."""
    nothing = ";" * len(KEYS) + ";"
    with SITES[site][0](tmp_path) as ask:
        assert ask(f"/{name}") == nothing
        ask("/in")
        assert ask(f"/{name}") == ";".join(KEYS.values()) + f";{KEYS['id']};ada"
