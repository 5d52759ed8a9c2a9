"""
The how-to page on containers: its Dockerfile and its compose file, without a container.

What they start is started here, as two replicas with the secret in a file, behind a "proxy" that
says https. Where they name the same thing twice, both say the same.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from gunicorn.config import Config

from tests import servers

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "containers.md"
BLOCK = re.compile(r"```\w+ title=\"(?P<file>[\w.]+)\"\n(?P<text>.*?)```", re.DOTALL)
FILES = {found["file"]: found["text"] for found in BLOCK.finditer(PAGE.read_text())}
STEPS = [line.split(maxsplit=1) for line in FILES["Dockerfile"].splitlines()]
COMPOSE: dict[str, Any] = yaml.safe_load(FILES["compose.yaml"])
SHOP = COMPOSE["services"]["shop"]

SECRET = "a-secret-that-only-this-test-knows-0123456789"
ENDED = (0, -15)
"""What a server ends with that was told to: as a first process, or as any other."""


def step(word: str) -> str:
    """Return what follows *word* in the Dockerfile, where it is once."""
    (found,) = [rest for name, rest in STEPS if name == word]
    return found


COMMAND: list[str] = json.loads(step("CMD"))


def option(name: str) -> str:
    """Return what follows an option in the command of the image."""
    return COMMAND[COMMAND.index(name) + 1]


class Replica(NamedTuple):
    """A shop that runs, and what it says."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def client(self) -> httpx.Client:
        """
        What a proxy is: it speaks http to the shop, and says that the browser speaks https. Its
        address is not 127.0.0.1, which uvicorn trusts in any case.
        """
        elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
        told = {"Host": "shop.test", "X-Forwarded-Proto": "https"}
        base = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=base, headers=told, timeout=60, transport=elsewhere)


@contextmanager
def replica(folder: Path, environment: dict[str, str]) -> Iterator[Replica]:
    """Run the command of the image, on a port of its own."""
    port, log = servers.free_port(), folder / "log"
    command = [sys.executable, "-m", *COMMAND]
    command[command.index("--port") + 1] = str(port)
    command[command.index("--host") + 1] = "127.0.0.1"
    path = os.pathsep.join([str(folder), *sys.path])
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdout=out,
            stderr=out,
        )
    try:
        servers.wait_until(lambda: servers.answers(port), alive=lambda: process.poll() is None)
        yield Replica(process, port, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def sessions(server_folder: Path) -> Iterator[str]:
    """The server with the sessions, started as the compose file says, but on a socket."""
    folder = server_folder / "containers"
    folder.mkdir()
    _, *options = shlex.split(COMPOSE["services"]["sessions"]["command"])
    place = ["--port", "0", "--unixsocket", str(folder / "socket"), "--dir", str(folder)]
    command = [servers.valkey_program(), *options, *place]
    with servers.Server(*command, ready=(folder / "socket").exists):
        yield f"unix://{folder / 'socket'}"


@pytest.fixture
def environment(sessions: str, tmp_path: Path) -> dict[str, str]:
    """The environment that the compose file gives, with the places that are there here."""
    (tmp_path / "shop.py").write_text(FILES["shop.py"])
    (tmp_path / "secret").write_text(SECRET + "\n")
    given: dict[str, str] = SHOP["environment"]
    return given | {"SESSION_STORAGE": sessions, "SESSION_SECRET_FILE": str(tmp_path / "secret")}


def test_replicas_share_a_session(tmp_path: Path, environment: dict[str, str]) -> None:
    """
    Two replicas count together, under a cookie for https alone, and no log line doubts it. Each
    ends by itself when it is told to.
    """
    with ExitStack() as stack:
        one, other = [stack.enter_context(replica(tmp_path, environment)) for _ in range(2)]
        with one.client as browser:
            given = browser.get("/visits").headers["set-cookie"]
        assert given.startswith("__Host-session=")
        assert "; Secure;" in given
        cookie = {"cookie": given.partition(";")[0]}
        for seen, shop in [("2", other), ("3", one), ("4", other)]:
            with shop.client as browser:
                assert browser.get("/visits", headers=cookie).text == seen
        for shop in (one, other):
            shop.process.terminate()
            assert shop.process.wait(servers.PATIENCE) in ENDED
    log = one.log.read_text()
    assert log.count("Application shutdown complete") == 2
    assert "will be lost" not in log


def test_the_health_check_asks_the_shop(tmp_path: Path, environment: dict[str, str]) -> None:
    """Its command succeeds while the shop serves, and fails afterwards."""
    kind, _, *rest = SHOP["healthcheck"]["test"]
    assert kind == "CMD"
    with replica(tmp_path, environment) as shop:
        check = [sys.executable, *(text.replace(option("--port"), str(shop.port)) for text in rest)]
        assert subprocess.run(check, check=False).returncode == 0
    assert subprocess.run(check, check=False, stderr=subprocess.DEVNULL).returncode == 1


def test_a_shop_without_its_secret_ends(tmp_path: Path, environment: dict[str, str]) -> None:
    """It does not wait, and it makes no secret of its own; the log names the file."""
    without = environment | {"SESSION_SECRET_FILE": str(tmp_path / "no-secret")}
    with pytest.raises(RuntimeError), replica(tmp_path, without):
        pass
    assert "no-secret" in (tmp_path / "log").read_text()


def test_the_image_has_what_it_starts() -> None:
    """The files that it copies are on the page, and its user is the one that it made."""
    assert step("COPY").split()[:-1] == ["shop.py"]
    assert COMMAND[1] == "shop:app"
    assert f"useradd --uid {step('USER')} " in step("RUN"), "Kubernetes wants a number"
    assert f"chown {step('USER')} session-secret" in PAGE.read_text()


def test_the_parts_name_each_other() -> None:
    """A service, a secret, a volume and a port that one part names is there in the other."""
    services = COMPOSE["services"]
    (secret,) = SHOP["secrets"]
    assert SHOP["environment"]["SESSION_SECRET_FILE"] == f"/run/secrets/{secret}"
    assert COMPOSE["secrets"][secret] == {"file": "./session-secret"}
    assert re.split(r"//|:", SHOP["environment"]["SESSION_STORAGE"])[2] in services
    assert f"--to shop:{option('--port')}" in services["proxy"]["command"]
    named = {
        text.partition(":")[0] for each in services.values() for text in each.get("volumes", [])
    }
    assert named == set(COMPOSE["volumes"])
    assert "ports" not in SHOP, "FORWARDED_ALLOW_IPS trusts whoever reaches the port"


def test_a_container_is_killed_after_its_requests_had_their_time() -> None:
    """Under uvicorn as under gunicorn, whose options are ones that it knows."""
    (line,) = re.findall(r"^CMD (\[\"gunicorn.*)$", PAGE.read_text(), re.MULTILINE)
    program, application, *options = json.loads(line)
    told = vars(Config().parser().parse_args(options))
    assert (program, application, told["bind"]) == ("gunicorn", COMMAND[1], ["0.0.0.0:8000"])
    killed_after = int(SHOP["stop_grace_period"].rstrip("s"))
    assert int(option("--timeout-graceful-shutdown")) < killed_after
    assert told["graceful_timeout"] < killed_after
