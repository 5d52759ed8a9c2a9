"""
Listen to Redis's messages about changed keys in a thread: client tracking, in broadcast mode.

    CLIENT TRACKING ON REDIRECT <this connection> BCAST PREFIX <prefix>
    SUBSCRIBE __redis__:invalidate
    PING                            its answer comes after all that was told before

The connection is one of RESP2 that does nothing else, made as the client makes its own: accounts,
TLS and Sentinel work as there. An event loop needs none: see `near_connection`.

Source: https://redis.io/docs/latest/develop/reference/client-side-caching/
"""

import logging
import os
from threading import Event, Thread
from typing import Any, NamedTuple

from coatcheck.errors import ConfigurationError
from coatcheck.storage.backends.near import PROOFS, Copies

CHANNEL = "__redis__:invalidate"

RETRY = 0.5
"""Seconds before a lost connection is made again."""

SILENT = "the server did not answer a PING in time"

_logger = logging.getLogger("coatcheck")


def check(client: Any) -> None:
    """
    Refuse a client of several servers.

    Raises:
        ConfigurationError: It is the client of a cluster.
    """
    if not hasattr(client, "connection_pool"):
        raise ConfigurationError(
            "near needs a client of one server or of a Sentinel, got that of a cluster, whose "
            "servers each tell of their own keys: leave near out"
        )


def connection_of(client: Any, seconds: float) -> Any:
    """
    Return a new connection to the client's server, not yet connected.

    Args:
        seconds: How long it may take to connect.
    """
    pool = client.connection_pool
    options = {**pool.connection_kwargs, "protocol": 2, "health_check_interval": 0}
    if "path" not in options:
        options["socket_connect_timeout"] = seconds
    return pool.connection_class(**{**options, "socket_timeout": seconds})


def tracking(client_id: int, prefix: str) -> tuple[Any, ...]:
    """Return the command that begins to track."""
    command = ("CLIENT", "TRACKING", "ON", "REDIRECT", client_id, "BCAST")
    return (*command, "PREFIX", prefix) if prefix else command


def told(message: Any, copies: Copies) -> bool:
    """Do what a message says; True: it is the answer to a PING."""
    kind = message[0]
    if kind == b"pong":
        return True
    if kind == b"message":
        try:
            copies.drop([key.decode() for key in message[2]])
        except (TypeError, UnicodeDecodeError):  # FLUSHALL or FLUSHDB; a client with other texts
            copies.clear()
    return False


class _Run(NamedTuple):
    """One run of a listener: the process, and whether it is to stop."""

    pid: int
    stopped: Event


class Losses:
    """The log line about a server that sends no messages: once, until it sends again."""

    def __init__(self) -> None:
        self._is_said = False

    def note(self, error: Exception) -> None:
        """Log the first error of a row."""
        if not self._is_said:
            self._is_said = True
            _logger.warning("every read asks the server, for it does not tell changes: %r", error)

    def end(self) -> None:
        """Note that the server tells changes."""
        self._is_said = False


class NearListener:
    """
    Listens in a thread of this process.

    Args:
        client: A plain client.
        prefix: Of the keys whose changes are told.
    """

    def __init__(self, client: Any, prefix: str) -> None:
        check(client)
        self._client = client
        self._prefix = prefix
        self._run: _Run | None = None

    @property
    def runs(self) -> bool:
        """Whether it listens in this process: a thread does not live on in a child."""
        run = self._run
        return run is not None and run.pid == os.getpid()

    def start(self, copies: Copies) -> None:
        """Listen for *copies*, from now on."""
        self._run = run = _Run(os.getpid(), Event())
        Thread(target=self._listen, args=(copies, run), daemon=True, name="coatcheck near").start()

    def stop(self) -> None:
        """Stop; the connection is closed within the time of a proof."""
        run, self._run = self._run, None
        if run is not None:
            run.stopped.set()

    def _listen(self, copies: Copies, run: "_Run") -> None:
        losses = Losses()
        while not run.stopped.is_set():
            try:
                self._follow(copies, losses, run)
            except Exception as error:
                losses.note(error)
            finally:
                copies.lose()
            run.stopped.wait(RETRY)

    def _follow(self, copies: Copies, losses: Losses, run: "_Run") -> None:
        connection = connection_of(self._client, copies.max_stale)
        try:
            connection.connect()
            connection.send_command("CLIENT", "ID")
            connection.send_command(*tracking(connection.read_response(), self._prefix))
            connection.read_response()
            connection.send_command("SUBSCRIBE", CHANNEL)
            connection.read_response()
            while not run.stopped.is_set():
                self._prove(connection, copies)
                losses.end()
        finally:
            connection.disconnect()

    def _prove(self, connection: Any, copies: Copies) -> None:
        """Ask for a proof, and listen until the next one is due."""
        sent, is_proved = copies.clock(), False
        connection.send_command("PING")
        while (left := sent + copies.max_stale / PROOFS - copies.clock()) > 0:
            if not connection.can_read(timeout=left):
                break
            if told(connection.read_response(), copies):
                is_proved = True
                copies.prove(sent)
        if not is_proved:
            raise TimeoutError(SILENT)
