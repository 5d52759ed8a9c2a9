"""Cookie fields that a server joined with commas: one line in the log says why."""

import logging

import pytest

from coatcheck import Cookie, session
from coatcheck.storage import MemoryStorage
from tests.hosts import ask_wsgi, wsgi_app

SECRET = "a secret that is long enough for any test"


def pair(cookie: Cookie) -> str:
    return cookie.serialize("value").partition(";")[0]


@pytest.mark.parametrize(
    "header",
    [
        "theme=dark,{ours}",
        "theme=dark, {ours}",
        "{ours},theme=dark",
        "{ours}, theme=dark; a=1",
        "a=1; theme=dark,{ours}; b=2",
        "a=1; {ours},b=2,c=3",
    ],
)
def test_joined_fields_are_told_once(header: str, caplog: pytest.LogCaptureFixture) -> None:
    """The line names the cookie and the page that helps; nothing of a value is in it."""
    cookie = Cookie("s", secrets=[SECRET])
    for _ in range(3):
        assert cookie.parse(header.format(ours=pair(cookie))) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "joined with ','" in record.getMessage()
    assert "'s'" in record.getMessage()
    assert "behind-a-proxy" in record.getMessage()
    assert "value" not in record.getMessage()


@pytest.mark.parametrize(
    "header",
    [
        "{ours}",
        "theme=a,b; {ours}",
        "{ours}; theme=a,b",
        "theme=a,b",
        "as=1,2",
        "theme=a,ss=1",
        "s=planted; {ours}; a=1,2",
        "s=forged",
    ],
)
def test_other_commas_are_no_news(header: str, caplog: pytest.LogCaptureFixture) -> None:
    """A cookie of somebody else may hold one."""
    cookie = Cookie("s", secrets=[SECRET])
    cookie.parse(header.format(ours=pair(cookie)))
    cookie.candidates(header.format(ours=pair(cookie)))
    assert caplog.records == []


def test_a_megabyte_of_commas_is_read_in_linear_time() -> None:
    """In quadratic time this would take hours."""
    for noise in (",", "s=", "s=,", ",s", ", ", "s =x"):
        assert Cookie("s", secrets=[SECRET]).parse((noise * 1_000_000)[:1_000_000]) is None


def test_a_wsgi_application_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    """There a server has joined the fields before anybody could see them."""
    cookie = Cookie("s", secrets=[SECRET])
    app = session(cookie, MemoryStorage()).wsgi(wsgi_app)
    answer = ask_wsgi(app, lambda session: session.is_new, f"a=1,{pair(cookie)}")
    assert answer.json is True
    assert "joined with ','" in caplog.text
