"""Over real HTTP, each server in processes of its own: uvicorn, Hypercorn, Granian, Gunicorn."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from coatcheck.storage import SqliteStorage
from coatcheck.testing import SessionKit
from tests import servers
from tests.served import COOKIE
from tests.test_servers_http import FIFTY, crowd, expected, visit
from tests.thorough import crossed

WORKERS = 3
PATIENCE = 30
"""Seconds that a server may take to end."""

COMMANDS = {
    "uvicorn": "uvicorn --factory tests.served:make --host 127.0.0.1 --port {port} "
    "--workers {workers} --log-level critical --ws websockets-sansio",
    "hypercorn": "hypercorn tests.served:make() --bind 127.0.0.1:{port} --workers {workers} "
    "--log-level critical",
    "granian-asgi": "granian tests.served:make --factory --interface asgi --host 127.0.0.1 "
    "--port {port} --workers {workers} --no-log",
    "granian-wsgi": "granian tests.served_wsgi:make --factory --interface wsgi --host 127.0.0.1 "
    "--port {port} --workers {workers} --no-log",
    "gunicorn-sync": "gunicorn tests.served_wsgi:make() --bind 127.0.0.1:{port} "
    "--workers {workers} --log-level critical",
    "gunicorn-gthread": "gunicorn tests.served_wsgi:make() --bind 127.0.0.1:{port} "
    "--workers {workers} --worker-class gthread --threads 4 --log-level critical",
    "gunicorn-asgi": "gunicorn tests.served:make() --bind 127.0.0.1:{port} "
    "--workers {workers} --worker-class asgi --log-level critical",
}
ASGI = ["uvicorn", "hypercorn", "granian-asgi", "gunicorn-asgi"]

SENDS_HEADERS = [name for name in ASGI if "granian" not in name]


def over(names: Iterable[str], *always: str) -> pytest.MarkDecorator:
    """Run a test over these servers, and in `make test` over some."""
    return pytest.mark.parametrize("name", crossed([*names], always=always))


class Served:
    """A server that runs, and the database of its sessions."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, database: Path) -> None:
        self.process = process
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self.database = database


@contextmanager
def served(name: str, folder: Path, *, workers: int = 1, gate: int = 0) -> Iterator[Served]:
    """Run a server until the block ends."""
    port, database = servers.free_port(), folder / "db"
    command = COMMANDS[name].format(port=port, workers=workers).split()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "STORAGE": f"sqlite,{database}",
        "SESSIONS": str(database),
        "GATE": str(gate),
    }
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env=environment, stdout=quiet, stderr=quiet
    )
    try:
        servers.wait_until(lambda: servers.answers(port), alive=lambda: process.poll() is None)
        yield Served(process, port, database)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def held_in_the_end(client: httpx.Client, key: str) -> object:
    """Return what the session holds once *key* is there: it is saved after the last byte left."""
    servers.wait_until(lambda: key in client.get("/held").json())
    return client.get("/held").json()


@over(COMMANDS, "uvicorn", "hypercorn", "granian-asgi", "granian-wsgi", "gunicorn-gthread")
def test_a_visit(name: str, tmp_path: Path) -> None:
    """Sign in, see a notice once, stream, sign out."""
    with (
        served(name, tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        visit(client)
        client.get("/sign-in")
        assert client.get("/stream").text == "onetwo"
        assert client.get("/held").json()["notice"] == "Welcome."
        assert held_in_the_end(client, "late") == {"notice": None, "user": "Ada", "late": True}


@over(COMMANDS, "hypercorn", "gunicorn-gthread")
def test_parallel_requests_to_several_processes_lose_nothing(name: str, tmp_path: Path) -> None:
    """Fifty at once, answered by three processes over one SQLite database."""
    with served(name, tmp_path, workers=WORKERS) as server:
        held = asyncio.run(crowd(httpx.AsyncHTTPTransport(), server.url, FIFTY))
    assert held == expected(FIFTY)


def talk(address: str, header: str | None) -> str | None:
    """Chat, and return the cookie that came with the handshake."""
    fields = {"cookie": header} if header else {}
    with connect(f"ws://{address}/chat", additional_headers=fields) as websocket:
        assert websocket.response
        given: str | None = websocket.response.headers.get("set-cookie")
        websocket.send("hello")
        assert json.loads(websocket.recv())["heard"] == "hello"
        with pytest.raises(Exception, match="1000"):
            websocket.recv()
    return given


@over(SENDS_HEADERS, "uvicorn", "hypercorn")
def test_a_websocket(name: str, tmp_path: Path) -> None:
    """The cookie comes with the accept, and what came later is saved at the close."""
    with served(name, tmp_path) as server:
        line = talk(server.address, None)
        assert line
        fields = {"cookie": line.partition(";")[0]}
        with httpx.Client(base_url=server.url, headers=fields, timeout=60) as client:
            assert held_in_the_end(client, "heard") == {
                "notice": None,
                "chats": True,
                "heard": "hello",
            }


def test_granian_sends_no_cookie_with_a_handshake(tmp_path: Path) -> None:
    """It ignores the headers of an accept: begin the session with an HTTP request there."""
    with served("granian-asgi", tmp_path) as server:
        assert talk(server.address, None) is None


@over(ASGI, "uvicorn", "granian-asgi")
def test_a_websocket_of_somebody_with_a_session(name: str, tmp_path: Path) -> None:
    """What is changed before the accept and after it is saved."""
    with served(name, tmp_path) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        client.get("/sign-in")
        talk(server.address, f"{COOKIE.name}={client.cookies[COOKIE.name]}")
        assert client.get("/held").json()["notice"] == "Welcome."
        held = {"notice": None, "user": "Ada", "chats": True, "heard": "hello"}
        assert held_in_the_end(client, "heard") == held


@over(COMMANDS, "uvicorn", "hypercorn", "granian-wsgi", "gunicorn-sync")
def test_a_server_that_is_told_to_end_saves_what_is_under_way(name: str, tmp_path: Path) -> None:
    """It answers the request that it has begun, and then ends by itself."""
    answers: list[httpx.Response] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as gate,
        served(name, tmp_path, gate=gate.getsockname()[1]) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        kit = SessionKit(COOKIE, SqliteStorage(server.database))
        kit.put(client, user="Ada")
        asking = threading.Thread(target=lambda: answers.append(client.get("/wait")))
        asking.start()
        request, _ = gate.accept()
        with request:
            assert request.recv(4) == b"here"
            server.process.terminate()
            request.sendall(b"go")
        asking.join()
        status = server.process.wait(PATIENCE)
        held = dict(kit.read(client))
    assert [answer.text for answer in answers] == ['"done"']
    assert held == {"user": "Ada", "waited": True}
    assert status in (0, -15)  # uvicorn ends by the signal itself, once all is done
