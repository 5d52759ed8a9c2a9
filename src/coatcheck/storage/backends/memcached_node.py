"""
One node of Memcached, over plain sockets: each command has a connection of its own meanwhile.

A server closes connections that were not used for a while. So one is looked at before it is used:
what can be read from it while no answer is due is its end. If a connection ends after all before
the answer came, the command is sent once more, over a new one.
"""

import select
import socket
import time
from collections import deque

from msgspec.structs import replace

from coatcheck.storage.backends.memcached_commands import (
    Command,
    Item,
    Reply,
    check,
    check_done,
    may_go_on,
    read_on,
)
from coatcheck.storage.backends.pipelined import ConnectionLost

Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""

UNUSED = 60.0
"""Seconds after which a connection that was not needed is closed."""

AT_ONCE = 65536
"""Bytes that are read at once."""


class Node:
    """
    A node, and the connections to it that are not in use.

    Args:
        timeout: Seconds that a command may take, with everything that it needs.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._idle: deque[Connection] = deque()  # its methods are atomic; the last used is last

    def ask(self, command: Command) -> Reply:
        """
        Return the answer to a command.

        Raises:
            OSError: There is no connection, or no answer in time.
            MemcachedError: The server refuses the command, or speaks another protocol.
        """
        deadline = time.monotonic() + self._timeout
        try:
            return self._ask_once(command, deadline)
        except ConnectionLost:
            self.close()  # the others, which are as old, have most likely ended, too
            return replace(self._ask_once(command, deadline), repeated=True)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _ask_once(self, command: Command, deadline: float) -> Reply:
        connection = self._taken() or Connection(self._address, deadline)
        try:
            answer = connection.ask(command, deadline)
        except BaseException:
            connection.close()
            raise
        if may_go_on(answer):
            self._put_back(connection)
        else:
            connection.close()
        return check_done(answer)

    def _taken(self) -> "Connection | None":
        """Return a connection that is open and not in use."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if not is_readable(connection.fileno):
                return connection
            connection.close()

    def _put_back(self, connection: "Connection") -> None:
        self._idle.append(connection)
        try:
            oldest = self._idle.popleft()
        except IndexError:
            return
        if oldest.used_at < connection.used_at - UNUSED:
            oldest.close()
        else:
            self._idle.appendleft(oldest)


class Connection:
    """A connection that carries one command at a time."""

    def __init__(self, address: Address, deadline: float) -> None:
        seconds = _seconds_to(deadline)
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.settimeout(seconds)
                self._socket.connect(address)
            except BaseException:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection(address, seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.used_at = 0.0

    @property
    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, command: Command, deadline: float) -> Reply:
        """Return the answer to a command, or raise `ConnectionLost`."""
        try:
            answer = self._ask(command, deadline)
        except (ConnectionResetError, BrokenPipeError) as broken:
            raise ConnectionLost from broken
        check(command, answer)
        self.used_at = time.monotonic()
        return answer

    def close(self) -> None:
        self._socket.close()

    def _ask(self, command: Command, deadline: float) -> Reply:
        self._socket.settimeout(_seconds_to(deadline))
        self._socket.sendall(command.data)
        rest, items = b"", dict[bytes, Item]()
        while True:
            self._socket.settimeout(_seconds_to(deadline))
            data = self._socket.recv(AT_ONCE)
            if not data:
                raise ConnectionLost
            received = rest + data
            line, at = read_on(received, 0, items)
            if line is not None:
                return Reply(line, items)
            rest = received[at:]


def is_readable(fileno: int) -> bool:
    """Tell whether something can be read from a socket now: data, or its end."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))


def _seconds_to(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds
