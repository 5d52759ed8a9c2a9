"""
The page of frameworks, servers and packages: a "yes" has a test, a version is the installed one.

The tests that show a cell are named here, not on the page: its reader wants to know what works.
"""

import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs/explanation/frameworks.md").read_text()

LATE, STREAM = "test_what_changes_late_is_saved", "test_a_stream_is_saved_at_its_end"
AT_ITS_LINE = "test_a_change_that_comes_too_late_fails_at_its_line"
AROUND = (STREAM, STREAM, "test_a_typed_session", "test_the_kit_signs_a_client_in")
NO = None

SHOWN: dict[str, tuple[str | None, ...]] = {
    "Starlette": (
        "test_a_websocket_in_starlette",
        "test_what_a_stream_of_events_changes_is_saved",
        "test_a_background_task_may_change_the_session",
        "test_a_change_is_kept_under_the_fields_name",
        "test_a_client_is_signed_in_and_out",
    ),
    "FastAPI": (
        "test_a_stranger_gets_no_websocket",
        LATE,
        LATE,
        "test_a_typed_session_is_a_dependency",
        "test_a_client_is_signed_in_and_out",
    ),
    "Litestar": (
        "test_a_websocket_reads_and_saves_the_session",
        LATE,
        LATE,
        "test_a_typed_session_is_injected",
        "test_a_client_is_signed_in_and_out",
    ),
    "Flask": (
        NO,
        "test_a_stream_is_saved_before_its_headers_and_at_its_end",
        AT_ITS_LINE,
        "test_a_typed_session",
        "test_the_test_kit_speaks_to_flasks_client",
    ),
    "Quart": (
        "test_a_websocket_of_every_storage",
        "test_a_stream_is_saved_before_its_headers_and_at_its_end",
        AT_ITS_LINE,
        "test_a_typed_session",
        "test_the_test_kit_speaks_to_quarts_client",
    ),
    "Django": (NO, "test_a_visit", NO, NO, "test_a_client_of_django"),
    "aiohttp": (
        "test_a_websocket",
        "test_a_stream_is_saved_when_it_is_prepared_and_at_its_end",
        AT_ITS_LINE,
        "test_a_typed_session",
        "test_the_kit_signs_a_client_in",
    ),
    "Falcon ASGI": ("test_a_websocket", *AROUND),
    "Falcon WSGI": (NO, *AROUND),
    "BlackSheep": ("test_a_websocket", *AROUND),
    "Bottle": (NO, *AROUND),
    "Pyramid": (NO, *AROUND),
}
"""WebSocket, streaming, late changes, typed session, test kit."""

PACKAGES = {
    "Authlib 1, Starlette": (
        "test_authlib_signs_in_at_a_provider",
        "test_authlib_refuses_the_answer_to_another_visitor",
    ),
    "Authlib 1, Flask": (
        "test_oauth_all_the_way",
        "test_a_callback_of_somebody_elses_is_refused",
        "test_two_sign_ins_at_once",
    ),
    "Flask-Login": ("test_login_and_logout", "test_remember_me", "test_session_protection"),
    "Flask-SocketIO": ("test_http_requests_and_events_share_a_session",),
    "Flask-WTF": ("test_a_form_with_its_token_is_taken", "test_a_token_is_bound_to_its_session"),
    "Django auth": (
        "test_the_admin",
        "test_signing_in_changes_the_key_and_signing_out_ends_it",
        "test_a_new_password_ends_the_other_sessions",
    ),
    "sqladmin": ("test_sqladmin_signs_in_by_its_page",),
}

ELSEWHERE = (
    "test_a_visit",
    "test_parallel_requests_to_several_processes_lose_nothing",
    "test_granian_sends_no_cookie_with_a_handshake",
    "test_a_server_that_is_told_to_end_saves_what_is_under_way",
    "test_the_page_for_a_failure_reads_the_session",
    "test_a_middleware_outside_sees_what_was_served",
    "test_a_mounted_application_keeps_its_own_sessions",
    "test_two_sessions_of_ours_with_two_cookies_work_one_in_the_other",
    "test_two_sessions_with_one_cookie_are_refused",
)
"""Servers; outside, nested and mounted."""

VERSIONS = [
    "Starlette", "FastAPI", "Litestar", "Flask", "Quart", "Django", "aiohttp", "Falcon",
    "BlackSheep", "Bottle", "Pyramid", "Authlib", "Flask-Login", "Flask-SocketIO", "Flask-WTF",
    "sqladmin", "uvicorn", "Hypercorn", "Granian", "Gunicorn",
]  # fmt: skip


@cache
def every_test() -> set[str]:
    test = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
    return {name for path in TESTS.rglob("test_*.py") for name in test.findall(path.read_text())}


def rows_of(heading: str) -> dict[str, list[str]]:
    """Return the rows of a table: the cells behind the name, without link and version."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line[:2] == "| "][2:]
    name = re.compile(r"\[(\S+)\]\(\S+\) [\d.]+,? ?(\S*)")
    return {name.sub(r"\1 \2", cells[0]).strip(): cells[1:] for cells in rows}


def test_a_yes_has_a_test_and_a_no_has_none() -> None:
    """In each cell of the table of frameworks."""
    rows = rows_of("Frameworks")
    assert list(rows) == list(SHOWN)
    for framework, tests in SHOWN.items():
        assert [cell != "no" for cell in rows[framework]] == [bool(test) for test in tests]


def test_every_package_has_a_test() -> None:
    """A claim about another package is shown by more than this page."""
    rows = [
        re.sub(r"(\d)\.\d[\d.]*", r"\1", row) for row in rows_of("Packages that use the session")
    ]
    for row in rows:
        assert any(row.startswith(package) for package in PACKAGES), row
    assert len(rows) == len(PACKAGES)


def test_every_test_that_is_named_exists() -> None:
    """Who renames one finds this list."""
    named = {test for tests in [*SHOWN.values(), *PACKAGES.values(), ELSEWHERE] for test in tests}
    assert named - {NO} <= every_test()


def test_no_cell_is_empty() -> None:
    """What does not apply is said."""
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert [row for row in rows if re.search(r"\|\s*\|", row)] == []


@pytest.mark.parametrize("name", VERSIONS)
def test_the_versions_are_the_ones_that_are_tested(name: str) -> None:
    """Whoever locks newer ones writes the page anew."""
    assert re.search(rf"\b{re.escape(name)}(\]\(\S+\))? {re.escape(version(name))}\b", PAGE)
