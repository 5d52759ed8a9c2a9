"""Sessions of other packages: adopted once, by every storage, and never again by a copy."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from coatcheck import BackendError, ConfigurationError, Cookie, Event, Session, Users, adopt
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck._request.visit import NOTHING, VARY, Changes
from coatcheck._session.adopted import old_id
from coatcheck._session.ids import key_of
from coatcheck._session.plan import look
from coatcheck._session.record import GRACE
from coatcheck.storage import CookieStorage, MemoryStorage, SessionStorage
from coatcheck.testing import Clock, failing
from tests._request.test_shell import AnyShell, Driven
from tests._request.visits import COOKIE, PLACE, DictVisit, cycle_of, header_after, kept
from tests.adopt.formats import VECTORS, AsyncRecords, Records, read, records_of
from tests.adopt.signed import reader, starlette
from tests.hosts import SECRET

EXPRESS = VECTORS["express/max_age"]
EXPRESS_COOKIE = f"connect.sid={EXPRESS['cookies']['connect.sid']}"
UNTIL = date(2099, 1, 1)
DAY = 24 * 3600


@pytest.fixture(params=["plain", "awaited"], autouse=True)
def _form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both shells, one after the other."""
    with asyncio.Runner() as runner:
        if request.param == "awaited":
            shell_of = staticmethod(lambda cycle: Driven(cycle, runner))
            monkeypatch.setattr(Site, "shell_of", shell_of)
        yield


class Site:
    """An application behind a shell, its storage, and a clock."""

    def __init__(self, storage: SessionStorage | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.storage = storage or MemoryStorage(clock=self.clock)
        options.setdefault("adopts", [reader()])
        self.shell = self.shell_of(cycle_of(self.storage, **options))

    @staticmethod
    def shell_of(cycle: Cycle) -> AnyShell:
        """Return the shell that carries the decisions out."""
        return Shell(cycle)

    def old(self, **values: Any) -> str:
        """Return the Cookie header of a session of the old package."""
        return starlette(self.clock.now, **(values or {"user": 42}))

    def begin(self, cookies: str | None) -> tuple[DictVisit, Session]:
        """Begin a request."""
        visit = DictVisit(cookies)
        assert self.shell.read(visit) is None
        return visit, visit.scope[PLACE]

    def ask(self, cookies: str | None, handler: Any = dict) -> tuple[Any, Changes]:
        """Serve a request; return what its handler returns, and what the headers get."""
        visit, session = self.begin(cookies)
        said = handler(session)
        changes = self.shell.leave(visit)
        self.shell.end(visit)
        return said, changes


def ours(changes: Changes) -> str:
    """Return the Cookie header of a browser that got our cookie."""
    (line,) = [line for line in changes.set_cookies if line.startswith("name=")]
    return line.partition(";")[0]


# ---- a session is adopted


def test_the_first_look_makes_it_a_session_of_ours() -> None:
    """The response sets our cookie and removes theirs, and no cache keeps it."""
    site = Site()
    said, changes = site.ask(site.old(user=42, cart=[1]))
    assert said == {"user": 42, "cart": [1]}
    removal, _ = changes.set_cookies
    assert removal.startswith("old=; Max-Age=0")
    assert (changes.vary, changes.private) == (True, True)
    assert site.ask(ours(changes)) == ({"user": 42, "cart": [1]}, VARY)


def test_a_request_that_does_not_look_keeps_nothing() -> None:
    """An image or a style sheet needs no session."""
    site = Site()
    _, changes = site.ask(site.old(), lambda _: None)
    assert changes == NOTHING


def test_changes_of_that_request_are_kept_with_it() -> None:
    """Values, values inside of values, and flashes."""
    site = Site(adopts=[adopt.Flask(secrets=["x"]), reader()])

    def handler(session: Session) -> None:
        session["cart"].append(2)
        session.flash("said", "hello")
        del session["user"]

    _, changes = site.ask(site.old(user=42, cart=[1]), handler)
    session = kept(site.storage, ours(changes), COOKIE)  # type: ignore[arg-type]
    assert dict(session) == {"cart": [1, 2]}
    assert session.get("said") == "hello"


def test_their_flashes_are_ours() -> None:
    """They are shown once."""
    vector = VECTORS["flask/flashes_permanent"]
    site = Site(adopts=[adopt.Flask(secrets=vector["secrets"])])
    site.clock.now = vector["now"]
    said, changes = site.ask(
        f"session={vector['cookies']['session']}", lambda session: session.get("message")
    )
    assert said == "hi"
    assert site.ask(ours(changes), lambda session: session.get("message"))[0] is None


def test_created_is_theirs() -> None:
    """So `lifetime` counts from when the old package signed it; and it may be over."""
    site = Site(lifetime=2 * DAY)
    old = site.old()
    site.clock.advance(DAY)
    _, changes = site.ask(old)
    site.clock.advance(DAY - 1)
    assert site.ask(ours(changes))[0] == {"user": 42}
    site.clock.advance(2)
    assert site.ask(ours(changes))[0] == {}
    assert Site(lifetime=DAY).ask(starlette(1_800_000_000 - DAY, user=1))[0] == {}


def test_a_failed_request_adopts_nothing() -> None:
    """The next one does."""
    site = Site()
    visit, session = site.begin(site.old())
    assert session["user"] == 42
    assert site.shell.leave(visit, failed=True).set_cookies == ()
    assert site.ask(site.old())[1].set_cookies


def test_a_typed_session_is_adopted_too() -> None:
    """`session.data` is made of their values."""
    from dataclasses import dataclass

    @dataclass
    class Visit:
        user: int = 0

    site = Site(data=Visit)
    assert site.ask(site.old(), lambda session: session.data.user)[0] == 42


def test_a_sign_in_in_the_same_request_goes_on_with_it() -> None:
    """What the visitor collected stays; the id is new anyway."""
    site = Site()
    _, changes = site.ask(site.old(cart=[1]), lambda session: session.sign_in("ada"))
    session = kept(site.storage, ours(changes), COOKIE)  # type: ignore[arg-type]
    assert session.signed_in
    assert session.signed_in.user == "ada"
    assert dict(session) == {"cart": [1]}


def test_a_user_that_the_application_keeps_is_signed_in_since_then() -> None:
    """`user_key`: such a sign-in is as old as the old package's signature."""
    site = Site(user_key="user")
    old, at = site.old(), site.clock.now
    site.clock.advance(DAY)
    _, changes = site.ask(old)
    session = kept(site.storage, ours(changes), COOKIE)  # type: ignore[arg-type]
    assert session.signed_in
    assert (session.signed_in.user, session.signed_in.signed_in_at.timestamp()) == ("42", at)


def test_an_adopted_session_is_listed_from_when_it_was_signed() -> None:
    """A sign-out everywhere after that refuses it; a sign-in by the handler counts as of now."""
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    users = Users(COOKIE, storage)
    site = Site(storage, users=users, user_key="user")
    first, second, third = (site.old(user=42, n=n) for n in range(3))
    site.ask(first)
    assert [each.label for each in users.sessions_of("42")] == [""]
    clock.advance(DAY)
    assert users.end_all("42") == 1
    assert users.end_all("ada") == 0
    assert not any(line.startswith("name=") for line in site.ask(second)[1].set_cookies)
    site.ask(third, lambda session: session.set("user", "ada"))
    assert len(users.sessions_of("ada")) == 1
    assert users.sessions_of("42") == []


def test_two_first_requests_make_one_entry() -> None:
    """The one that loses the race withdraws its own."""
    storage = MemoryStorage(clock=Clock())
    users = Users(COOKIE, storage)
    site = Site(storage, users=users, user_key="user")
    old = site.old()
    visits = [site.begin(old) for _ in range(2)]
    for visit, session in visits:
        dict(session)
        site.shell.leave(visit)
    assert len(users.sessions_of("42")) == 1


def test_an_empty_session_of_theirs_is_none() -> None:
    """There is nothing to keep."""
    site = Site()
    assert site.ask(starlette(site.clock.now)) == ({}, VARY)


# ---- once, and never by a copy


@pytest.mark.parametrize("spelling", ["{}", "x=1;  {}  ; y=2", '{name}="{value}"'])
def test_no_copy_signs_in_again_after_the_sign_out(spelling: str) -> None:
    """In whatever spelling, for as long as the old cookie could live."""
    site = Site()
    old = site.old()
    name, _, value = old.partition("=")
    copy = spelling.format(old, name=name, value=value)
    header = ours(site.ask(old)[1])
    site.ask(header, lambda session: session.destroy())
    for _ in range(13):
        said, changes = site.ask(copy)
        assert said == {}
        assert changes.set_cookies == ()
        site.clock.advance(DAY)


def test_no_copy_signs_in_again_after_our_session_ended_by_itself() -> None:
    """The old package would have taken its cookie for longer."""
    site = Site(idle=DAY)
    old = site.old()
    site.ask(old)
    site.clock.advance(DAY + 1)
    assert site.ask(old)[0] == {}
    site.clock.advance(12 * DAY)
    assert site.ask(old)[0] == {}


def test_for_the_grace_the_old_cookie_goes_on_under_the_new_id() -> None:
    """An answer may be lost; after 15 minutes a copy is nobody, and may begin anew."""
    site = Site()
    old = site.old()
    site.ask(old)
    site.clock.advance(GRACE - 1)
    said, changes = site.ask(old)
    assert said == {"user": 42}
    assert site.ask(ours(changes))[0] == {"user": 42}
    site.clock.advance(1)
    assert site.ask(old)[0] == {}
    said, changes = site.ask(old, lambda session: session.update(new=1))
    assert site.ask(ours(changes))[0] == {"new": 1}


def test_within_a_minute_of_a_sign_out_a_copy_writes_nothing() -> None:
    """As with every id that was changed: the browser is about to get another answer."""
    site = Site()
    old = site.old()
    site.ask(ours(site.ask(old)[1]), lambda session: session.destroy())
    _, changes = site.ask(old, lambda session: session.update(new=1))
    assert [line.partition(";")[0] for line in changes.set_cookies] == ["old="]


def test_a_sign_out_with_the_old_cookie_ends_the_session() -> None:
    """Who holds an old id can sign out, also long after."""
    site = Site()
    old = site.old()
    header = ours(site.ask(old)[1])
    site.clock.advance(DAY)
    _, changes = site.ask(old, lambda session: session.destroy())
    assert header_after(header, changes) is None
    assert site.ask(header)[0] == {}


@pytest.mark.parametrize("handler", [Session.destroy, Session.clear])
def test_a_first_request_that_ends_the_session_uses_the_old_cookie_up(handler: Any) -> None:
    """The first click may be "sign out"."""
    site = Site()
    old = site.old()
    _, changes = site.ask(old, handler)
    assert any(line.startswith("old=; Max-Age=0") for line in changes.set_cookies)
    assert site.ask(old)[0] == {}
    site.clock.advance(61)
    _, changes = site.ask(old, lambda session: session.update(new=1))
    assert site.ask(ours(changes))[0] == {"new": 1}


def test_a_sign_out_beside_a_first_request_wins() -> None:
    """Whichever is first: the session is gone, and no answer brings it back."""
    for first in (0, 1):
        site = Site()
        old = site.old()
        requests = [site.begin(old), site.begin(old)]
        requests[0][1].destroy()
        assert requests[1][1]["user"] == 42
        answers = [
            site.shell.leave(visit)
            for visit, _ in (requests if first else list(reversed(requests)))
        ]
        for changes in answers:
            for line in changes.set_cookies:
                if line.startswith("name="):
                    assert site.ask(line.partition(";")[0])[0] == {}
        assert site.ask(old)[0] == {}


def test_three_first_requests_make_one_session() -> None:
    """Each keeps its change; every answer's cookie leads there."""
    site = Site()
    old = site.old()
    requests = [site.begin(old) for _ in range(3)]
    for number, (_, session) in enumerate(requests):
        session[f"key{number}"] = number
    headers = {ours(site.shell.leave(visit)) for visit, _ in requests}
    assert len(headers) == 1
    assert site.ask(headers.pop())[0] == {"user": 42, "key0": 0, "key1": 1, "key2": 2}


def test_of_two_first_requests_one_may_sign_in() -> None:
    """Its id is newer; the other one's cookie is that of the adopted session."""
    site = Site()
    old = site.old()
    slow, fast = site.begin(old), site.begin(old)
    assert fast[1]["user"] == 42
    site.shell.leave(fast[0])
    slow[1].sign_in("ada")
    header = ours(site.shell.leave(slow[0]))
    assert site.ask(header, lambda session: session.signed_in.user)[0] == "ada"


def test_two_applications_adopt_one_session_each_for_itself() -> None:
    """On one storage, with cookies of two names."""
    site = Site()
    other = Site(site.storage, cookie=Cookie("other", secrets=[SECRET]))
    old = site.old()
    assert site.ask(old)[0] == other.ask(old)[0] == {"user": 42}


# ---- our own cookie comes first


def test_with_a_session_of_ours_theirs_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    """If theirs still arrives, one line says what to set; a sign-out removes it, too."""
    site = Site()
    header = ours(site.ask(site.old())[1])
    for _ in range(2):
        said, changes = site.ask(f"{header}; {site.old(user=1)}")
        assert said == {"user": 42}
        assert changes.set_cookies == ()
    (line,) = [each for each in caplog.messages if "still arrives" in each]
    assert "cookie 'old' of another package still arrives beside cookie 'name'" in line
    assert "path= and domain=" in line
    _, changes = site.ask(f"{header}; {site.old()}", lambda session: session.destroy())
    assert {each.partition("=")[0] for each in changes.set_cookies} == {"old", "name"}


def test_a_cookie_of_ours_that_leads_nowhere_does_not_hide_theirs() -> None:
    """Such as one whose session expired before the application moved back and forth."""
    site = Site(idle=DAY)
    header = ours(site.ask(site.old(user=1))[1])
    site.clock.advance(30 * DAY)
    assert site.ask(f"{header}; {site.old(user=2)}")[0] == {"user": 2}


def test_both_cookies_may_have_one_name() -> None:
    """Ours replaces theirs, so no removal is sent; beside ours, theirs is still found."""
    site = Site(adopts=[reader("name")])
    said, changes = site.ask(starlette(site.clock.now, "name", user=42))
    assert said == {"user": 42}
    assert [line.partition("=")[0] for line in changes.set_cookies] == ["name"]
    dead = ours(changes)
    site.ask(dead, lambda session: session.destroy())
    later = starlette(site.clock.now + 1, "name", user=43)
    assert site.ask(f"{dead}; {later}")[0] == {"user": 43}


def test_a_session_whose_id_changed_is_ours() -> None:
    """The browser is about to get the newer cookie: theirs is not looked at."""
    site = Site()
    header = ours(site.ask(None, lambda session: session.update(a=1))[1])
    site.ask(header, lambda session: session.sign_in("ada"))
    assert site.ask(f"{header}; {site.old()}")[0] == {}


def test_the_readers_are_asked_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """The first that finds a session counts; a refusal is told with its reason, and no value."""
    caplog.set_level(logging.INFO, "coatcheck")
    site = Site(adopts=[adopt.Flask(secrets=["x"], name="old"), reader()])
    assert site.ask(site.old())[0] == {"user": 42}
    refused, adopted = caplog.messages
    assert refused == "a cookie of another package was refused: <adopt.Flask 'old'>: seal"
    assert adopted == "a session of another package was adopted: <adopt.Starlette 'old'>"


def test_each_adoption_and_each_refusal_is_one_event() -> None:
    """Of three first requests one adopts. The reason names the reader; nothing else is told."""
    told: list[Event] = []
    readers = [adopt.Flask(secrets=["x"], name="old"), reader()]
    site = Site(adopts=readers, on_event=told.append)
    old = site.old(user="a-value")
    requests = [site.begin(old) for _ in range(3)]
    for visit, session in requests:
        assert session["user"] == "a-value"
        site.shell.leave(visit)
    found = [(each.kind, each.reason) for each in told if each.kind in ("adopted", "refused")]
    assert found == [("refused", "Flask: seal")] * 3 + [("adopted", "Starlette")]
    assert "started" not in {each.kind for each in told}
    assert "a-value" not in repr(told)
    clock = Clock()
    site = Site(CookieStorage(clock=clock), adopts=[reader(until=UNTIL)], on_event=told.append)
    told.clear()
    site.ask(site.old(), lambda session: session.sign_in("ada"))
    assert {"adopted", "signed_in"} <= {each.kind for each in told}


def test_after_its_date_a_reader_is_off() -> None:
    """`until`; by the storage's clock."""
    site = Site(adopts=[reader(until=date(2027, 1, 16))])
    assert site.ask(site.old())[0] == {"user": 42}
    site.clock.advance(2 * DAY)
    assert site.ask(site.old(user=43))[0] == {}


def test_a_reader_may_leave_the_old_cookie_there() -> None:
    """While an application may move back; the sign-out removes it."""
    site = Site(adopts=[reader(keep_cookie=True)])
    old = site.old()
    _, changes = site.ask(old)
    header = ours(changes)
    assert len(changes.set_cookies) == 1
    _, changes = site.ask(f"{header}; {old}", lambda session: session.destroy())
    assert len(changes.set_cookies) == 2
    assert site.ask(old)[0] == {}


# ---- records on a server


def test_their_record_stays_unless_it_is_taken() -> None:
    """`take=True` deletes it after our save; a parallel request is still served."""
    for take in (False, True):
        client = Records(records_of(EXPRESS))
        site = Site(adopts=[adopt.Express(client, secrets=EXPRESS["secrets"], take=take)])
        said, changes = site.ask(EXPRESS_COOKIE)
        assert said["user_id"] == 42
        assert bool(client.records) is not take
        assert site.ask(EXPRESS_COOKIE)[0] == said
        site.ask(ours(changes), lambda session: session.destroy())
        assert site.ask(EXPRESS_COOKIE)[0] == {}


def test_a_taken_record_that_was_never_adopted_is_gone() -> None:
    """An id that nobody adopted leads nowhere."""
    site = Site(adopts=[adopt.Express(Records({}), secrets=EXPRESS["secrets"], take=True)])
    assert site.ask(EXPRESS_COOKIE)[0] == {}


def test_a_record_that_cannot_be_taken_stays(caplog: pytest.LogCaptureFixture) -> None:
    """The session is one of ours all the same."""

    class Stuck(Records):
        def execute_command(self, command: str, key: str) -> Any:
            if command == "DEL":
                raise OSError
            return super().execute_command(command, key)

    client = Stuck(records_of(EXPRESS))
    site = Site(adopts=[adopt.Express(client, secrets=EXPRESS["secrets"], take=True)])
    assert ours(site.ask(EXPRESS_COOKIE)[1])
    assert "stays where it was" in caplog.text


def test_a_record_that_the_old_package_renews_is_remembered_for_longer() -> None:
    """Its end tells nothing: each visit there moves it."""
    client = Records(records_of(EXPRESS), ttl=60)
    site = Site(adopts=[adopt.Express(client, secrets=EXPRESS["secrets"])])
    site.ask(ours(site.ask(EXPRESS_COOKIE)[1]), lambda session: session.destroy())
    site.clock.advance(390 * DAY)
    assert site.ask(EXPRESS_COOKIE)[0] == {}


def test_a_reader_that_stops_need_not_be_remembered_for_longer() -> None:
    """After `until` no cookie of the package is looked at."""
    client = Records(records_of(EXPRESS))
    readers = [adopt.Express(client, secrets=EXPRESS["secrets"], until=date(2027, 2, 1))]
    site = Site(adopts=readers)
    site.ask(EXPRESS_COOKIE)
    digest = read(readers[0], EXPRESS["cookies"], site.clock.now).digest
    storage: Any = site.storage
    marker = storage._carry_out(look(storage.space, key_of(old_id(digest, "name"))))
    assert marker.kept.expires == readers[0].until


class Down(Records):
    """A server that does not answer."""

    def execute_command(self, command: str, key: str) -> Any:  # noqa: ARG002
        raise OSError


def test_an_outage_of_their_server_is_like_one_of_ours() -> None:
    """`on_outage` decides: an error, or an empty session that is not kept."""
    readers = [adopt.Express(Down({}), secrets=EXPRESS["secrets"])]
    with pytest.raises(BackendError, match="other package"):
        Site(adopts=readers).ask(EXPRESS_COOKIE)
    said, changes = Site(adopts=readers, on_outage="anonymous").ask(EXPRESS_COOKIE)
    assert (said, changes.set_cookies) == ({}, ())


def test_while_our_storage_fails_nothing_is_adopted() -> None:
    """Nothing tells whether the cookie was used before."""
    site = Site(on_outage="anonymous")
    old = site.old()
    with failing(site.storage):
        said, changes = site.ask(old)
    assert (said, changes.set_cookies) == ({}, ())
    assert site.ask(old)[0] == {"user": 42}


def test_while_a_server_fails_the_answer_may_be_503() -> None:
    """`on_outage="unavailable"`: of our storage, and of the old package's server."""
    site = Site(on_outage="unavailable")
    with failing(site.storage):
        answer = site.shell.read(DictVisit(site.old()))
    assert answer is not None
    assert answer.status == 503
    readers = [adopt.Express(Down({}), secrets=EXPRESS["secrets"])]
    answer = Site(adopts=readers, on_outage="unavailable").shell.read(DictVisit(EXPRESS_COOKIE))
    assert answer is not None
    assert answer.status == 503


# ---- a session that the cookie carries


def test_a_cookie_storage_adopts_and_remembers_nothing() -> None:
    """A copy of the old cookie works until `until`, as it did; so that must be said."""
    clock = Clock()
    site = Site(CookieStorage(clock=clock), adopts=[reader(until=UNTIL)])
    old = site.old()
    said, changes = site.ask(old)
    assert said == {"user": 42}
    assert site.ask(ours(changes))[0] == {"user": 42}
    assert site.ask(old)[0] == {"user": 42}
    _, changes = site.ask(old, lambda session: session.destroy())
    assert [line.partition(";")[0] for line in changes.set_cookies] == ["old="]


# ---- set up


@pytest.mark.parametrize(
    ("adopts", "message"),
    [
        (reader(), "adopts must be a list of readers"),
        ([adopt.Starlette], "must be readers of coatcheck.adopt"),
        (["flask"], "must be readers of coatcheck.adopt"),
        (5, "adopts must be a list of readers"),
        ([reader(max_age=None)], "needs until="),
        ([adopt.CookieSession(secrets=["x"])], "needs until=: its cookies have no end"),
        ([adopt.AiohttpSession(secrets=["x" * 32])], "needs until="),
    ],
)
def test_readers_that_cannot_work_are_told(adopts: Any, message: str) -> None:
    """When the middleware is made."""
    with pytest.raises(ConfigurationError, match=message):
        Site(adopts=adopts)


def test_a_storage_without_a_place_for_markers_needs_until() -> None:
    """Or a copy would sign in for ever."""
    with pytest.raises(ConfigurationError, match="needs until=: this storage has no place"):
        Site(CookieStorage())
    endless = adopt.CookieSession(secrets=["x"], until=UNTIL)
    Site(CookieStorage(), adopts=[endless])


def test_wsgi_needs_a_plain_client() -> None:
    """An awaited one cannot be asked there."""
    with pytest.raises(ConfigurationError, match="must have a plain client under WSGI"):
        Shell(cycle_of(adopts=[adopt.Express(AsyncRecords({}), secrets=["x"])]))


# ---- the awaited shell


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop."""
    with asyncio.Runner() as found:
        yield found


@pytest.mark.parametrize("kind", [Records, AsyncRecords])
def test_an_event_loop_never_waits_for_their_server(kind: Any, runner: asyncio.Runner) -> None:
    """A plain client is asked in a thread, an awaited one is awaited; so is the deletion."""
    client = kind(records_of(EXPRESS))
    readers = [adopt.Express(client, secrets=EXPRESS["secrets"], take=True)]
    shell = AsyncShell(cycle_of(MemoryStorage(), adopts=readers))

    async def asked(cookies: str) -> tuple[Any, Changes]:
        visit = DictVisit(cookies)
        await shell.read(visit)
        said = dict(visit.session)
        changes = await shell.leave(visit)
        await shell.end(visit)
        return said, changes

    said, changes = runner.run(asked(EXPRESS_COOKIE))
    assert said["user_id"] == 42
    assert not client.records
    assert runner.run(asked(ours(changes)))[0] == said


def test_without_the_option_nothing_is_asked() -> None:
    """The decisions know of none."""
    assert cycle_of(MemoryStorage()).adoption is None
