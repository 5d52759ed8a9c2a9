"""A token is needed with each unsafe request in aiohttp, too."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer

from coatcheck import ConfigurationError
from coatcheck.csrf import masked_csrf_token
from coatcheck.frameworks.aiohttp import csrf, get_session, setup
from coatcheck.storage import MemoryStorage
from tests.frameworks.aiohttp.pages import COOKIE

Ask = Callable[..., Awaitable[tuple[int, str]]]


async def token(request: web.Request) -> web.Response:
    """Answer with the token of the page's form."""
    return web.Response(text=masked_csrf_token(get_session(request)))


async def order(request: web.Request) -> web.Response:
    """Answer with a field of the form, which the check has read before."""
    return web.Response(text=str((await request.post()).get("item", "")))


def run(steps: Callable[[Ask], Awaitable[None]], **options: Any) -> None:
    """Let a browser take steps in a shop."""

    async def visit() -> None:
        app = web.Application()
        setup(app, COOKIE, MemoryStorage())
        app.middlewares.append(csrf(**options))
        app.router.add_get("/", token)
        for path in ("/order", "/hooks/paid"):
            app.router.add_post(path, order)
        async with TestClient(TestServer(app)) as client:

            async def ask(method: str, path: str, **request: Any) -> tuple[int, str]:
                answer = await client.request(method, path, **request)
                return answer.status, await answer.text()

            await steps(ask)

    asyncio.run(visit())


def test_a_token_comes_in_a_field_or_a_header() -> None:
    """The handler reads the form again; without a token, or with another's, it is not asked."""

    async def steps(ask: Ask) -> None:
        given = (await ask("GET", "/"))[1]
        assert await ask("POST", "/order", data={"item": "hat", "csrf": given}) == (200, "hat")
        assert await ask("POST", "/order", headers={"X-CSRF-Token": given}) == (200, "")
        for data in ({"item": "hat"}, {"csrf": "0" * 64}, None):
            status, text = await ask("POST", "/order", data=data)
            assert (status, "another site" in text) == (403, True)

    run(steps)


def test_what_is_no_urlencoded_form_needs_the_header() -> None:
    """An upload is left to the handler, and no body raises."""

    async def steps(ask: Ask) -> None:
        given = (await ask("GET", "/"))[1]
        upload = FormData({"csrf": given}, default_to_multipart=True)
        assert (await ask("POST", "/order", data=upload))[0] == 403
        for charset in ("none", "ascii"):
            kind = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
            assert (await ask("POST", "/order", data=b"csrf=\xff", headers=kind))[0] == 403

    run(steps)


def test_names_paths_and_the_answer_can_be_others() -> None:
    """Requests of other servers bring no token."""

    async def refused(_: web.Request) -> web.Response:
        return web.Response(status=400, text="again")

    async def steps(ask: Ask) -> None:
        given = (await ask("GET", "/"))[1]
        assert await ask("POST", "/order", data={"token": given, "item": "hat"}) == (200, "hat")
        assert await ask("POST", "/order", headers={"x-token": given}) == (200, "")
        assert await ask("POST", "/order", data={"csrf": given}) == (400, "again")
        assert await ask("POST", "/hooks/paid", data={"item": "hat"}) == (200, "hat")

    run(steps, header="X-Token", field="token", bypass=("/hooks/",), refused=refused)


def test_a_name_that_is_empty_is_refused() -> None:
    """When the application starts."""
    with pytest.raises(ConfigurationError, match="field must be a text"):
        csrf(field="")
