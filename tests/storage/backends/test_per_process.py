"""One value for each process."""

import multiprocessing
import os
import threading
from multiprocessing.queues import Queue

import pytest

from coatcheck.storage.backends.per_process import PerProcess

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


def ignore(_: object) -> None:
    """Release nothing."""


def test_threads_share_one_value() -> None:
    """It is opened once, also if they ask at once."""
    opened: list[object] = []
    ready = threading.Barrier(8)

    def open() -> object:
        opened.append(object())
        return opened[-1]

    values = PerProcess(open, ignore)

    def ask() -> None:
        ready.wait(10)
        values.get()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_what_failed_to_open_is_tried_again() -> None:
    """A server may come up later."""
    answers = iter((False, True))

    def open() -> str:
        if not next(answers):
            raise OSError("no server")
        return "value"

    values = PerProcess(open, ignore)
    with pytest.raises(OSError, match="no server"):
        values.get()
    assert values.get() == "value"


def test_what_was_closed_is_opened_again() -> None:
    """close() releases what there is, once."""
    released: list[object] = []
    values = PerProcess(object, released.append)
    values.close()
    first = values.get()
    assert values.peek() is first
    values.close()
    values.close()
    assert released == [first]
    assert values.peek() is None
    assert values.get() is not first


def tell(values: PerProcess[int], answers: "Queue[object]") -> None:
    answers.put((values.peek(), values.get() == os.getpid()))


def test_a_child_opens_its_own_and_leaves_the_parents_alone() -> None:
    """Also while a thread of the parent holds the lock."""
    values = PerProcess(os.getpid, ignore)
    values.get()
    answers = FORK.Queue()
    with values._locks[os.getpid()]:
        child = FORK.Process(target=tell, args=(values, answers))
        child.start()
        assert answers.get(timeout=30) == (None, True)
        child.join()
    assert values.peek() == os.getpid()
