"""
The files of Django's page run: the program with its tests, and what a project is told to add.

Each in a process of its own, because the settings of Django hold for a process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT, files_of

PAGE = ROOT / "docs/how-to/django.md"

PROJECT = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django
django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from coatcheck.testing import failing, later

call_command("check", "--fail-level", "WARNING")
call_command("migrate", verbosity=0)
User.objects.create_user("ada", password="analytical engine")
settings.ALLOWED_HOSTS, settings.DEBUG = ["testserver"], False
client = Client(raise_request_exception=False)
assert client.login(username="ada", password="analytical engine")
assert len(client.get("/devices").json()) == 1
assert client.get("/address").url == "/confirm"  # login() alone confirms nothing
assert client.post("/confirm", {"password": "analytical engine"}).url == "/address"
assert client.get("/address").content == b"Changed."
with later(settings.COATCHECK_STORAGE, 301):
    assert client.get("/address").url == "/confirm"
    assert client.post("/confirm", {"password": "wrong"}).status_code == 401
    assert client.post("/confirm", {"password": "analytical engine"}).url == "/address"
    assert client.get("/address").content == b"Changed."
with failing(settings.COATCHECK_STORAGE):
    assert client.get("/devices").status_code == 503
"""


def run(folder: Path, *command: str) -> str:
    """Run Python in a folder, with warnings as errors; return what it wrote."""
    environ = {**os.environ, "DJANGO_SECRET": "a secret of this test alone, 0123456789"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_program_of_the_page_passes_its_tests(tmp_path: Path) -> None:
    """By the command that stands there."""
    files = files_of(PAGE)
    for name in ("django_app.py", "tests.py"):
        (tmp_path / name).write_text(files[name])
    assert "Ran 2 tests" in run(tmp_path, "django_app.py", "test")


def test_a_project_with_all_that_the_page_adds(tmp_path: Path) -> None:
    """What `startproject` made, with the settings, the views and the URLs of the page."""
    run(tmp_path, "-m", "django", "startproject", "shop", ".")
    files = files_of(PAGE)
    with (tmp_path / "shop/settings.py").open("a") as settings:
        settings.write(files["settings.py"])
    for name in ("views.py", "urls.py"):
        (tmp_path / "shop" / name).write_text(files[name])
    run(tmp_path, "-c", PROJECT)


@pytest.mark.parametrize("word", ["not run", "```python\n"])
def test_every_block_of_the_page_is_a_file(word: str) -> None:
    """So each is run."""
    assert word not in PAGE.read_text()
