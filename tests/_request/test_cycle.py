"""The way of a request, decided in one place."""

import logging
import warnings
from typing import Any

import pytest

from coatcheck import (
    CoatcheckWarning,
    ConfigurationError,
    Context,
    Cookie,
    ResponseStarted,
    Session,
    SessionDestroyed,
    UnstorableValue,
)
from coatcheck._cookie.sealing import Opened
from coatcheck._request.cycle import DEFAULT_IDLE, Cycle, clock_of, is_async
from coatcheck._request.visit import NOTHING, VARY, Changes
from coatcheck._session.draft import Draft
from coatcheck.storage import AsyncKeyedStorage, CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.storage.backends.inline import InlineBackend
from coatcheck.storage.clock import system_clock
from coatcheck.testing import Clock
from tests._model.models import Plain
from tests._request.visits import (
    AFTER,
    BEFORE,
    COOKIE,
    PLACE,
    DictVisit,
    cycle_of,
    pair_of,
    stored,
)
from tests.hosts import SECRET


def served(cycle: Cycle, header: str | None = None, **facts: str) -> DictVisit:
    """Return a request whose session was read."""
    visit = DictVisit(header, **facts)
    visit.opened = cycle.cookie.open(header)
    if visit.opened is None:
        cycle.begin(visit)
    else:
        cycle.admit(visit, cycle.storage.read(visit.opened.text))
    return visit


def answered(cycle: Cycle, visit: DictVisit) -> str | None:
    """Let the headers of a request leave, and return its Set-Cookie header value."""
    due = cycle.leaving(visit, (), failed=False)
    value = cycle.storage.save(visit.session) if due == "save" else None
    assert value is None or isinstance(value, str)
    set_cookie = cycle.answer(visit, value) if due else None
    cycle.saved(visit.session)
    return set_cookie


# The set-up


def test_an_unsealed_cookie_is_refused() -> None:
    """Anybody could write a session of their own."""
    with pytest.raises(ConfigurationError, match="secrets"):
        Cycle(Cookie("name"), MemoryStorage())


def test_a_cookie_that_scripts_can_read_warns() -> None:
    """It works, and is weaker than it should be."""
    with pytest.warns(CoatcheckWarning, match="httponly"):
        Cycle(Cookie("name", secrets=[SECRET], httponly=False), MemoryStorage())


@pytest.mark.parametrize(
    "options",
    [
        {"idle": 0},
        {"idle": -1},
        {"idle": float("inf")},
        {"idle": float("nan")},
        {"lifetime": 0},
        {"lifetime": float("inf")},
        {"refresh": -0.1},
        {"refresh": 1.1},
        {"refresh": float("nan")},
        {"rotate": 299},
        {"rotate": float("inf")},
    ],
    ids=str,
)
def test_a_duration_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    """Configuration fails when the application starts."""
    with pytest.raises(ConfigurationError):
        cycle_of(**options)


def test_a_cookie_keeps_no_id_that_could_be_rotated() -> None:
    """The message says what `rotate` needs."""
    assert cycle_of(rotate=300.0).terms.rotate == 300
    with pytest.raises(ConfigurationError, match=r"rotate=300.*CookieStorage"):
        cycle_of(CookieStorage(), rotate=300)


def test_idle_is_the_cookies_max_age_unless_it_is_said() -> None:
    """And fourteen days if neither says."""
    with_age = Cookie("name", secrets=[SECRET], max_age=60)
    assert cycle_of(cookie=with_age).terms.idle == 60
    assert cycle_of(cookie=with_age, idle=30).terms.idle == 30
    assert cycle_of().terms.idle == DEFAULT_IDLE == 14 * 24 * 3600


def test_the_usual_configuration_is_quiet() -> None:
    """No warning without a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cycle_of(idle=60, lifetime=3600, refresh=0)


def test_a_storage_is_asynchronous_if_either_method_is() -> None:
    """The middleware asks before the first request."""

    class Half(CookieStorage):
        async def save(self, session: Session) -> None:  # type: ignore[override]
            """Do nothing."""

    assert is_async(Half())
    assert not is_async(CookieStorage())
    memory = MemoryStorage().backend
    assert is_async(AsyncKeyedStorage(InlineBackend(memory, memory)))


class Drawer:
    """A storage of the application's own, without a clock or any power."""

    def __init__(self) -> None:
        self.saved: list[Session] = []

    def read(self, value: str | None) -> Session:
        return Session({"user": 1}, id=value) if value else Session()

    def save(self, session: Session) -> str | None:
        self.saved.append(session)
        return None


def test_times_come_from_the_storages_clock() -> None:
    """Looked up on each call, because a test may put another clock there; else the system's."""
    storage = MemoryStorage(clock=Clock(1.0))
    clock = clock_of(storage)
    storage.clock = Clock(2.0)
    assert clock() == 2.0
    assert clock_of(Drawer()) is system_clock


# Before the handler


def test_a_session_is_put_where_handlers_look() -> None:
    """In the scope, and in the context."""
    cycle = cycle_of()
    for header in (None, stored(storage_of(cycle), user=1)):
        visit = served(cycle, header)
        assert visit.scope[PLACE] is visit.session
        assert Context(visit.scope).get(Session) is visit.session
        assert cycle.is_living(visit, visit.session) is (header is not None)


def storage_of(cycle: Cycle) -> KeyedStorage:
    assert isinstance(cycle.storage, KeyedStorage)
    return cycle.storage


def test_a_second_session_on_a_request_is_refused() -> None:
    """Two of one cookie would overwrite each other."""
    cycle, other = cycle_of(), cycle_of(cookie=Cookie("other", secrets=[SECRET]))
    with pytest.raises(ConfigurationError, match="twice"):
        cycle.check_outer(served(cycle).session)
    cycle.check_outer(served(other).session)
    cycle.check_outer({})


def test_a_storage_that_reads_no_session_is_refused() -> None:
    """The message names what came back."""
    with pytest.raises(ConfigurationError, match="dict"):
        cycle_of().admit(DictVisit(), {})


def test_a_model_describes_every_session() -> None:
    """One that was read, and one that is new; one that nobody looks at is still shared."""
    cycle = cycle_of(data=Plain)
    assert served(cycle, stored(storage_of(cycle), visits=2)).session.data.visits == 2
    visitor = served(cycle)
    assert visitor.session._draft.shared
    assert visitor.session.data.visits == 0
    unknown = DictVisit()
    cycle.admit(unknown, Session())
    assert unknown.session._draft.shared


def test_several_cookies_of_one_name_are_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line says what may be wrong, and not one a request."""
    cycle = cycle_of()
    for _ in range(3):
        cycle.note_twins(2)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "2 cookies named 'name'" in record.getMessage()


# Before the headers leave


def test_a_session_in_its_place_is_refused() -> None:
    """What somebody put there would not be saved."""
    cycle = cycle_of()
    visit = served(cycle)
    visit.scope[PLACE] = {}
    with pytest.raises(ConfigurationError, match="replaced"):
        cycle.leaving(visit, (), failed=False)
    assert cycle.leaving(visit, (), failed=True) == ""


def test_a_request_that_did_nothing_needs_nothing() -> None:
    """A visitor, and one whose session was only read."""
    cycle = cycle_of()
    for header in (None, stored(storage_of(cycle), user=1)):
        visit = served(cycle, header)
        visit.session.get("user")
        assert cycle.leaving(visit, (), failed=False) == ""


def test_a_change_is_saved_once() -> None:
    """The headers leave once, whatever a host tells."""
    cycle = cycle_of()
    visit = served(cycle)
    visit.session["user"] = 1
    assert [cycle.leaving(visit, (), failed=False) for _ in range(2)] == ["save", ""]


@pytest.mark.parametrize("header", [False, True], ids=["visitor", "stored"])
def test_after_a_failed_request_a_change_raises(
    caplog: pytest.LogCaptureFixture, *, header: bool
) -> None:
    """Nothing of it is kept, and no flash is consumed; it is a line for whoever looks."""
    caplog.set_level(logging.INFO, "coatcheck")
    cycle = cycle_of()
    visit = served(cycle, stored(storage_of(cycle), cart=[1]) if header else None)
    if header:
        visit.session["cart"].append(2)
        visit.session["user"] = 1
    assert cycle.leaving(visit, (), failed=True) == ""
    assert not visit.session.modified
    with pytest.raises(ResponseStarted):
        visit.session["late"] = 1
    assert ("the request failed" in caplog.text) is header


def test_a_value_that_cannot_be_stored_abandons_the_request() -> None:
    """The error's own answer is sent without a session."""
    cycle = cycle_of()
    visit = served(cycle, stored(storage_of(cycle), cart=[1]))
    visit.session["cart"].append(object())
    with pytest.raises(UnstorableValue):
        cycle.leaving(visit, (), failed=False)
    assert cycle.leaving(visit, (), failed=True) == ""
    assert not cycle.is_late(visit.session)


def test_a_sign_out_with_several_cookies_is_saved() -> None:
    """Also where the first of them leads to no session: the others are to be ended."""
    cycle = cycle_of()
    visit = served(cycle)
    visit.others = ("another",)
    visit.session.destroy()
    assert cycle.leaving(visit, (), failed=False) == "save"


def test_a_head_request_consumes_no_flash() -> None:
    """Nobody sees the body in which it would be shown."""
    cycle = cycle_of()
    session = Session()
    session.flash("notice", "Hi")
    header = pair_of(COOKIE, storage_of(cycle).save(session) or "")
    for method, due in (("HEAD", ""), ("GET", "save")):
        visit = served(cycle, header, method=method)
        assert visit.session["notice"] == "Hi"
        assert cycle.leaving(visit, (), failed=False) == due


def test_a_refresh_leaves_a_cookie_alone_that_the_application_set() -> None:
    """An inner application said more of the same cookie; a change is kept all the same."""
    clock = Clock()
    cycle = cycle_of(MemoryStorage(clock=clock), idle=100)
    header = stored(storage_of(cycle), user=1)
    clock.advance(50)
    ours, others = [(b"Set-Cookie", b"name=x")], [(b"set-cookie", b"names=x")]
    assert cycle.leaving(served(cycle, header), ours, failed=False) == ""
    assert cycle.leaving(served(cycle, header), others, failed=False) == "save"
    visit = served(cycle, header)
    visit.session["user"] = 2
    assert cycle.leaving(visit, ours, failed=False) == "save"


def test_an_id_that_is_due_is_rotated() -> None:
    """The next request gets another cookie, and the session is the same."""
    clock = Clock()
    cycle = cycle_of(MemoryStorage(clock=clock), rotate=300.0)
    header = stored(storage_of(cycle), user=1)
    clock.advance(300)
    visit = served(cycle, header)
    assert visit.session["user"] == 1
    newer = (answered(cycle, visit) or "").partition(";")[0]
    assert newer not in (header, "")
    assert served(cycle, newer).session["user"] == 1


# A cookie that an older secret sealed


@pytest.mark.parametrize("writes", [True, False])
def test_a_cookie_that_an_older_secret_sealed_is_sealed_anew(*, writes: bool) -> None:
    """Once, by the first secret, also in a request that only reads."""
    cycle = cycle_of(cookie=AFTER)
    header = stored(storage_of(cycle), BEFORE, user=1)
    visit = served(cycle, header)
    assert visit.opened
    if writes:
        visit.session["n"] = 1
    renewed = (answered(cycle, visit) or "").partition(";")[0]
    assert cycle.cookie.open(renewed) == Opened(visit.opened.text, stale=False)
    assert answered(cycle, served(cycle, renewed)) is None


@pytest.mark.parametrize("writes", [True, False])
def test_a_stale_cookie_never_takes_the_place_of_a_new_id(*, writes: bool) -> None:
    """A request that is overtaken by a new id seals the old one anew for nobody."""
    cycle = cycle_of(cookie=AFTER)
    header = stored(storage_of(cycle), BEFORE, user=1)
    slow, fast = served(cycle, header), served(cycle, header)
    fast.session.regenerate_id()
    assert answered(cycle, fast)
    if writes:
        slow.session["n"] = 1
    assert answered(cycle, slow) is None


def test_a_storage_of_ones_own_keeps_its_value_under_the_newer_secret() -> None:
    """It renews nothing by itself, so what its cookie carries is sealed anew as it is."""
    cycle = cycle_of(Drawer(), cookie=AFTER)
    visit = served(cycle, pair_of(BEFORE, "key"))
    assert cycle.leaving(visit, (), failed=False) == "cookie"
    renewed = (cycle.answer(visit, None) or "").partition(";")[0]
    assert cycle.cookie.open(renewed) == Opened("key", stale=False)


# What is added to the headers


def test_a_response_says_what_it_depends_on() -> None:
    """Nothing, if no handler looked; that it varies, if one did."""
    cycle = cycle_of()
    visit = served(cycle)
    assert cycle.changes(visit, None) is NOTHING
    visit.session.get("user")
    assert cycle.changes(visit, None) is VARY
    assert cycle.changes(visit, "name=x") == Changes(True, True, ("name=x",))


@pytest.mark.parametrize(
    ("remember", "attributes"),
    [
        (None, "; Max-Age=60; Path=/"),
        (True, "; Max-Age=60; Path=/"),
        (3600, "; Max-Age=3600; Path=/"),
        (False, "; Path=/"),
    ],
)
def test_a_sign_in_says_how_long_its_cookie_lives(remember: Any, attributes: str) -> None:
    """As the cookie is set up, for as long as it says, or until the browser is closed."""
    cycle = cycle_of(cookie=Cookie("name", secrets=[SECRET], max_age=60))
    visit = served(cycle)
    visit.session.sign_in("ada", remember=remember)
    set_cookie = answered(cycle, visit) or ""
    assert set_cookie.partition(";")[2].startswith(attributes[1:])


def test_a_first_cookie_that_will_be_lost_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    """Of a visitor who brought none; who brought one has shown that it is kept."""
    cycle = cycle_of()
    header = stored(storage_of(cycle), user=1)
    cycle.changes(served(cycle, header, scheme="http"), "name=x")
    assert caplog.records == []
    cycle.changes(served(cycle, None, scheme="http"), "name=x")
    assert "will be lost: it is Secure" in caplog.text


def test_a_cookie_may_be_taken_back(caplog: pytest.LogCaptureFixture) -> None:
    """Where it gives an id that leads to no session any more; other cookies stay."""
    cycle, carrying = cycle_of(), cycle_of(CookieStorage())
    changes = Changes(True, True, ("name=x; Path=/", "names=y"))
    for each, gives in ((cycle, True), (carrying, False)):
        visit = served(each)
        visit.session["user"] = 1
        answered(each, visit)
        assert each.gives_id(visit.session, changes) is gives
        assert not each.gives_id(visit.session, NOTHING)
    assert cycle.without_cookie(changes) == Changes(True, True, ("names=y",))
    assert caplog.records == []


# After the headers left


def test_a_late_change_is_saved_where_its_record_can_be_found() -> None:
    """Under the id that the client holds; a change that nothing can carry raises."""
    cycle = cycle_of()
    visit = served(cycle, stored(storage_of(cycle), cart=[1]))
    assert cycle.leaving(visit, (), failed=False) == ""
    assert not cycle.is_late(visit.session)
    visit.session["cart"].append(2)
    assert cycle.is_late(visit.session)
    with pytest.raises(ResponseStarted):
        visit.session.regenerate_id()


def test_a_new_session_can_be_changed_late_once_it_is_saved() -> None:
    """The response carries its id."""
    cycle = cycle_of()
    visit = served(cycle)
    visit.session["cart"] = [1]
    assert answered(cycle, visit)
    visit.session["cart"].append(2)
    assert cycle.is_late(visit.session)


@pytest.mark.parametrize("storage", [CookieStorage(), Drawer()], ids=["cookie", "one's own"])
def test_a_late_change_raises_where_nothing_can_carry_it(storage: Any) -> None:
    """At its line; one inside a value at the end of the request."""
    cycle = cycle_of(storage)
    visit = served(cycle)
    visit.session["cart"] = [1]
    answered(cycle, visit)
    with pytest.raises(ResponseStarted):
        visit.session["late"] = 1
    visit.session["cart"].append(2)
    with pytest.raises(ResponseStarted):
        cycle.is_late(visit.session)


def test_a_change_before_the_headers_is_no_late_one() -> None:
    """It is for the save before they leave."""
    cycle = cycle_of()
    visit = served(cycle)
    visit.session["user"] = 1
    assert not cycle.is_late(visit.session)


def test_a_session_that_was_ended_cannot_be_saved_again() -> None:
    """Nothing that comes late brings it back."""
    cycle = cycle_of()
    visit = served(cycle, stored(storage_of(cycle), user=1))
    visit.session.destroy()
    assert "Max-Age=0" in (answered(cycle, visit) or "")
    assert not cycle.saved(visit.session)
    with pytest.raises(SessionDestroyed):
        visit.session["user"] = 2


def test_a_request_is_over_if_nothing_can_be_left_to_save() -> None:
    """From then on, a change raises; a value that was handed out has to be looked at first."""
    cycle = cycle_of()
    header = stored(storage_of(cycle), cart=[1], n=1)
    for visit in (served(cycle), served(cycle, header)):
        visit.session.get("n")
        assert cycle.is_done(visit.session)
        with pytest.raises(ResponseStarted):
            visit.session["late"] = 1
    looked = served(cycle, header)
    assert looked.session["cart"] == [1]
    assert not cycle.is_done(looked.session)


def test_after_the_end_a_change_raises() -> None:
    """Of a session, and of the draft that all visitors share."""
    cycle = cycle_of()
    for end in (cycle.end, cycle.abandon):
        for visit in (served(cycle), served(cycle, stored(storage_of(cycle), user=1))):
            end(visit.session)
            with pytest.raises(ResponseStarted):
                visit.session["late"] = 1


# A WebSocket that is never accepted


def test_a_change_of_a_stored_session_needs_no_headers() -> None:
    """It is saved at the end."""
    cycle = cycle_of()
    visit = served(cycle, stored(storage_of(cycle), user=1))
    visit.session["user"] = 2
    cycle.never_start(visit)
    assert cycle.is_late(visit.session)


@pytest.mark.parametrize("change", ["new", "new id", "in a cookie"])
def test_a_change_that_needs_headers_is_loud(change: str) -> None:
    """The client would never learn of it."""
    cycle = cycle_of(CookieStorage() if change == "in a cookie" else None)
    visit = served(cycle, stored(storage_of(cycle), user=1) if change == "new id" else None)
    if change == "new id":
        visit.session.regenerate_id()
    else:
        visit.session["user"] = 1
    with pytest.raises(ResponseStarted, match="never accepted"):
        cycle.never_start(visit)


def test_a_look_without_headers_is_nothing() -> None:
    """Neither is a refresh: the next request makes it."""
    cycle = cycle_of()
    visitor, looked = served(cycle), served(cycle, stored(storage_of(cycle), cart=[1]))
    assert looked.session["cart"] == [1]
    for visit in (visitor, looked):
        cycle.never_start(visit)
        assert not cycle.is_late(visit.session)
    assert Draft().reach == "client"
