"""Over real HTTP: uvicorn with one worker and several, and a threaded WSGI server."""

import asyncio
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import httpx
import pytest
import uvicorn
from websockets.sync.client import connect

from coatcheck import Session, session
from coatcheck.storage import FileStorage
from coatcheck.wsgi import Environ, StartResponse
from tests import servers
from tests.served import COOKIE, application
from tests.thorough import thorough

FIFTY = 50
WORKERS = 3


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port, in a thread."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", ws="websockets-sansio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            servers.wait_until(lambda: server.started, alive=thread.is_alive)
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def workers(path: Path, storage: str) -> Iterator[Path]:
    """Serve `tests.served` with several processes, on a socket."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "tests.served:make"]
    command += ["--uds", str(path), "--workers", str(WORKERS), "--log-level", "critical"]
    environment = {**os.environ, "STORAGE": storage, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment)
    try:
        servers.wait_until(lambda: listens(path), alive=lambda: process.poll() is None)
        yield path
    finally:
        process.terminate()
        process.wait(timeout=30)


def listens(path: Path) -> bool:
    """Tell whether anybody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@pytest.fixture
def places(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """What to tell a process so that it finds a storage of that kind."""

    def place(kind: str) -> str:
        match kind:
            case "file":
                return f"file,{request.getfixturevalue('tmp_path') / 'sessions'}"
            case "redis":
                return f"redis,{request.getfixturevalue('redis_socket')}"
            case "memcached":
                return ",".join(["memcached", *request.getfixturevalue("memcached_nodes")])
            case _:
                return kind

    return place


def visit(client: httpx.Client) -> None:
    """Look, sign in, see a notice once, change something, sign out."""
    assert client.get("/held").json() == {"notice": None}
    assert not client.cookies
    signed_in = client.get("/sign-in", follow_redirects=True)
    assert signed_in.json() == {"notice": "Welcome.", "user": "Ada"}
    assert signed_in.headers["vary"] == "Cookie"
    assert client.get("/held").json() == {"notice": None, "user": "Ada"}
    assert [client.get("/count").json() for _ in range(3)] == [1, 2, 3]
    assert client.get("/sign-out", follow_redirects=True).json() == {"notice": None}
    assert not client.cookies


@pytest.mark.parametrize(
    "kind", ["cookie", thorough("memory"), "file", "redis", thorough("memcached")]
)
def test_a_visit(places: Callable[[str], str], kind: str) -> None:
    """One connection, kept alive, every storage."""
    app = application(*places(kind).split(","))
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        visit(client)


async def together(client: httpx.AsyncClient, paths: list[str]) -> None:
    """Ask for all of these at once."""
    for answer in await asyncio.gather(*map(client.get, paths)):
        assert answer.status_code == 200


async def crowd(transport: httpx.AsyncHTTPTransport, base_url: str, size: int) -> dict[str, Any]:
    """Let one browser send *size* requests at once, and as many again on the same connections."""
    limits = {"timeout": 60.0, "transport": transport, "base_url": base_url}
    async with httpx.AsyncClient(**limits) as client:  # type: ignore[arg-type]
        await client.get("/sign-in")
        await together(client, [f"/set/key{i}" for i in range(size)])
        await together(client, ["/count"] * size)
        held: dict[str, Any] = (await client.get("/held")).json()
        return held


def expected(size: int) -> dict[str, Any]:
    keys = {f"key{i}": True for i in range(size)}
    return {"notice": "Welcome.", "user": "Ada", "n": size, **keys}


@pytest.mark.parametrize("size", [20, thorough(FIFTY)])
@pytest.mark.parametrize("kind", [thorough("memory"), "file", "redis", thorough("memcached")])
def test_parallel_requests_lose_nothing(places: Callable[[str], str], kind: str, size: int) -> None:
    """One browser that sends many requests at once finds what each of them did."""
    app = application(*places(kind).split(","))
    with served(app) as address:
        held = asyncio.run(crowd(httpx.AsyncHTTPTransport(), f"http://{address}", size))
    assert held == expected(size)


@pytest.mark.parametrize("kind", [thorough("file"), "redis", thorough("memcached")])
def test_parallel_requests_to_several_processes_lose_nothing(
    places: Callable[[str], str], server_folder: Path, kind: str
) -> None:
    """The same, answered by three processes that share nothing but the storage."""
    with workers(server_folder / f"http-{kind}", places(kind)) as path:
        held = asyncio.run(
            crowd(httpx.AsyncHTTPTransport(uds=str(path)), "http://localhost", FIFTY)
        )
    assert held == expected(FIFTY)


def test_a_websocket() -> None:
    """The cookie comes with the accept, and what came later is saved at the close."""
    with served(application("memory")) as address:
        with connect(f"ws://{address}/chat") as websocket:
            assert websocket.response
            header = websocket.response.headers["set-cookie"].partition(";")[0]
            websocket.send("hello")
            assert json.loads(websocket.recv()) == {"chats": True, "heard": "hello"}
            with pytest.raises(Exception, match="1000"):
                websocket.recv()
        held = httpx.get(f"http://{address}/held", headers={"cookie": header}).json()
        assert held == {"notice": None, "chats": True, "heard": "hello"}


# WSGI


class Threaded(socketserver.ThreadingMixIn, WSGIServer):
    """The server of the standard library, with a thread a connection."""

    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        return None


def wsgi_app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Count, or tell what is held."""
    found = environ["coatcheck.session"]
    assert isinstance(found, Session)
    if environ["PATH_INFO"] == "/count":
        found.apply("n", lambda n: n + 1, 0)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(dict(found)).encode()]


def test_parallel_requests_to_a_threaded_wsgi_server_lose_nothing(tmp_path: Path) -> None:
    """Twenty threads, one session in a file."""
    app = session(COOKIE, FileStorage(tmp_path)).wsgi(wsgi_app)
    with Threaded(("127.0.0.1", 0), Quiet) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            held = asyncio.run(count_to(url, 20))
        finally:
            server.shutdown()
            thread.join()
    assert held == {"n": 21}


async def count_to(url: str, size: int) -> object:
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
        await client.get("/count")
        await together(client, ["/count"] * size)
        return (await client.get("/held")).json()
