"""
The pages of a move, against the real packages: signed in there, the visitor goes on here.

"Before" of a page runs in an environment of the old package, "After" in ours, each in a process of
its own. A browser's cookies are carried from one to the other.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.moving_in.drive import taken
from tests.moving_in.environments import CURRENT, NODE, OLDER, node_with, python_with
from tests.thorough import thorough

ROOT = Path(__file__).parent.parent.parent
DRIVE = Path(__file__).parent / "drive.py"

BLOCK = re.compile(r"^```(?:python|javascript)\n(.*?)^```", re.DOTALL | re.MULTILINE)

Jar = dict[str, str]

Visit = tuple[Jar, list[str]]
"""The cookies of a browser, and the paths that it asks for."""

SIGN_IN: Visit = ({}, ["/sign-in"])


class Move:
    """
    One page in a folder of its own.

    Args:
        page: The name of the page.
        more: Of the environment, beside the secrets and the address of Redis.
    """

    def __init__(self, page: str, folder: Path, redis_socket: str, **more: str) -> None:
        text = (ROOT / "docs" / "how-to" / f"move-from-{page}.md").read_text()
        self.blocks = BLOCK.findall(text)
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": "the secret of the old application 0123456789",
            "SESSION_SECRET": "the secret of ours, which is another 0123456789",
            "REDIS_URL": f"unix://{redis_socket}",
            **more,
        }

    def old(self, kind: str, *visits: Visit, packages: list[str] = CURRENT) -> list[Any]:
        """Send requests to "Before"; return status, body and cookies after each."""
        (self.folder / "before.py").write_text(self.blocks[0])
        return self._run([str(python_with(packages)), str(DRIVE), kind, "before"], visits)

    def new(self, kind: str, *visits: Visit) -> list[Any]:
        """Send requests to "After"."""
        (self.folder / "after.py").write_text(self.blocks[1])
        self.environ["PYTHONPATH"] = str(ROOT / "src")
        return self._run([sys.executable, str(DRIVE), kind, "after"], visits)

    def _run(self, command: list[str], visits: tuple[Visit, ...]) -> list[Any]:
        done = subprocess.run(
            [*command, json.dumps(visits)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return list(json.loads(done.stdout.splitlines()[-1]))


def moves(move: Move, kind: str, old: Jar, *, home: str = "Ada") -> None:
    """Go on signed in; then sign out, after which no copy of the old cookie signs in."""
    first, again, out, gone, copy = move.new(
        kind, (old, ["/", "/", "/sign-out", "/"]), (old, ["/"])
    )
    assert [first[1], again[1].split()[0]] == [home, "Ada"]
    assert set(first[2]) == {"__session"}
    assert out[2] == {}
    assert "Ada" not in gone[1] + copy[1]


def test_from_flask(tmp_path: Path, redis_socket: str) -> None:
    """Values, a tuple in them, and the message that waits."""
    move = Move("flask", tmp_path, redis_socket)
    ((_, _, old),) = move.old("wsgi", SIGN_IN)
    moves(move, "wsgi", old, home="Ada [1, [2, 3]] ['Welcome.']")
    assert move.old("wsgi", (old, ["/"]))[0][1] == "Ada", "the way back"


@pytest.mark.parametrize(
    ("packages", "signed"), [(CURRENT, "yes"), thorough(OLDER, "no")], ids=["0.8 signed", "0.5"]
)
def test_from_flask_session(
    tmp_path: Path, redis_socket: str, packages: list[str], signed: str
) -> None:
    """MessagePack of 0.8 with a signer, and pickles of 0.5 without."""
    move = Move("flask-session", tmp_path, redis_socket, SIGNED=signed)
    ((_, _, old),) = move.old("wsgi", SIGN_IN, packages=packages)
    moves(move, "wsgi", old)


def test_from_starlette(tmp_path: Path, redis_socket: str) -> None:
    """FastAPI's middleware is the same."""
    move = Move("starlette", tmp_path, redis_socket)
    ((_, _, old),) = move.old("asgi", SIGN_IN)
    moves(move, "asgi", old)


@pytest.mark.parametrize("kind", ["redis", thorough("cookie")])
def test_from_starsessions(tmp_path: Path, redis_socket: str, kind: str) -> None:
    """Of both stores."""
    move = Move("starsessions", tmp_path, redis_socket, KIND=kind)
    ((_, _, old),) = move.old("asgi", SIGN_IN)
    moves(move, "asgi", old)


def test_from_aiohttp_session(tmp_path: Path, redis_socket: str) -> None:
    """Of its encrypted cookie."""
    move = Move("aiohttp-session", tmp_path, redis_socket)
    ((_, _, old),) = move.old("aiohttp", SIGN_IN)
    moves(move, "aiohttp", old)


def test_from_express(tmp_path: Path, redis_socket: str) -> None:
    """Signed in by Node, read by Python."""
    move = Move("express", tmp_path, redis_socket)
    move.environ["NODE_PATH"] = str(node_with(NODE) / "node_modules")
    with node(move) as port:
        old: Jar = {}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=10) as answer:
            taken(old, (answer.status, answer.getheaders(), answer.read()))
    moves(move, "asgi", old)


@contextmanager
def node(move: Move) -> Iterator[str]:
    """Run "Before" of the page in Node, and yield its port."""
    path = move.folder / "before.js"
    socket = move.environ["REDIS_URL"].removeprefix("unix://")
    path.write_text(  # its client takes no URL of a socket
        move.blocks[0].replace("url: process.env.REDIS_URL", f"socket: {{ path: {socket!r} }}")
    )
    command = ["node", str(path)]
    with subprocess.Popen(
        command, cwd=move.folder, env=move.environ, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


SITE = """
import os
from pathlib import Path

SECRET_KEY = os.environ["SECRET_KEY"]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["REDIS_URL"],
    }
}
"""

URLS = """
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path


def sign_in(request):
    login(request, User.objects.get(username="Ada"))
    return HttpResponse("signed in")


def home(request):
    digest = request.session.get("_auth_user_hash", "")
    return HttpResponse(f"{request.user.username} {len(digest)}")


def sign_out(request):
    logout(request)
    return HttpResponse("signed out")


urlpatterns = [path("sign-in", sign_in), path("", home), path("sign-out", sign_out)]
"""

APP = """
import os
import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "{settings}"
app = get_wsgi_application()
if "{settings}" == "settings_before" and not os.path.exists("db.sqlite3"):
    from django.contrib.auth.models import User

    call_command("migrate", verbosity=0)
    User.objects.create_user("Ada", password="x")
"""


@pytest.mark.parametrize(
    "engine", ["db", thorough("cache"), thorough("cached_db"), thorough("signed_cookies")]
)
def test_from_django(tmp_path: Path, redis_socket: str, engine: str) -> None:
    """`request.user` stays, and `_auth_user_hash` with it, of every engine."""
    move = Move("django", tmp_path, redis_socket, SQLALCHEMY_URL="sqlite:///db.sqlite3")
    line = next(
        line for line in move.blocks[0].splitlines() if line.endswith(f'backends.{engine}"')
    )
    (tmp_path / "settings_before.py").write_text(SITE + line)
    (tmp_path / "settings_after.py").write_text(SITE + move.blocks[1])
    (tmp_path / "urls.py").write_text(URLS)
    move.blocks = [APP.format(settings=f"settings_{when}") for when in ("before", "after")]
    ((_, _, old),) = move.old("wsgi", SIGN_IN)
    first, again, out, copy = move.new("wsgi", (old, ["/", "/", "/sign-out"]), (old, ["/"]))
    assert [first[1], again[1]] == ["Ada 64", "Ada 64"]
    assert first[2] != old
    assert "sessionid" not in out[2]
    assert copy[1] == " 0"
