"""What is sent to Memcached, and how its answers are read: in any pieces, and nothing else."""

import pytest

from coatcheck.storage.backends.memcached_commands import (
    LONGEST_LINE,
    Item,
    MemcachedError,
    Reply,
    check,
    check_done,
    delete,
    gets,
    may_go_on,
    read_on,
    store,
)

FOUND = b"VALUE key 0 5 42\r\nab\r\nc\r\nEND\r\n"


def answer_in(received: bytes) -> tuple[Reply, int] | None:
    """Return the first answer in what was received, and where it ends; None: it is not whole."""
    items: dict[bytes, Item] = {}
    line, end = read_on(received, 0, items)
    return None if line is None else (Reply(line, items), end)


def test_the_bytes_of_each_command() -> None:
    """A claim is `add`, a replacement `cas` with the version that was read."""
    assert gets("key").data == b"gets key\r\n"
    assert store("key", b"data", None, 60).data == b"add key 0 60 4\r\ndata\r\n"
    assert store("key", b"data", 42, 60).data == b"cas key 0 60 4 42\r\ndata\r\n"
    assert delete("key").data == b"delete key\r\n"


@pytest.mark.parametrize("end", range(len(FOUND)))
def test_an_answer_that_is_not_whole_is_waited_for(end: int) -> None:
    """Wherever the network cut it."""
    assert answer_in(FOUND[:end]) is None


def test_an_answer_is_read_on_where_it_was_cut() -> None:
    """What is whole of it is not read twice: the items before the cut are kept."""
    items: dict[bytes, Item] = {}
    received = b"VALUE a 0 1 7\r\nx\r\n" + FOUND
    line, at = read_on(received[:-8], 0, items)
    assert (line, at, list(items)) == (None, 18, [b"a"])
    assert read_on(received, at, items) == (b"END", len(received))
    assert items == {b"a": Item(b"x", 7), b"key": Item(b"ab\r\nc", 42)}


def test_an_answer_ends_where_the_next_one_begins() -> None:
    """The data may hold what looks like the end of a line."""
    found = answer_in(FOUND + b"STORED\r\n")
    assert found == (Reply(b"END", {b"key": Item(b"ab\r\nc", 42)}), len(FOUND))
    assert answer_in(b"STORED\r\n") == (Reply(b"STORED", {}), 8)
    assert answer_in(b"END\r\n") == (Reply(b"END", {}), 5)


@pytest.mark.parametrize(
    "received",
    [
        b"x" * LONGEST_LINE,
        b"VALUE key 0 5\r\nabcde\r\nEND\r\n",
        b"VALUE key 0 -5 42\r\nabcde\r\nEND\r\n",
        b"VALUE key 0 1_0 42\r\nabcde\r\nEND\r\n",
        b"VALUE key 0 4 42\r\nabcde\r\nEND\r\n",
    ],
)
def test_what_is_no_answer_is_refused(received: bytes) -> None:
    """A server that speaks something else is found out at once."""
    with pytest.raises(MemcachedError):
        answer_in(received)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(b"STORED", {}),
        Reply(b"HTTP/1.1 200 OK", {}),
        Reply(b"END", {b"another": Item(b"", 1)}),
    ],
)
def test_an_answer_to_another_command_is_refused(answer: Reply) -> None:
    """So no visitor gets what another one asked for."""
    with pytest.raises(MemcachedError):
        check(gets("key"), answer)


@pytest.mark.parametrize("line", [b"ERROR", b"CLIENT_ERROR bad", b"SERVER_ERROR out of memory"])
def test_a_refusal_is_an_answer_to_every_command_and_an_error(line: bytes) -> None:
    """What follows CLIENT_ERROR or ERROR may be taken for something else: nothing follows."""
    answer = Reply(line, {})
    check(delete("key"), answer)
    with pytest.raises(MemcachedError, match=line.decode()):
        check_done(answer)
    assert may_go_on(answer) == line.startswith(b"SERVER_ERROR")
