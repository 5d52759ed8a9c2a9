"""What a host asks the shell for, where time passes between a save and the headers."""

from collections.abc import Callable
from typing import Any

import pytest

from coatcheck import BackendError, Cookie, Session
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck._request.visit import NOTHING, Changes
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage, SessionStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from coatcheck.wsgi import EnvironVisit
from tests.hosts import SECRET

COOKIE = Cookie("session", secrets=[SECRET], secure=False, max_age=1000)


def shell_of(storage: SessionStorage, **options: Any) -> Shell:
    return Shell(Cycle(COOKIE, storage, **options))


def visit_of(shell: Shell, cookie: str | None = None) -> EnvironVisit:
    """Return a visit whose session was read."""
    environ = {"HTTP_COOKIE": cookie} if cookie else {}
    visit = EnvironVisit(shell, environ)
    assert shell.read(visit) is None
    return visit


def cookie_of(changes: Changes) -> str:
    """Return the Cookie header of a client that got these changes."""
    return changes.set_cookies[0].partition(";")[0]


def saved(shell: Shell) -> tuple[EnvironVisit, Changes]:
    """Return a visit that made a session, and what is to be told."""
    visit = visit_of(shell)
    visit.session["user"] = "ada"
    return visit, shell.leave(visit)


def renews(session: Session) -> None:
    session.regenerate_id()


def writes(session: Session) -> None:
    session["more"] = 1


@pytest.mark.parametrize(
    ("meanwhile", "sent"), [(writes, True), (renews, False), (Session.destroy, False)]
)
def test_a_cookie_is_sent_only_if_it_leads_to_a_living_session(
    meanwhile: Callable[[Session], None], sent: bool
) -> None:
    """Another request may have given the session a newer id since, or ended it."""
    shell = shell_of(MemoryStorage())
    visit, changes = saved(shell)
    other = visit_of(shell, cookie_of(changes))
    meanwhile(other.session)
    shell.leave(other)
    expected = changes if sent else changes._replace(set_cookies=())
    assert shell.recheck(visit, changes) == expected


def test_an_id_that_was_rotated_since_is_an_older_cookie() -> None:
    """It still leads to the session, but the browser may hold the newer one already."""
    clock = Clock()
    shell = shell_of(MemoryStorage(clock=clock), rotate=300)
    visit, changes = saved(shell)
    clock.advance(400)
    other = visit_of(shell, cookie_of(changes))
    writes(other.session)
    assert shell.leave(other).set_cookies
    assert shell.recheck(visit, changes).set_cookies == ()


def test_cookies_of_others_stay() -> None:
    """Only the session's own cookie leads nowhere."""
    shell = shell_of(MemoryStorage())
    visit, changes = saved(shell)
    other = visit_of(shell, cookie_of(changes))
    other.session.destroy()
    shell.leave(other)
    several = changes._replace(set_cookies=(*changes.set_cookies, "device=1"))
    assert shell.recheck(visit, several).set_cookies == ("device=1",)


class Down(MemoryBackend):
    """A server that may take no reads, and counts them."""

    def __init__(self) -> None:
        super().__init__(max_records=10, clock=Clock())
        self.down, self.reads = False, 0

    def get(self, key: str) -> Any:
        self.reads += 1
        if self.down:
            raise BackendError("the server", "read")
        return super().get(key)


def test_a_cookie_stays_while_nothing_tells_that_its_session_ended() -> None:
    """The server is down: without the cookie, a session that lives would be lost."""
    backend = Down()
    shell = shell_of(KeyedStorage(backend))
    visit, changes = saved(shell)
    backend.down = True
    assert shell.recheck(visit, changes) is changes


def test_no_server_is_asked_where_no_cookie_is_sent() -> None:
    """Nor for a cookie that is removed, nor for one that carries the session itself."""
    backend = Down()
    shell = shell_of(KeyedStorage(backend))
    _, changes = saved(shell)
    visit = visit_of(shell, cookie_of(changes))
    visit.session.destroy()
    removed = shell.leave(visit)
    backend.reads = 0
    assert shell.recheck(visit, removed) is removed
    assert shell.recheck(visit_of(shell), NOTHING) is NOTHING
    assert backend.reads == 0
    in_cookie = shell_of(CookieStorage())
    visit, changes = saved(in_cookie)
    assert in_cookie.recheck(visit, changes) is changes


def test_a_connection_without_headers_renews_no_id() -> None:
    """The client would learn nothing of the new id, and lose the session after the hand-over."""
    clock = Clock()
    shell = shell_of(MemoryStorage(clock=clock), rotate=300, idle=10_000)
    _, changes = saved(shell)
    clock.advance(400)
    visit = visit_of(shell, cookie_of(changes))
    writes(visit.session)
    shell.cycle.never_start(visit)
    shell.end(visit)
    clock.advance(2000)
    assert dict(visit_of(shell, cookie_of(changes)).session) == {"user": "ada", "more": 1}


def test_a_connection_without_headers_of_a_visitor_who_only_looked_changes_nothing() -> None:
    """All such visitors share one draft."""
    shell = shell_of(MemoryStorage())
    shell.cycle.never_start(visit_of(shell))
    assert saved(shell)[1].set_cookies
