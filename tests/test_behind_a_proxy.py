"""
The how-to page "Behind a proxy": each setting that it names lets a server believe one proxy.

The settings are taken from the page. The proxy says that the browser speaks https.
"""

import asyncio
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from gunicorn.config import Config
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from werkzeug.test import Client

PAGE = (Path(__file__).parent.parent / "docs/how-to/behind-a-proxy.md").read_text()
PROXY, OTHER = "127.0.0.2", "127.0.0.3"
TOLD = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.test",
    "X-Forwarded-For": "192.0.2.1",
}


def on_the_page(start: str) -> str:
    """Return the code of the table that begins so, with another address of the proxy."""
    (code,) = re.findall(rf"`({re.escape(start)}[^`]*)`", PAGE)
    return str(code).replace("10.0.0.5", PROXY)


def wrapped(expression: str, app: object) -> Any:
    """Return what the page's expression makes of *app*."""
    module, _, rest = expression.rpartition("(")[0].rpartition(".")
    wrap = getattr(importlib.import_module(module), rest)
    return eval(f"wrap{expression[len(module) + 1 + len(rest) :]}", {"wrap": wrap, "app": app})


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the scheme that the application sees."""
    await PlainTextResponse(Request(scope).url.scheme)(scope, receive, send)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Answer with the scheme that the application sees."""
    start_response("200 OK", [])
    return [str(environ["wsgi.url_scheme"]).encode()]


def of_uvicorn() -> Any:
    """Return what uvicorn makes of the application, told as on the page."""
    _, *options = on_the_page("uvicorn --proxy").split()
    told = uvicorn.main.make_context("uvicorn", ["app", *options]).params
    names = ("proxy_headers", "forwarded_allow_ips")
    config = uvicorn.Config(asgi, log_config=None, **{name: told[name] for name in names})
    config.load()
    return config.loaded_app


def asked(app: Any, address: str) -> str:
    """Return the scheme of a request over http that comes from that address."""

    async def ask() -> str:
        transport = httpx.ASGITransport(app, client=(address, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            return (await client.get("/", headers=TOLD)).text

    return asyncio.run(ask())


def asked_plainly(app: Any, address: str) -> str:
    """The same, of a WSGI application."""
    return Client(app).get("/", headers=TOLD, environ_overrides={"REMOTE_ADDR": address}).text


@pytest.mark.parametrize(
    ("ask", "app"),
    [
        (asked, of_uvicorn),
        (asked, lambda: wrapped(on_the_page("granian.utils."), asgi)),
        (
            asked_plainly,
            lambda: wrapped(on_the_page("granian.utils.").replace("asgi", "wsgi"), wsgi),
        ),
    ],
    ids=["uvicorn", "granian", "granian-wsgi"],
)
def test_one_address_is_trusted(ask: Callable[[Any, str], str], app: Callable[[], Any]) -> None:
    """A request of the proxy has the browser's scheme, and any other its own."""
    assert ask(app(), PROXY) == "https"
    assert ask(app(), OTHER) == "http"


def test_gunicorn_trusts_one_address() -> None:
    """The option is one that it knows, and holds the address alone."""
    _, *options = on_the_page("gunicorn --forwarded").split()
    told = vars(Config().parser().parse_args(options))
    assert told["forwarded_allow_ips"] == PROXY


def test_one_hop_is_trusted() -> None:
    """Where hops are counted, every client that reaches the port is believed."""
    for address in (PROXY, OTHER):
        assert asked(wrapped(on_the_page("hypercorn.middleware."), asgi), address) == "https"
        assert asked_plainly(wrapped(on_the_page("werkzeug.middleware."), wsgi), address) == "https"
