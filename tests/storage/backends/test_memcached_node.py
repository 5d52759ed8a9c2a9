"""Connections to Memcached that end: while nobody looks, before an answer, and at a fork."""

import asyncio
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coatcheck._request.async_calls import AsyncCalls, done
from coatcheck.errors import BackendError
from coatcheck.storage import KeyedStorage, MemcachedStorage
from coatcheck.storage.backends.async_memcached_node import AsyncNode, Connection
from coatcheck.storage.backends.memcached_commands import (
    Command,
    MemcachedError,
    Reply,
    gets,
    store,
)
from coatcheck.storage.backends.memcached_node import UNUSED, Node
from coatcheck.storage.backends.pipelined import ConnectionLost
from tests import servers
from tests.faults.test_outages import FRONTS, reads, signs_in, writes
from tests.hosts import Browser
from tests.storage_kinds import Made, front_of
from tests.thorough import thorough

FOREVER = 60.0

FORK = multiprocessing.get_context("fork")


@contextmanager
def browser_of(name: str, storage: KeyedStorage) -> Iterator[Browser]:
    """Open a front end, with a browser whose session holds a user and a count of 1."""
    assert storage.aio
    with front_of(name, Made(storage, storage.aio.close)) as front:
        browser = front.browser()
        browser.ask(signs_in)
        browser.ask(writes)
        yield browser
    storage.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="coatcheck-") as found:
        yield Path(found)


def told(place: Path | int, name: str) -> int:
    """Return what a Memcached counts under that name; *place* is a socket, or a port."""
    with socket.socket(socket.AF_INET if isinstance(place, int) else socket.AF_UNIX) as client:
        client.connect(("127.0.0.1", place) if isinstance(place, int) else str(place))
        client.sendall(b"stats\r\n")
        lines = b""
        while not lines.endswith(b"END\r\n"):
            lines += client.recv(65536)
    stats = dict(line.split(b" ", 2)[1:] for line in lines.splitlines() if b"STAT" in line)
    return int(stats[name.encode()])


@pytest.mark.parametrize("name", ["wsgi", thorough("asgi")])
def test_the_first_request_after_a_quiet_night(name: str) -> None:
    """The server closed a connection that was not used; the next request is served as ever."""
    port = servers.free_port()
    account = ["-u", "root"] if os.getuid() == 0 else []
    options = [*account, "-l", "127.0.0.1", "-p", str(port), "-o", "idle_timeout=1"]
    with (
        servers.Server(servers.find("memcached"), *options, ready=lambda: servers.answers(port)),
        browser_of(name, MemcachedStorage(f"127.0.0.1:{port}")) as browser,
    ):
        servers.wait_until(lambda: told(port, "idle_kicks") > 0)
        browser.ask(writes)
        assert browser.ask(lambda session: session["n"]).json == 2


@pytest.mark.parametrize("name", FRONTS)
def test_the_first_request_after_a_restart(name: str, folder: Path) -> None:
    """No request fails: the server is empty, and takes a new session."""
    path = folder / "m"
    with (
        servers.memcached(path) as server,
        browser_of(name, MemcachedStorage(str(path))) as browser,
    ):
        server.stop()
        server.start()
        assert browser.ask(reads).json is None
        browser.ask(signs_in)
        server.stop()
        server.start()
        browser.ask(signs_in)
        assert browser.ask(reads).json == 1


class Proxy:
    """
    A server before a Memcached that passes everything on, and loses an answer when it is told to.

    Args:
        path: Where it listens.
        behind: The Memcached.
    """

    def __init__(self, path: Path, behind: Path) -> None:
        self.path, self._behind = path, behind
        self.loses = b""
        """How the command begins whose answer is lost, once."""
        self.meanwhile: Callable[[], object] = lambda: None
        """Called when it is lost, before the connection is closed."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._behind))
            while command := client.recv(65536):
                server.sendall(command)
                answer = server.recv(65536)
                if self.loses and command.startswith(self.loses):
                    self.loses = b""
                    self.meanwhile()
                    return
                client.sendall(answer)


@pytest.fixture
def proxy(folder: Path) -> Iterator[Proxy]:
    with servers.memcached(folder / "m"):
        made = Proxy(folder / "proxy", folder / "m")
        yield made
        made.close()


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("command", [b"gets", b"cas"])
def test_a_lost_answer_changes_nothing_for_the_visitor(
    name: str, command: bytes, proxy: Proxy
) -> None:
    """What is sent again counts once."""
    with browser_of(name, MemcachedStorage(str(proxy.path))) as browser:
        proxy.loses = command
        browser.ask(writes)
        assert not proxy.loses
        assert browser.ask(lambda session: session["n"]).json == 2


@pytest.mark.parametrize("name", FRONTS)
def test_a_lost_answer_to_a_new_session(name: str, proxy: Proxy) -> None:
    """The session that was claimed is the one that the browser gets."""
    with browser_of(name, MemcachedStorage(str(proxy.path))) as browser:
        newcomer = Browser(browser.send)
        proxy.loses = b"add"
        newcomer.ask(signs_in)
        assert not proxy.loses
        assert newcomer.ask(reads).json == 1
        assert told(proxy._behind, "total_items") == 3


@pytest.mark.parametrize("name", FRONTS)
def test_a_lost_answer_to_a_sign_out(name: str, proxy: Proxy) -> None:
    """The session is gone."""
    with browser_of(name, MemcachedStorage(str(proxy.path))) as browser:
        again = Browser(browser.send, header=browser.header)
        for command in (b"cas", b"delete"):
            proxy.loses = command
            browser.ask(lambda session: session.destroy())
        assert again.ask(reads).json is None


@pytest.mark.parametrize("name", FRONTS)
def test_a_lost_answer_before_another_write_is_an_error(name: str, proxy: Proxy) -> None:
    """
    Nothing tells whether the first write was done before the other one, so it is not made again.

    To replay it as a lost race would count it twice.
    """
    with browser_of(name, MemcachedStorage(str(proxy.path))) as browser:
        other = MemcachedStorage(str(proxy._behind))

        def write() -> None:
            session = other.read(browser.value)
            writes(session)
            other.save(session)

        proxy.loses, proxy.meanwhile = b"cas", write
        with pytest.raises(BackendError, match="the answer was lost"):
            browser.ask(writes)
        assert browser.ask(lambda session: session["n"]).json == 3
        other.close()


def test_an_answer_that_is_lost_twice_is_an_error(folder: Path) -> None:
    """A server that closes every connection is not asked for ever."""
    path = folder / "closes"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        accepted = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    accepted.append(client)
                    client.recv(100)
                    client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(ConnectionLost):
            Node(str(path), 5).ask(gets("key"))
        assert len(accepted) == 2
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_a_command_that_is_under_way_at_the_end_opens_no_connection(folder: Path) -> None:
    """It would lose its answer to the close, ask once more, and leave a socket open."""
    path = folder / "m"

    async def run() -> None:
        node = AsyncNode(str(path), 5)
        await node.ask(gets("key"))
        under_way = asyncio.ensure_future(node.ask(gets("key")))
        await asyncio.sleep(0)
        await node.close()
        with pytest.raises(OSError, match="the storage was closed"):
            await under_way
        with pytest.raises(OSError, match="the storage was closed"):
            await node.ask(gets("key"))
        await node.close()

    with servers.memcached(path):
        asyncio.run(run())


def test_connections_that_are_not_needed_any_more_are_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty threads at once leave twenty; a minute later one is enough."""
    path = folder / "m"
    with servers.memcached(path):
        node = Node(str(path), 5)
        ready = threading.Barrier(20)

        def ask() -> None:
            connections = [node]
            ready.wait(10)
            connections[0].ask(gets("key"))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in node._idle:
            monkeypatch.setattr(connection, "used_at", connection.used_at - UNUSED - 1)
        for _ in range(20):
            node.ask(gets("key"))
        assert len(node._idle) == 1
        node.close()


def test_many_commands_share_one_connection_of_an_event_loop(folder: Path) -> None:
    """Answers find their requests, also where some are cancelled."""
    path = folder / "m"

    async def scenario() -> None:
        storage = MemcachedStorage(str(path))
        assert storage.aio
        backend = storage.aio.backend
        for number in range(50):
            await backend.swap(f"key{number}", None, b"%d" % number, 100)
        before = told(path, "total_connections")
        calls = [asyncio.create_task(backend.get(f"key{number}")) for number in range(50)]
        await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        for number, stored in enumerate(found):
            if number % 3:
                assert not isinstance(stored, BaseException)
                assert stored
                assert stored.record == b"%d" % number
        assert told(path, "total_connections") == before + 1  # this question has its own
        await storage.aio.close()

    with servers.memcached(path):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [
        (b"SERVER_ERROR out of memory", True),
        (b"CLIENT_ERROR bad command", False),
        (b"STORED", False),
        (b"VALUE another 0 1 1\r\nx\r\nEND", False),
        (b"HTTP/1.1 400 Bad Request", False),
    ],
)
def test_a_refusal_or_nonsense_fails_one_request(answer: bytes, goes_on: bool) -> None:
    """After nonsense, answers may belong to other commands: the next one is not taken."""

    async def scenario() -> None:
        one, other = socket.socketpair()
        loop, command = asyncio.get_running_loop(), gets("key")
        _, connection = await loop.create_connection(lambda: Connection(FOREVER), sock=one)
        asks = [connection.ask(command.data, command) for _ in range(2)]
        other.sendall(answer + b"\r\nEND\r\n")
        refused, after = await asyncio.gather(*asks, return_exceptions=True)
        assert type(refused) is MemcachedError
        if goes_on:
            assert after == Reply(b"END", {})
            other.sendall(b"END\r\n")  # an answer to no command is nonsense, too
        else:
            assert type(after) is ConnectionLost
        await connection.ended
        other.close()

    asyncio.run(scenario())


def test_an_answer_that_is_late_costs_no_other_request(folder: Path) -> None:
    """Those that are under way get theirs; what comes later has a new connection."""
    path = folder / "m"

    async def scenario(server: servers.Server) -> None:
        node, command = AsyncNode(str(path), FOREVER), gets("key")
        await node.ask(command)
        connection, now = node._shared.current, asyncio.get_running_loop().time()
        assert connection
        server.pause()
        late = connection.ask(command.data, command, due=now)
        other = connection.ask(command.data, command, due=now + FOREVER)
        with pytest.raises(TimeoutError):
            await late
        server.resume()
        assert (await other).line == b"END"
        await node.ask(command)
        assert node._shared.current is not connection
        await node.close()

    with servers.memcached(path) as server:
        asyncio.run(scenario(server))


def test_a_save_needs_no_task_of_its_own(folder: Path) -> None:
    """It waits for its answer in the task of the request, and is made if that is cancelled."""
    path = folder / "m"

    async def scenario() -> None:
        storage = MemcachedStorage(str(path))
        assert storage.aio
        calls = AsyncCalls(storage)
        session = await storage.aio.read(None)
        session["n"] = 0
        value = await done(calls.save(session))
        session = await storage.aio.read(value)
        session["n"] = 1
        before = asyncio.all_tasks()
        request = asyncio.create_task(done(calls.save(session)))
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {*before, request}
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await storage.aio.read(value))["n"] == 1
        await calls.close()

    with servers.memcached(path):
        asyncio.run(scenario())


def test_a_server_that_hangs_costs_one_timeout(folder: Path) -> None:
    """Connecting, the command and its repetition share one, plain and awaited."""
    path = folder / "m"
    with servers.memcached(path) as server:
        storage = MemcachedStorage(str(path), timeout=0.3)
        assert storage.aio
        session = storage.read(None)
        session["n"] = 1
        value = storage.save(session)

        async def scenario() -> None:
            assert storage.aio
            await storage.aio.read(value)
            server.pause()
            with pytest.raises(BackendError):
                await asyncio.wait_for(storage.aio.read(value), 0.6)
            server.resume()
            assert (await storage.aio.read(value))["n"] == 1

        asyncio.run(scenario())
        server.pause()
        with pytest.raises(BackendError):
            storage.read(value)
        server.resume()
        assert storage.read(value)["n"] == 1
        storage.close()


def read_often(storage: KeyedStorage, value: str, name: str, answers: "Queue[object]") -> None:
    seen = {storage.read(value)["user"] for _ in range(300)}
    answers.put((name, seen))
    answers.close()
    answers.join_thread()
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_workers_that_are_forked_after_the_first_use(folder: Path) -> None:
    """Each opens connections of its own, and reads its own visitor's session every time."""
    path = folder / "m"
    with servers.memcached(path):
        storage = MemcachedStorage(str(path))
        values = {}
        for name in ("ada", "bob", "cleo", "dan"):
            session = storage.read(None)
            session["user"] = name
            values[name] = storage.save(session) or ""
        answers = FORK.Queue()
        workers = [
            FORK.Process(target=read_often, args=(storage, value, name, answers))
            for name, value in values.items()
        ]
        for worker in workers:
            worker.start()
        for _ in workers:
            name, seen = answers.get(timeout=30)
            assert seen == {name}
        for worker in workers:
            worker.join()
        assert storage.read(values["ada"])["user"] == "ada"
        storage.close()


def test_a_command_is_refused_for_a_key_that_is_not_ascii() -> None:
    """A backend's keys are ASCII; anything else would end the line early."""
    commands: list[Callable[[], Command]] = [
        lambda: gets("kéy"),
        lambda: store("kéy", b"", None, 1),
    ]
    for make in commands:
        with pytest.raises(UnicodeEncodeError):
            make()
