"""`coatcheck adopt --check`: what a reader finds in one cookie, without any value."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from coatcheck import cli
from coatcheck._commands.adopt_check import FORMATS, check
from coatcheck.adopt import __all__ as names
from coatcheck.errors import ConfigurationError
from tests.adopt.formats import VECTORS, secrets_of
from tests.adopt.signed import SECRET, starlette


def checked(format: str, cookie: str, *, secret: str = SECRET, **options: Any) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote."""
    out = io.StringIO()
    environ = {"ADOPT_SECRET": secret} if secret else {}
    code = check(format, given=io.StringIO(cookie), out=out, environ=environ, **options)
    return code, out.getvalue()


COOKIE = starlette(1_795_000_000, name="session", user_id=42, cart=["a-value"], user={"n": 1})


@pytest.fixture(autouse=True)
def _at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_795_000_060.0)


@pytest.mark.parametrize("given", [COOKIE, f"Cookie: a=b; {COOKIE}\n", COOKIE.partition("=")[2]])
def test_keys_types_and_times_are_told(given: str) -> None:
    """Of a header, or of the value alone; no value is shown."""
    code, said = checked("starlette", given)
    assert code == 0
    assert said == (
        "A session of starlette.\n"
        "  made or signed: 2026-11-18 11:06:40 UTC (60 seconds ago)\n"
        "  ends: 2026-12-02 11:06:40 UTC\n"
        "  cart: list of 1\n"
        "  user: dict of 1\n"
        "  user_id: int\n"
    )


def test_a_refusal_tells_why() -> None:
    """The most common one is a wrong secret."""
    code, said = checked("starlette", COOKIE, secret="another")
    assert code == 1
    assert said.startswith("No session of starlette: none of the secrets verifies it")
    assert checked("starlette", "")[0] == 1


def test_for_programs_it_writes_json() -> None:
    """With the same facts."""
    _, said = checked("starlette", COOKIE, as_json=True)
    told = json.loads(said)
    assert told["keys"] == {"cart": "list of 1", "user": "dict of 1", "user_id": "int"}
    assert (told["found"], told["age_seconds"], told["flashes"]) == (True, 60, [])


def test_every_reader_has_a_format() -> None:
    """The names are those of the packages."""
    assert tuple(FORMATS) == cli.FORMATS
    assert {make.__name__ for make in FORMATS.values()} == set(names) - {"Adopted"}


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("express", {}, "give --server URL"),
        ("flask", {"server": "redis://x"}, "leave --server out"),
        ("flask", {"secret": ""}, "needs a secret in ADOPT_SECRET"),
        ("litestar", {"secret": "base64:?"}, "must be base64"),
        ("django-table", {"server": "nothing://x://"}, "must be a URL of Redis or SQLAlchemy"),
    ],
)
def test_what_is_missing_is_told(format: str, options: dict[str, Any], message: str) -> None:
    """A format keeps its sessions where its package does."""
    with pytest.raises(ConfigurationError, match=message):
        checked(format, COOKIE, **options)


def test_a_key_of_raw_bytes_is_given_in_base64() -> None:
    """As Litestar's and aiohttp-session's are."""
    vector = VECTORS["litestar/cookie"]
    (key,) = secrets_of(vector)
    assert isinstance(key, bytes)
    said = checked(
        "litestar", vector["cookies"]["session"], secret=f"base64:{vector['key_base64']}"
    )[1]
    assert said == "No session of litestar: its time is over.\n"


def test_a_server_is_a_url_or_a_path(tmp_path: Path, redis_socket: str) -> None:
    """Of Redis, of a database, or the folder of Litestar's files."""
    vector = VECTORS["express/max_age"]
    cookie = f"connect.sid={vector['cookies']['connect.sid']}"
    (secret,) = vector["secrets"]
    said = checked("express", cookie, secret=secret, server=f"unix://{redis_socket}")[1]
    assert said == "No session of express: its server has no record for it.\n"
    said = checked("litestar", "a" * 64, secret="", server=str(tmp_path))[1]
    assert said == "No session of litestar: its server has no record for it.\n"


def test_the_command_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the environment."""
    monkeypatch.setenv("ADOPT_SECRET", SECRET)
    monkeypatch.setattr("sys.stdin", io.StringIO(COOKIE.replace("session=", "other=")))
    assert cli.main(["adopt", "--check", "starlette", "--name", "other", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"]["user_id"] == "int"
