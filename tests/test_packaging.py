"""What users install: a wheel and an sdist that run the README's program, and their description."""

import email
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from tests.thorough import thorough

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PROGRAM = """
import asyncio, sys
import httpx
from app import app
import coatcheck

assert coatcheck.__file__.startswith(sys.prefix), coatcheck.__file__

async def visit():
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://shop.example") as client:
        await client.post("/sign-in")
        print((await client.get("/")).text)
        await client.post("/sign-out")
        print((await client.get("/")).text)

asyncio.run(visit())
"""


def run(*command: object, cwd: Path, secret: str = "") -> str:
    """Return what a command prints."""
    words = [str(word) for word in command]
    environ = {"PATH": "/usr/bin:/bin", "SESSION_SECRET": secret, "HOME": str(cwd)}
    done = subprocess.run(
        words, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def description(dist: Path) -> Message:
    """What an index is told of the package."""
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


@pytest.mark.parametrize("kind", ["*.whl", thorough("*.tar.gz")])
def test_what_is_built_installs_and_runs_the_program_of_the_readme(
    kind: str, dist: Path, tmp_path: Path
) -> None:
    """In an environment of its own, which has our dependencies and not our source."""
    (package,) = dist.glob(kind)
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    packages = sysconfig.get_path("purelib")
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    # The path in a .pth file comes after the environment's own, and its .pth files are not read.
    (Path(own.strip()) / "dependencies.pth").write_text(packages + "\n")
    install = (python, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation")
    run(*install, "--no-deps", "--ignore-installed", package, cwd=tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:1]
    (tmp_path / "app.py").write_text(code)
    printed = run(python, "-W", "error", "-c", PROGRAM, cwd=tmp_path, secret="s" * 40)
    assert printed == "Hello, Ada. Welcome back.\nHello, stranger. \n"


def test_the_description_has_no_link_that_leads_nowhere(description: Message) -> None:
    """An index shows the README alone: no link and no image is relative to it."""
    text = description.get_payload()
    assert isinstance(text, str)
    assert text.startswith("# coatcheck")
    assert re.findall(r"\]\((?!https?:|#)", text) == []
    assert "Starlette (`docs/how-to/starlette.md`)" in text
    assert description["Description-Content-Type"] == "text/markdown"


def test_users_see_their_extras_alone(description: Message) -> None:
    """What is for who works on coatcheck is in dependency groups, which no index shows."""
    extras = description.get_all("Provides-Extra") or []
    assert sorted(extras) == sorted(PROJECT["optional-dependencies"])
    assert {"dev", "docs", "test"}.isdisjoint(extras)


def test_the_classifiers_name_the_pythons_that_are_tested() -> None:
    """`make pythons` and `requires-python` say the same."""
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    (tested,) = re.findall(r"for version in (.*); do", (ROOT / "scripts/pythons").read_text())
    assert named == tested.split()
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_wheel_holds_types_and_the_demo_and_no_tests(dist: Path) -> None:
    """And the sdist what is needed to test it."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"coatcheck/py.typed", "coatcheck/demo/static/shop.css"} <= names
    assert all(name.startswith(("coatcheck/", "coatcheck-")) for name in names)
    with tarfile.open(sdist) as tar:
        files = {name.partition("/")[2] for name in tar.getnames()}
    assert {"tests/conftest.py", "docs/index.md", "LICENSE", "constraints.txt"} <= files
    assert not any(name.startswith((".venv", "site/")) for name in files)
