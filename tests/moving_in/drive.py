"""
Send requests to an application, in the process of the old package or of ours.

    python drive.py KIND MODULE VISITS     prints [[status, body, cookies], …] as JSON

KIND is wsgi, asgi or aiohttp. The module has an `app`. VISITS is JSON: [[cookies, [path, …]], …],
each a browser of its own. It keeps cookies by name, their values as they are. This file imports
nothing of coatcheck: it runs beside it.
"""

import asyncio
import importlib
import io
import json
import sys
from typing import Any

Answered = tuple[int, list[tuple[str, str]], bytes]


def wsgi(app: Any, path: str, cookie: str) -> Answered:
    """Send a request to a WSGI application."""
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": False,
        "wsgi.run_once": False, "HTTP_COOKIE": cookie,
    }  # fmt: skip
    started: list[Any] = []
    body = app(environ, lambda status, headers, _=None: started.append((status, headers)))
    text = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    status, headers = started[-1]
    return int(status.split()[0]), headers, text


async def asgi(app: Any, path: str, cookie: str) -> Answered:
    """Send a request to an ASGI application."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())],
        "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


async def over_http(app: Any, requests: list[tuple[dict[str, str], str]]) -> list[Any]:
    """Send requests to an aiohttp application, which is served."""
    from aiohttp import ClientSession, DummyCookieJar
    from aiohttp.test_utils import TestServer

    found = []
    async with TestServer(app) as server, ClientSession(cookie_jar=DummyCookieJar()) as client:
        for jar, path in requests:
            async with client.get(server.make_url(path), headers={"Cookie": header(jar)}) as answer:
                pairs = [("set-cookie", each) for each in answer.headers.getall("Set-Cookie", ())]
                found.append(taken(jar, (answer.status, pairs, await answer.read())))
    return found


def header(jar: dict[str, str]) -> str:
    """Return the Cookie header of a browser."""
    return "; ".join(f"{name}={value}" for name, value in jar.items())


def taken(jar: dict[str, str], answer: Answered) -> list[Any]:
    """Keep the cookies of an answer, and return what is told of it."""
    status, headers, body = answer
    for name, line in headers:
        if name.lower() == "set-cookie":
            pair, _, attributes = line.partition(";")
            cookie, _, value = pair.partition("=")
            if "max-age=0" in attributes.lower() or "1970" in attributes:
                jar.pop(cookie, None)
            else:
                jar[cookie] = value
    return [status, body.decode(), dict(jar)]


async def in_one_loop(app: Any, requests: list[tuple[dict[str, str], str]]) -> list[Any]:
    """Send requests to an ASGI application, one after another."""
    return [taken(jar, await asgi(app, path, header(jar))) for jar, path in requests]


def main(kind: str, module: str, visits: str) -> None:
    """Run the requests, and print what came back."""
    app = importlib.import_module(module).app
    requests = [(jar, path) for jar, paths in json.loads(visits) for path in paths]
    if kind == "wsgi":
        found = [taken(jar, wsgi(app, path, header(jar))) for jar, path in requests]
    else:
        run = over_http if kind == "aiohttp" else in_one_loop
        found = asyncio.run(run(app, requests))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main(*sys.argv[1:])
