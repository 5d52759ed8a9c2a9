r"""
The four commands that sessions need of Memcached, and the answers to them.

    gets KEY …                                 VALUE KEY FLAGS SIZE VERSION … END, or END
    add KEY 0 EXPIRY SIZE                      STORED, or NOT_STORED
    cas KEY 0 EXPIRY SIZE VERSION              STORED, EXISTS or NOT_FOUND
    delete KEY                                 DELETED, or NOT_FOUND

Each line ends with \r\n, and so does the data after a line with a size. Answers come in the order
of the commands. An answer that does not fit its command shows that the order was lost: the
connection is not used any more.

Pure: bytes in, bytes out.

Source: https://github.com/memcached/memcached/blob/master/doc/protocol.txt
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from coatcheck._cookie.hidden import Hidden

STORED, DELETED, END = b"STORED", b"DELETED", b"END"

_ENDS_OF_READS = (END,)

LONGEST_LINE = 2048
"""Bytes of a line of an answer: more is no answer of Memcached."""

_ERRORS = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")

_VALUE = re.compile(rb"VALUE ([^ ]+) \d+ (\d{1,9}) (\d{1,20})\r\n").match


class MemcachedError(Exception):
    """The server refused a command, or answered what is no answer to it."""


class Command(Hidden, msgspec.Struct, frozen=True, gc=False):
    """
    A command.

    Args:
        data: The bytes to send.
        keys: The keys in them.
        ends: The lines that may end the answer.
        writes: Whether it changes anything.
    """

    data: bytes
    keys: tuple[bytes, ...]
    ends: tuple[bytes, ...]
    writes: bool = True


class Item(Hidden, msgspec.Struct, frozen=True, gc=False):
    """The bytes under a key, and the server's version of them."""

    data: bytes
    version: int


class Reply(Hidden, msgspec.Struct, frozen=True):
    """
    The answer to one command.

    Args:
        line: The last line, without its end.
        items: What lies under the keys that exist.
        repeated: The command was sent twice, because the first answer was lost.
    """

    line: bytes
    items: Mapping[bytes, Item]
    repeated: bool = False


def gets(*keys: str) -> Command:
    """Return the command that reads records and their versions."""
    names = " ".join(keys).encode("ascii")
    many = (names,) if len(keys) == 1 else tuple(names.split(b" "))
    return Command(b"gets %b\r\n" % names, many, _ENDS_OF_READS, writes=False)


def store(key: str, data: bytes, version: Any, expiry: int) -> Command:
    """Return the command that replaces the record of that version; None: that claims the key."""
    name = key.encode("ascii")
    if version is None:
        line = b"add %b 0 %d %d" % (name, expiry, len(data))
        ends: tuple[bytes, ...] = (STORED, b"NOT_STORED")
    else:
        line = b"cas %b 0 %d %d %d" % (name, expiry, len(data), int(version))
        ends = (STORED, b"EXISTS", b"NOT_FOUND")
    return Command(b"%b\r\n%b\r\n" % (line, data), (name,), ends)


def delete(key: str) -> Command:
    """Return the command that removes a record."""
    name = key.encode("ascii")
    return Command(b"delete %b\r\n" % name, (name,), (DELETED, b"NOT_FOUND"))


def read_on(received: bytes, at: int, items: dict[bytes, Item]) -> tuple[bytes | None, int]:
    """
    Read on in an answer, of which a part may have come before.

    Args:
        received: What came.
        at: Where to begin.
        items: Gets the items that are whole.

    Returns:
        The answer's last line, None if that is not whole yet, and where to go on.

    Raises:
        MemcachedError: It is no answer of Memcached.
    """
    while value := _VALUE(received, at):
        key, size, version = value.groups()
        begin = value.end()
        end = begin + int(size)
        if len(received) < end + 2:
            return None, at
        items[key] = Item(received[begin:end], int(version))
        at = end + 2
        if received.startswith(b"\r\nEND\r\n", end):
            return END, at + 5
        if not received.startswith(b"\r\n", end):
            raise _nonsense()
    line_end = received.find(b"\r\n", at, at + LONGEST_LINE)
    if line_end < 0 and len(received) - at < LONGEST_LINE:
        return None, at
    if line_end < 0 or received.startswith(b"VALUE ", at):
        raise _nonsense()
    return received[at:line_end], line_end + 2


def fits(command: Command, answer: Reply) -> bool:
    """Tell whether an answer says that the command was carried out, or found another record."""
    for key in answer.items:
        if key not in command.keys:
            return False
    return answer.line in command.ends


def check(command: Command, answer: Reply) -> None:
    """
    Check that an answer is one to this command.

    Raises:
        MemcachedError: It is none.
    """
    if not (fits(command, answer) or _refuses(answer.line)):
        raise _nonsense()


def check_done(answer: Reply) -> Reply:
    """
    Return an answer that says that the command was carried out, or found another record.

    Raises:
        MemcachedError: The server refused the command.
    """
    if _refuses(answer.line):
        raise refusal(answer)
    return answer


def refusal(answer: Reply) -> MemcachedError:
    """Return the error of a command that the server refused."""
    return MemcachedError(answer.line.decode("ascii", "replace"))


def may_go_on(answer: Reply) -> bool:
    """Tell whether the server takes what follows as a command: after CLIENT_ERROR it may not."""
    return not (_refuses(answer.line) and answer.line.startswith((b"ERROR", b"CLIENT_ERROR")))


def _refuses(line: bytes) -> bool:
    """Tell whether a last line says that the server did not carry out a command."""
    return line.startswith(_ERRORS) and line.split(b" ")[0] in _ERRORS


def _nonsense() -> MemcachedError:
    return MemcachedError("the server answered what is no answer to the command")
