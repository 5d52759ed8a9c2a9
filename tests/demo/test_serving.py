"""The demo as a process: what it prints, how it ends, and what it leaves behind."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.demo.shops import served


def test_the_printed_address_answers() -> None:
    """When it is printed the port listens already, and port 0 has become a real one."""
    with served("--storage", "memory") as address:
        assert httpx.get(address).status_code == 200


@pytest.fixture
def ctrl_c_ends() -> Iterator[None]:
    """Processes that a test starts end by SIGINT, also where this one runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_ends")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_demo_leaves_nothing_behind(ending: signal.Signals) -> None:
    """By default sessions lie in a database of the demo's own, and it goes with the demo."""
    command = [sys.executable, "-m", "coatcheck", "demo", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = iter(process.stdout.readline, "")
        path = next(found[1] for line in told if (found := re.search(r"SQLite \((.+)\)", line)))
        assert Path(path).is_file()
        process.send_signal(ending)
        _, complaints = process.communicate(timeout=10)
    assert (process.returncode, complaints) == (0, "")
    assert not Path(path).parent.exists()


def test_a_session_outlives_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a database and under a secret of one's own."""
    monkeypatch.setenv("SESSION_SECRET", "a secret for the tests, 32 of it")
    with httpx.Client(follow_redirects=True) as visitor:
        with served("--storage", f"sqlite:{tmp_path}/db") as address:
            visitor.post(f"{address}/cart/add", data={"product": "hat"})
        with served("--storage", f"sqlite:{tmp_path}/db") as address:
            assert "Felt hat" in visitor.get(f"{address}/cart").text
