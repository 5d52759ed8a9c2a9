"""Django: `manage.py check` finds settings of ours that are wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from coatcheck import Bound
from coatcheck.frameworks.django_checks import check_sessions
from coatcheck.storage import CookieStorage
from tests.frameworks.django.test_options import OURS

BOUND = {"bound": Bound(), "user_key": "_auth_user_id"}

MANAGE = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(
    SECRET_KEY="k" * 50,
    INSTALLED_APPS=["django.contrib.sessions", "coatcheck.frameworks.django_checks"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="coatcheck.frameworks.django",
    COATCHECK_STORAGE={storage!r},
)
execute_from_command_line(["manage.py", "check"])
"""


@pytest.mark.parametrize(
    ("settings", "id", "hint"),
    [
        ({"COATCHECK_STORAGE": None}, "E001", "'sqlite:sessions/db'"),
        ({"COATCHECK_STORAGE": "nowhere:"}, "E001", "must begin with one of"),
        ({"COATCHECK_STORAGE": CookieStorage()}, "E001", "need a server or a file"),
        ({"COATCHECK_STORAGE": 3}, "E001", "over a backend"),
        ({"COATCHECK_OPTIONS": {"idle": 3}}, "E002", "it takes 'lifetime', 'rotate'"),
        ({"COATCHECK_OPTIONS": {"user_key": ""}}, "E002", "must be the key of a session"),
        ({"COATCHECK_OPTIONS": {"rotate": 3}}, "E002", "at least 300"),
        ({"COATCHECK_OPTIONS": {"rotate": 3600}}, "E003", "SessionMiddleware"),
        ({"COATCHECK_OPTIONS": BOUND}, "E004", "SESSION_COOKIE_SECURE must be True"),
        ({"COATCHECK_OPTIONS": BOUND, "SESSION_COOKIE_SECURE": True}, "E005", "SessionMiddleware"),
    ],
)
def test_a_wrong_setting_is_an_error_with_a_hint(
    engine: Any, settings: dict[str, Any], id: str, hint: str
) -> None:
    """The engine registers the check, so that it runs with Django's own."""
    assert engine
    with override_settings(**settings):
        (error,) = [each for each in run_checks() if each.id.startswith("coatcheck.")]
    assert error.id == f"coatcheck.{id}"
    assert hint in error.hint


def test_settings_that_work_are_no_error(kept: object) -> None:
    """A rotation needs our middleware, or a subclass of it; others may be wrong for themselves."""
    assert kept
    assert check_sessions() == []
    middleware = [*OURS, "nowhere.Middleware"]
    with override_settings(COATCHECK_OPTIONS={"rotate": 3600}, MIDDLEWARE=middleware):
        assert check_sessions() == []


@pytest.mark.parametrize(
    ("storage", "code", "says"),
    [("memory:", 0, "no issues"), ("", 1, "COATCHECK_STORAGE is missing")],
)
def test_manage_py_check(tmp_path: Path, storage: str, code: int, says: str) -> None:
    """Where the project names the application, the command finds it without a request."""
    script = tmp_path / "manage.py"
    script.write_text(MANAGE.format(storage=storage))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code
    assert says in done.stdout + done.stderr
    assert ("HINT" in done.stderr) is bool(code)
    assert "Traceback" not in done.stderr
