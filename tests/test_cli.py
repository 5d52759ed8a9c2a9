"""The command line: what it refuses, in how many words, and with which exit code."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from coatcheck import __version__
from coatcheck.cli import main
from coatcheck.storage import FileStorage


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "coatcheck", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_version_and_help_are_told() -> None:
    """Both end well, and on standard output."""
    assert run("--version").stdout == f"coatcheck {__version__}\n"
    assert "--storage" in run("demo", "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("demo", "--port", "65536"),
        ("demo", "--port", "http"),
        ("demo", "--storage", "floppy:a"),
        ("demo", "--storage", "file:"),
        ("demo", "--storage", "memcached://"),
        ("demo", "--storage", "redis://localhost:no-port"),
        ("demo", "--storage", "sqlite:a?colour=red"),
        ("sweep", "floppy:a"),
    ],
)
def test_a_line_that_makes_no_sense_ends_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage, one line of reason, and no traceback."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: coatcheck")


def test_a_taken_port_is_one_clear_line() -> None:
    """It names the port and the host, and ends with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo", "--storage", "memory", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1" in only_line(done.stderr)


@pytest.mark.parametrize("scheme", ["redis", "memcached"])
def test_a_server_that_does_not_answer_is_one_clear_line(
    scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says where it was looked for, and nothing was served."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(["demo", "--port", "0", "--storage", f"{scheme}://127.0.0.1:{port}"]) == 1
    told = capsys.readouterr()
    assert f"127.0.0.1:{port}" in only_line(told.err)
    assert told.out == ""


def test_a_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is in its place."""
    (tmp_path / "file").touch()
    assert main(["demo", "--port", "0", "--storage", f"file:{tmp_path}/file/folder"]) == 1
    assert "folder" in only_line(capsys.readouterr().err)


@pytest.mark.parametrize(("package", "extras"), [("uvicorn", "[cli]"), ("redis", "[redis]")])
def test_a_missing_package_is_one_clear_line(package: str, extras: str) -> None:
    """It names the package and what to install; help and version need none of them."""
    program = f"""
import sys
from coatcheck.cli import main
from coatcheck.storage import FileStorage
sys.modules[{package!r}] = None
sys.exit(main(["demo", "--port", "0", "--storage", "redis://127.0.0.1:1"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert package in only_line(done.stderr)
    assert extras in only_line(done.stderr)


def only_line(complaint: str) -> str:
    """Return what was complained about: one line, and no traceback."""
    (line,) = complaint.splitlines()
    assert line.startswith("coatcheck: ")
    return line


URL = "postgresql://app:Tr0ub4dor#3horse@db/shop"


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", URL),
        ("demo", "--storage", URL),
        ("demo", f"--storage={URL}"),
        (URL,),
        ("sweep", "redis://:Tr0ub4dor", "3horse@cache"),
        ("sweep", "memory:", URL),
        ("demo", f"--storag={URL}"),
        ("demo", f"--s={URL}"),
        (f"--version={URL}",),
        ("demo", "--port", URL),
        ("sweep", f"--url={URL}"),
        (f"{URL} (choose from 'Tr0ub4dor')",),
    ],
)
def test_no_part_of_a_url_is_on_the_terminal(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever on the command line a URL stands, or a piece of one that the shell cut."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = "".join(capsys.readouterr())
    assert "error: " in printed
    assert "Tr0ub4dor" not in printed
    assert "3horse" not in printed


def test_arguments_too_many_are_answered_with_the_likely_cause(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A shell cuts a URL at a space, and takes an & for the end of the command."""
    with pytest.raises(SystemExit):
        main(["sweep", "redis://:a", "b@cache"])
    assert "put quotes around a URL with a space, a # or an &" in capsys.readouterr().err


def test_a_warning_is_one_line(tmp_path: Path) -> None:
    """Without a line of this program, which its user did not write."""
    path = tmp_path / "sessions"
    FileStorage(path).close()
    path.chmod(0o777)
    done = run("stats", f"file:{path}")
    assert done.returncode == 0
    assert done.stderr.startswith("coatcheck: ")
    assert "can be written by other users" in done.stderr
    assert done.stderr.count("\n") == 1
