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

from collections.abc import Mapping
from typing import Any, NamedTuple

STORED, DELETED, END = b"STORED", b"DELETED", b"END"

LONGEST_LINE = 2048
"""Bytes of a line of an answer: more is no answer of Memcached."""

_ERRORS = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")


class MemcachedError(Exception):
    """The server refused a command, or answered what is no answer to it."""


class Command(NamedTuple):
    """The bytes to send, the keys in them, and the lines that may end the answer."""

    data: bytes
    keys: tuple[bytes, ...]
    ends: tuple[bytes, ...]


class Item(NamedTuple):
    """The bytes under a key, and the server's version of them."""

    data: bytes
    version: int


class Reply(NamedTuple):
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
    names = tuple([key.encode("ascii") for key in keys])
    return Command(b"gets %b\r\n" % b" ".join(names), names, (END,))


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


def answer_in(received: bytes | bytearray) -> tuple[Reply, int] | None:
    """
    Return the first answer in what was received, and where it ends; None: it is not whole yet.

    Raises:
        MemcachedError: It is no answer of Memcached.
    """
    items: dict[bytes, Item] = {}
    line, end = read_on(received, 0, items)
    return None if line is None else (Reply(line, items), end)


def read_on(
    received: bytes | bytearray, at: int, items: dict[bytes, Item]
) -> tuple[bytes | None, int]:
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
    while True:
        line_end = received.find(b"\r\n", at, at + LONGEST_LINE)
        if line_end < 0:
            if len(received) - at >= LONGEST_LINE:
                raise _nonsense()
            return None, at
        line = bytes(received[at:line_end])
        begin = line_end + 2
        if not line.startswith(b"VALUE "):
            return line, begin
        key, size, version = _value_line(line)
        end = begin + size
        if len(received) < end + 2:
            return None, at
        if received[end : end + 2] != b"\r\n":
            raise _nonsense()
        items[key] = Item(bytes(received[begin:end]), version)
        at = end + 2


def check(command: Command, answer: Reply) -> None:
    """
    Check that an answer is one to this command.

    Raises:
        MemcachedError: It is none.
    """
    fits = answer.line in command.ends
    for key in answer.items:
        fits = fits and key in command.keys
    if not fits and answer.line.split(b" ")[0] not in _ERRORS:
        raise _nonsense()


def check_done(answer: Reply) -> Reply:
    """
    Return an answer that says that the command was carried out, or found another record.

    Raises:
        MemcachedError: The server refused the command.
    """
    if answer.line.split(b" ")[0] in _ERRORS:
        raise MemcachedError(answer.line.decode("ascii", "replace"))
    return answer


def may_go_on(answer: Reply) -> bool:
    """Tell whether the server takes what follows as a command: after CLIENT_ERROR it may not."""
    return answer.line.split(b" ")[0] not in (b"ERROR", b"CLIENT_ERROR")


def _value_line(line: bytes) -> tuple[bytes, int, int]:
    parts = line.split(b" ")
    if len(parts) != 5 or not all(part.isdigit() for part in parts[2:]):
        raise _nonsense()
    return parts[1], int(parts[3]), int(parts[4])


def _nonsense() -> MemcachedError:
    return MemcachedError("the server answered what is no answer to the command")
