"""Copies of records in this process: when one may be used, and when it goes."""

import pytest

from coatcheck import ConfigurationError
from coatcheck.storage import Near, Stored
from coatcheck.storage.backends.near import OVERHEAD, Copies


class Seconds:
    """A clock that a test owns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


RECORD = Stored(b"r" * 50, b"mark" + b"r" * 50)
SIZE = 100 + OVERHEAD


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def copies(seconds: Seconds) -> Copies:
    made = Copies(Near(max_bytes=2 * SIZE, max_stale=2), clock=seconds)
    made.prove(seconds.now)
    return made


def fill(copies: Copies, key: str) -> None:
    copies.keep(key, copies.ask(key), RECORD)


def test_what_a_read_got_is_kept(copies: Copies) -> None:
    """Until a change of it is told; a key that is not kept may be told, too."""
    fill(copies, "a")
    assert copies.get("a") is RECORD
    copies.drop(["b"])
    assert copies.get("a") is RECORD
    copies.drop(["a", "b"])
    assert copies.get("a") is None


def test_a_fill_that_a_change_overtakes_is_not_kept(copies: Copies) -> None:
    """The answer may be older than the change."""
    ticket = copies.ask("a")
    copies.drop(["a"])
    copies.keep("a", ticket, RECORD)
    assert copies.get("a") is None


def test_of_two_reads_at_once_the_later_fills(copies: Copies) -> None:
    """The earlier one may have got an older record."""
    earlier, later = copies.ask("a"), copies.ask("a")
    copies.keep("a", earlier, RECORD)
    assert copies.get("a") is None
    copies.keep("a", later, RECORD)
    assert copies.get("a") is RECORD


def test_a_fill_that_began_without_a_proof_is_not_kept(copies: Copies, seconds: Seconds) -> None:
    """A change before the server begins to tell is told to nobody."""
    copies.lose()
    ticket = copies.ask("a")
    copies.prove(seconds.now)
    copies.keep("a", ticket, RECORD)
    assert copies.get("a") is None


def test_without_a_proof_no_copy_is_used(copies: Copies, seconds: Seconds) -> None:
    """A proof counts from when it was asked for."""
    fill(copies, "a")
    ticket = copies.ask("b")
    seconds.now += 2.1
    assert copies.get("a") is None
    copies.keep("b", ticket, RECORD)
    copies.prove(seconds.now - 1)
    assert copies.get("a") is RECORD
    assert copies.get("b") is None


def test_a_lost_connection_drops_all(copies: Copies, seconds: Seconds) -> None:
    """So does a server that was emptied, which goes on to tell."""
    for end in (copies.lose, copies.clear):
        seconds.now += 1
        copies.prove(seconds.now)
        fill(copies, "a")
        assert len(copies) == 1
        end()
        assert len(copies) == 0
    assert copies.is_proved()


def test_the_least_recently_used_go_when_the_memory_is_full(copies: Copies) -> None:
    """Bytes are counted, and a record that is larger than all of them is not kept."""
    for key in ("a", "b"):
        fill(copies, key)
    assert copies.get("a") is RECORD
    fill(copies, "c")
    assert [copies.get(key) is None for key in "abc"] == [False, True, False]
    copies.keep("d", copies.ask("d"), Stored(b"r" * 900, b"r" * 900))
    assert copies.get("d") is None
    assert len(copies) == 2


def test_a_missing_record_is_not_kept(copies: Copies) -> None:
    """A client can send any number of ids that lead nowhere."""
    fill(copies, "a")
    copies.keep("a", copies.ask("a"), None)
    assert copies.get("a") is None


def test_a_copy_that_another_thread_drops_is_not_used(copies: Copies) -> None:
    """Between the look and the use."""
    fill(copies, "a")
    copies.is_proved = lambda: not copies.drop(["a"])  # type: ignore[method-assign, func-returns-value]
    assert copies.get("a") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_bytes": 0},
        {"max_bytes": True},
        {"max_bytes": "64MB"},
        {"max_bytes": 1, "max_stale": 0},
    ],
)
def test_limits_must_make_sense(wrong: dict[str, int]) -> None:
    """The error says what must be there."""
    with pytest.raises(ConfigurationError, match="must be"):
        Near(**wrong)
