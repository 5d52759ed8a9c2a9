"""The path of a request, through both shells, without any host."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from coatcheck import (
    BackendError,
    ConfigurationError,
    Cookie,
    CookieTooLarge,
    RecordTooLarge,
    ResponseStarted,
    Session,
    UnstorableValue,
)
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.cycle import CANDIDATES, Cycle
from coatcheck._request.shell import Shell
from coatcheck._request.visit import NOTHING, VARY, Answer, Changes, Visit
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.testing import Clock, failing
from tests._request.visits import (
    AFTER,
    BEFORE,
    COOKIE,
    PLACE,
    DictVisit,
    cycle_of,
    header_after,
    kept,
    pair_of,
    stored,
)
from tests.hosts import SECRET


class AnyShell(Protocol):
    """Either shell, its methods plain."""

    def read(self, visit: Visit) -> Answer | None: ...
    def leave(self, visit: Visit, *, failed: bool = False, headers: Any = ()) -> Changes: ...
    def recheck(self, visit: Visit, changes: Changes) -> Changes: ...
    def end(self, visit: Visit, *, failed: bool = False) -> None: ...
    def close(self) -> None: ...


class Driven:
    """An `AsyncShell` in an event loop."""

    def __init__(self, cycle: Cycle, runner: asyncio.Runner) -> None:
        self._shell, self._runner = AsyncShell(cycle), runner

    def read(self, visit: Visit) -> Answer | None:
        return self._runner.run(self._shell.read(visit))

    def leave(self, visit: Visit, *, failed: bool = False, headers: Any = ()) -> Changes:
        return self._runner.run(self._shell.leave(visit, failed=failed, headers=headers))

    def recheck(self, visit: Visit, changes: Changes) -> Changes:
        return self._runner.run(self._shell.recheck(visit, changes))

    def end(self, visit: Visit, *, failed: bool = False) -> None:
        self._runner.run(self._shell.end(visit, failed=failed))

    def close(self) -> None:
        self._runner.run(self._shell.close())


Make = Callable[[Cycle], AnyShell]
Handler = Callable[[Session], object]


@pytest.fixture(params=["plain", "awaited"])
def shell_of(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make either shell around the decisions of a middleware."""
    if request.param == "plain":
        yield Shell
        return
    with asyncio.Runner() as runner:
        yield lambda cycle: Driven(cycle, runner)


@pytest.fixture
def memory() -> KeyedStorage:
    return MemoryStorage()


@pytest.fixture
def shell(shell_of: Make, memory: KeyedStorage) -> AnyShell:
    return shell_of(cycle_of(memory))


def read(shell: AnyShell, header: str | None = None, **facts: str) -> DictVisit:
    """Return a request whose session was read."""
    visit = DictVisit(header, **facts)
    assert shell.read(visit) is None
    return visit


def ask(
    shell: AnyShell, header: str | None, *steps: Handler
) -> tuple[str | None, Changes, DictVisit]:
    """Serve a request: a step before the headers, one after; return the browser's new header."""
    visit = read(shell, header)
    early, late = [*steps, ignores, ignores][:2]
    early(visit.session)
    changes = shell.leave(visit)
    late(visit.session)
    shell.end(visit)
    return header_after(header, changes), changes, visit


def ignores(_: Session) -> None:
    return None


def sets(**values: object) -> Handler:
    return lambda session: session.update(values)


# Reading


def test_without_a_cookie_no_server_is_asked(shell: AnyShell, memory: KeyedStorage) -> None:
    """The session is there all the same, and where handlers look."""
    with failing(memory):
        for header in (None, "", "other=1", "name=forged"):
            visit = read(shell, header)
            assert visit.session.is_new
            assert visit.scope[PLACE] is visit.session


def test_a_cookie_leads_to_its_session(shell: AnyShell, memory: KeyedStorage) -> None:
    """What its seal holds is the value that the storage reads."""
    visit = read(shell, stored(memory, user=1))
    assert visit.session["user"] == 1
    assert visit.opened
    assert visit.opened.text == visit.session.issued_id


class Drawer:
    """A storage of the application's own, which wants to be asked about every visitor."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def read(self, value: str | None) -> Any:
        self.asked.append(value)
        return {} if value == "broken" else Session({"user": 1}, id=value or "guest")

    def save(self, session: Session) -> str | None:
        return session.id if session.modified else None


def test_a_storage_of_ones_own_may_be_asked_about_visitors(shell_of: Make) -> None:
    """It says otherwise if it need not be."""
    drawer = Drawer()
    shell = shell_of(cycle_of(drawer))
    assert read(shell).session["user"] == 1
    assert drawer.asked == [None]
    with pytest.raises(ConfigurationError, match="must return a Session, got dict"):
        read(shell, pair_of(COOKIE, "broken"))


def test_an_outage_is_an_error_or_an_empty_session(shell_of: Make, memory: KeyedStorage) -> None:
    """As `on_outage` says."""
    header = stored(memory, user=1)
    raising, serving = (
        shell_of(cycle_of(memory, on_outage=policy)) for policy in ("raise", "anonymous")
    )
    with failing(memory):
        with pytest.raises(BackendError):
            read(raising, header)
        assert dict(read(serving, header).session) == {}


# Several cookies of our name


def joined(*headers: str) -> str:
    return "; ".join(headers)


def test_the_first_cookie_that_leads_to_a_session_counts(
    shell: AnyShell, memory: KeyedStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """Another one may be left from an earlier set-up, or come from a subdomain."""
    ended, living, another = (stored(memory, user=number) for number in range(3))
    ask(shell, ended, Session.destroy)
    visit = read(shell, joined(ended, living, another))
    assert visit.session["user"] == 1
    assert len(visit.others) == 2
    assert "3 cookies named 'name'" in caplog.text


def test_where_no_cookie_leads_to_a_session_the_visitor_is_new(
    shell: AnyShell, memory: KeyedStorage
) -> None:
    """No more than a few are looked up."""
    ended = stored(memory, user=1)
    ask(shell, ended, Session.destroy)
    living = stored(memory, user=2)
    assert read(shell, joined(ended, ended)).session.is_new
    assert read(shell, joined(*[ended] * CANDIDATES, living)).session.is_new
    assert not read(shell, joined(*[ended] * (CANDIDATES - 1), living)).session.is_new


def test_an_outage_of_several_cookies_is_one(shell_of: Make, memory: KeyedStorage) -> None:
    """Each is tried; under "anonymous" the session is empty."""
    both = joined(stored(memory, user=1), stored(memory, user=2))
    with failing(memory):
        with pytest.raises(BackendError):
            read(shell_of(cycle_of(memory)), both)
        assert dict(read(shell_of(cycle_of(memory, on_outage="anonymous")), both).session) == {}


@pytest.mark.parametrize("first", ["living", "ended"])
def test_a_sign_out_ends_the_sessions_of_all_cookies(
    shell: AnyShell, memory: KeyedStorage, first: str
) -> None:
    """The browser would come back with another one of them."""
    one, two = stored(memory, user=1), stored(memory, user=2)
    if first == "ended":
        ask(shell, one, Session.destroy)
    ask(shell, joined(one, two), Session.destroy)
    assert kept(memory, one).is_new
    assert kept(memory, two).is_new


@pytest.mark.parametrize("empties", [Session.clear, lambda s: s.pop("user")], ids=["clear", "pop"])
def test_a_session_that_is_emptied_ends_those_of_all_cookies(
    shell: AnyShell, memory: KeyedStorage, empties: Handler
) -> None:
    """Many applications sign out so."""
    one, two = stored(memory, user=1), stored(memory, user=2)
    header, *_ = ask(shell, joined(one, two), empties)
    assert header is None
    assert kept(memory, two).is_new


def test_a_late_sign_out_ends_the_sessions_of_all_cookies(
    shell: AnyShell, memory: KeyedStorage
) -> None:
    """No cookie can be removed any more, so none may lead to a session."""
    one, two = stored(memory, user=1), stored(memory, user=2)
    ask(shell, joined(one, two), ignores, Session.destroy)
    assert kept(memory, one).is_new
    assert kept(memory, two).is_new


def test_what_is_no_session_is_not_ended(shell_of: Make) -> None:
    """A storage of one's own may be wrong about another cookie: the sign-out is done."""
    both = joined(pair_of(COOKIE, "key"), pair_of(COOKIE, "broken"))
    shell = shell_of(cycle_of(drawer := Drawer()))
    assert ask(shell, both, Session.destroy)[2].session.destroyed
    assert drawer.asked == ["key", "broken"]


# Before the headers leave


def test_a_look_only_varies(shell: AnyShell, memory: KeyedStorage) -> None:
    """What did not look at all adds nothing."""
    for header in (None, stored(memory, user=1)):
        assert ask(shell, header)[1] is NOTHING
        assert ask(shell, header, lambda session: session.get("user"))[1] is VARY


def test_a_change_is_saved_and_its_cookie_set(shell: AnyShell, memory: KeyedStorage) -> None:
    """No shared cache keeps such a response."""
    header, changes, _ = ask(shell, None, sets(user=1))
    assert (changes.vary, changes.private, len(changes.set_cookies)) == (True, True, 1)
    assert kept(memory, header or "")["user"] == 1
    assert ask(shell, header, sets(user=2))[1] is VARY
    assert kept(memory, header or "")["user"] == 2


def test_a_failed_request_keeps_nothing(shell: AnyShell, memory: KeyedStorage) -> None:
    """It sends no cookie, and what its handler still does raises."""
    header = stored(memory, user=1)
    visit = read(shell, header)
    visit.session["user"] = 2
    assert shell.leave(visit, failed=True) is VARY
    with pytest.raises(ResponseStarted):
        visit.session["user"] = 3
    shell.end(visit, failed=True)
    assert kept(memory, header)["user"] == 1


def test_a_cookie_that_the_application_set_is_left_alone(shell_of: Make) -> None:
    """A refresh is not worth a second one of that name."""
    clock = Clock()
    memory = MemoryStorage(clock=clock)
    shell = shell_of(cycle_of(memory, idle=100))
    header = stored(memory, user=1)
    clock.advance(50)
    assert shell.leave(read(shell, header), headers=[("Set-Cookie", "name=x")]) is NOTHING
    assert shell.leave(read(shell, header)).set_cookies


def test_a_cookie_under_an_older_secret_is_sealed_anew(
    shell_of: Make, memory: KeyedStorage
) -> None:
    """Also one of a storage that renews nothing by itself, which is not asked for that."""
    for storage, header in (
        (memory, stored(memory, BEFORE, user=1)),
        (Drawer(), pair_of(BEFORE, "key")),
    ):
        shell = shell_of(cycle_of(storage, AFTER))
        renewed, changes, _ = ask(shell, header)
        assert len(changes.set_cookies) == 1
        assert ask(shell, renewed)[1] is NOTHING


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (sets(cart=[object()]), UnstorableValue),
        (lambda session: session["cart"].append(object()), UnstorableValue),
        (sets(text="x" * 1_000_000), RecordTooLarge),
    ],
    ids=["unstorable", "inside a value", "too large"],
)
def test_a_session_that_cannot_be_kept_is_an_error(
    shell: AnyShell, memory: KeyedStorage, change: Handler, error: type[Exception]
) -> None:
    """The answer to it is sent without a session, and nothing more is kept."""
    header = stored(memory, cart=[1])
    visit = read(shell, header)

    def keep() -> None:
        change(visit.session)
        shell.leave(visit)

    with pytest.raises(error):
        keep()
    shell.leave(visit, failed=True)
    shell.end(visit)
    assert dict(kept(memory, header)) == {"cart": [1]}
    with pytest.raises(ResponseStarted):
        visit.session["user"] = 1


def test_a_session_too_large_for_a_cookie_is_an_error(shell_of: Make) -> None:
    """It is found before the headers leave."""
    shell = shell_of(cycle_of(CookieStorage()))
    visit = read(shell)
    visit.session["text"] = "x" * 5000
    with pytest.raises(CookieTooLarge):
        shell.leave(visit)
    with pytest.raises(ResponseStarted):
        visit.session["user"] = 1


def test_an_outage_at_a_save_is_loud_if_anything_changed(shell_of: Make) -> None:
    """A refresh can wait for the next request, if `on_outage` says so."""
    clock = Clock()
    memory = MemoryStorage(clock=clock)
    shell = shell_of(cycle_of(memory, on_outage="anonymous", idle=100))
    header = stored(memory, user=1)
    clock.advance(50)
    refreshed, changed = read(shell, header), read(shell, header)
    changed.session["user"] = 2
    with failing(memory):
        assert shell.leave(refreshed) is NOTHING
        with pytest.raises(BackendError):
            shell.leave(changed)


# Where time passes between a save and the headers


def begun(shell: AnyShell) -> tuple[DictVisit, Changes, str]:
    """Return a request that made a session, what is to be told, and the browser's header."""
    visit = read(shell)
    visit.session["user"] = "ada"
    changes = shell.leave(visit)
    return visit, changes, header_after(None, changes) or ""


@pytest.mark.parametrize(
    ("meanwhile", "sent"),
    [(sets(more=1), True), (Session.regenerate_id, False), (Session.destroy, False)],
    ids=["write", "new id", "destroy"],
)
def test_a_cookie_is_sent_only_if_it_leads_to_a_living_session(
    shell: AnyShell, meanwhile: Handler, *, sent: bool
) -> None:
    """Another request may have given the session a newer id since, or ended it."""
    visit, changes, header = begun(shell)
    ask(shell, header, meanwhile)
    expected = changes if sent else changes._replace(set_cookies=())
    assert shell.recheck(visit, changes) == expected


def test_an_id_that_was_rotated_since_is_an_older_cookie(shell_of: Make) -> None:
    """It still leads to the session, but the browser may hold the newer one already."""
    clock = Clock()
    shell = shell_of(cycle_of(MemoryStorage(clock=clock), rotate=300))
    visit, changes, header = begun(shell)
    clock.advance(400)
    assert ask(shell, header, sets(more=1))[1].set_cookies
    assert shell.recheck(visit, changes).set_cookies == ()


def test_cookies_of_others_stay(shell: AnyShell) -> None:
    """Only the session's own cookie leads nowhere."""
    visit, changes, header = begun(shell)
    ask(shell, header, Session.destroy)
    several = changes._replace(set_cookies=(*changes.set_cookies, "device=1"))
    assert shell.recheck(visit, several).set_cookies == ("device=1",)


def test_a_cookie_stays_while_nothing_tells_that_its_session_ended(
    shell: AnyShell, memory: KeyedStorage
) -> None:
    """The server is down: without the cookie, a session that lives would be lost."""
    visit, changes, _ = begun(shell)
    with failing(memory):
        assert shell.recheck(visit, changes) is changes


def test_no_server_is_asked_where_no_cookie_is_sent(shell: AnyShell, memory: KeyedStorage) -> None:
    """Nor for a cookie that is removed."""
    _, _, header = begun(shell)
    visit = read(shell, header)
    visit.session.destroy()
    removed = shell.leave(visit)
    with failing(memory):
        assert shell.recheck(visit, removed) is removed
        assert shell.recheck(read(shell), NOTHING) is NOTHING


def test_a_cookie_that_carries_the_session_leads_to_it(shell_of: Make) -> None:
    """There is nothing to look up."""
    visit, changes, _ = begun(shell := shell_of(cycle_of(CookieStorage())))
    assert shell.recheck(visit, changes) is changes


# A connection that ends without headers


def test_a_connection_without_headers_renews_no_id(shell_of: Make) -> None:
    """The client would learn nothing of the new id, and lose the session after the hand-over."""
    clock = Clock()
    cycle = cycle_of(memory := MemoryStorage(clock=clock), rotate=300, idle=10_000)
    shell = shell_of(cycle)
    header = stored(memory, user="ada")
    clock.advance(400)
    visit = read(shell, header)
    visit.session["more"] = 1
    cycle.never_start(visit)
    shell.end(visit)
    clock.advance(2000)
    assert dict(read(shell, header).session) == {"user": "ada", "more": 1}


def test_a_connection_without_headers_of_a_visitor_who_only_looked_changes_nothing(
    shell_of: Make,
) -> None:
    """All such visitors share one draft."""
    shell = shell_of(cycle := cycle_of())
    cycle.never_start(read(shell))
    assert begun(shell)[1].set_cookies


# After the headers left


def test_a_late_change_is_saved_at_the_end(shell: AnyShell, memory: KeyedStorage) -> None:
    """Also one inside a value, and one of a session that this request began."""
    header = stored(memory, cart=[1])
    ask(shell, header, lambda session: session["cart"], lambda session: session["cart"].append(2))
    assert kept(memory, header)["cart"] == [1, 2]
    begun, _, visit = ask(shell, None, sets(user=1), sets(late=1))
    assert dict(kept(memory, begun or "")) == {"user": 1, "late": 1}
    with pytest.raises(ResponseStarted):
        visit.session["user"] = 3


def test_a_late_look_saves_nothing(shell: AnyShell, memory: KeyedStorage) -> None:
    """And from the end on, a change raises."""
    header = stored(memory, cart=[1])
    for visit in (ask(shell, header, lambda s: s["cart"])[2], ask(shell, None)[2]):
        with pytest.raises(ResponseStarted):
            visit.session["late"] = 1


def test_a_late_change_that_nothing_can_carry_is_loud(shell_of: Make) -> None:
    """At the end of the request, if it was made inside a value; and still the request is over."""
    shell = shell_of(cycle_of(CookieStorage()))
    visit = read(shell)
    visit.session["cart"] = [1]
    shell.leave(visit)
    visit.session["cart"].append(2)
    with pytest.raises(ResponseStarted):
        shell.end(visit)
    with pytest.raises(ResponseStarted):
        visit.session["late"] = 1


def test_a_request_that_failed_late_keeps_nothing_more(
    shell: AnyShell, memory: KeyedStorage
) -> None:
    """What left with the headers stays."""
    header = stored(memory, user=1)
    visit = read(shell, header)
    visit.session["user"] = 2
    shell.leave(visit)
    visit.session["user"] = 3
    shell.end(visit, failed=True)
    assert kept(memory, header)["user"] == 2


# When the application shuts down


def test_what_the_storage_opened_is_closed(shell_of: Make) -> None:
    """It is opened again when it is used again."""

    class Opened(Drawer):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    storage = Opened()
    shell = shell_of(cycle_of(storage))
    shell.close()
    assert storage.closed == 1
    assert read(shell).session["user"] == 1


def test_another_cookie_is_none_of_ours(shell_of: Make, memory: KeyedStorage) -> None:
    """Two middlewares over one storage keep their sessions apart."""
    other = Cookie("other", secrets=[SECRET])
    header = stored(memory, user=1)
    ask(shell_of(cycle_of(memory)), header, sets(user=2))
    visit = read(shell_of(cycle_of(memory, other)), header.replace("name=", "other="))
    assert visit.session.is_new
