"""Who is signed in, and what changes it."""

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from coatcheck import ConfigurationError, Session, SessionDestroyed
from coatcheck._cookie.pins import Pins
from coatcheck._session.record import Contents, Terms, Who
from coatcheck._session.sign_in import Repin, SignIn
from coatcheck.csrf import csrf_token, is_csrf_token
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.testing import Clock

SECRET = "a secret of more than thirty-two characters"
PINS = Pins([SECRET])


@pytest.fixture
def memory(clock: Clock) -> KeyedStorage:
    """A storage whose times come from the test's clock."""
    return MemoryStorage(clock=clock)


def session_at(clock: Clock, **more: Any) -> Session:
    """Return a new session whose times come from the clock."""
    session = Session()
    session._own.terms = Terms(clock=clock, pins=PINS, **more)
    return session


@pytest.mark.parametrize(
    ("user", "text"),
    [("ada", "ada"), (42, "42"), (UUID(int=7), "00000000-0000-0000-0000-000000000007")],
)
def test_a_user_is_kept_as_text(user: Any, text: str, clock: Clock) -> None:
    """An int and a UUID are, too; it is visible in the same request."""
    session = session_at(clock)
    assert session.signed_in is None
    session.sign_in(user, label="Firefox on Windows")
    now = datetime.fromtimestamp(clock(), UTC)
    found = session.signed_in
    assert found and (found.user, found.label, found.actor) == (text, "Firefox on Windows", None)
    assert (found.signed_in_at, found.confirmed_at) == (now, now)


@pytest.mark.parametrize("user", [None, True, 1.5, b"ada", ["ada"]])
def test_what_is_no_user_is_refused(user: Any, clock: Clock) -> None:
    """The message names the types that are."""
    with pytest.raises(TypeError, match="must be text, an int or a UUID"):
        session_at(clock).sign_in(user)


def test_an_empty_user_is_refused(clock: Clock) -> None:
    """It would be one person for all who have none."""
    with pytest.raises(ValueError, match="must not be empty"):
        session_at(clock).sign_in("")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": b"Firefox"}, "label must be text, got bytes"),
        ({"label": ["Firefox"]}, "label must be text, got list"),
        ({"pin": b"hash"}, "pin must be text, got bytes"),
        ({"keep": "theme"}, r"several keys, as in keep=\['theme'\], got one text"),
        ({"keep": [1]}, "several keys, .* got list"),
        ({"keep": 5}, "several keys, .* got int"),
    ],
)
def test_what_is_kept_with_a_sign_in_is_text(
    given: dict[str, Any], message: str, clock: Clock
) -> None:
    """A label of another type would damage the list of the user's sessions."""
    with pytest.raises(TypeError, match=message):
        session_at(clock).sign_in("ada", **given)
    session = session_at(clock)
    session.sign_in("ada", pin="hash")
    with pytest.raises(TypeError, match="pin must be text, got bytes"):
        session.confirm(pin=b"hash")  # type: ignore[arg-type]
    assert session.signed_in
    with pytest.raises(TypeError, match="pin must be text, got bytes"):
        session.signed_in.holds(b"hash")  # type: ignore[arg-type]
    assert not session.signed_in.holds(None)


def test_a_text_that_no_record_can_hold_is_refused(clock: Clock) -> None:
    """Parsed JSON may bring half a character; the message shows no text."""
    session = session_at(clock)
    with pytest.raises(ValueError, match="user must be text that UTF-8 has"):
        session.sign_in("\ud800")
    with pytest.raises(ValueError, match="label must be text that UTF-8 has"):
        session.sign_in("ada", label="\ud800")
    session.sign_in("Ådá")
    with pytest.raises(ValueError, match="got a lone surrogate"):
        session.act_as("\ud800")
    assert session.signed_in and session.signed_in.user == "Ådá"


class Role(str, Enum):  # noqa: UP042 - such a text says another text of itself
    """A user's name as a text of a type of its own."""

    SUPPORT = "support"


def test_a_text_of_a_subclass_counts_as_what_it_holds(memory: KeyedStorage) -> None:
    """The sign-in is read back as it was."""
    session = memory.read(None)
    session.sign_in(Role.SUPPORT, label=Role.SUPPORT)
    read = memory.read(memory.save(session))
    assert read.signed_in and (read.signed_in.user, read.signed_in.label) == ("support", "support")


def test_what_a_visitor_collected_stays(memory: KeyedStorage) -> None:
    """And a new id and a new handle are given."""
    session = memory.read(None)
    session["cart"] = ["tea"]
    value = memory.save(session)
    session = memory.read(value)
    session.sign_in("ada")
    newer = memory.save(session)
    assert newer and newer != value
    assert dict(memory.read(newer)) == {"cart": ["tea"]}


def test_what_another_user_left_goes(memory: KeyedStorage) -> None:
    """But not what the request writes, nor a key that is to stay."""
    session = memory.read(None)
    session.update(cart=["tea"], theme="dark")
    session.sign_in("ada")
    session.flash("notice", "Welcome, Ada.")
    session = memory.read(memory.save(session))
    cart = session["cart"]
    session["came_from"] = "/shop"
    session.sign_in("bob", keep=["theme"])
    cart.append("a change of what is gone")
    assert session.get("notice") is None
    assert dict(session) == {"theme": "dark", "came_from": "/shop"}
    found = memory.read(memory.save(session))
    assert dict(found) == {"theme": "dark", "came_from": "/shop"}
    assert found.signed_in and found.signed_in.user == "bob"


def test_nothing_stays_if_nothing_is_to_be_kept(memory: KeyedStorage) -> None:
    """Not of a visitor's session either."""
    session = memory.read(None)
    session["cart"] = ["tea"]
    session.sign_in("ada", keep=False)
    session["theme"] = "dark"
    assert dict(memory.read(memory.save(session))) == {"theme": "dark"}


def test_a_sign_in_of_the_same_user_keeps_the_data(memory: KeyedStorage) -> None:
    """With another id and another handle."""
    session = memory.read(None)
    session["cart"] = ["tea"]
    session.sign_in("ada")
    session = memory.read(memory.save(session))
    handle = session.signed_in.handle if session.signed_in else ""
    session.sign_in("ada")
    found = memory.read(memory.save(session))
    assert found.signed_in and found.signed_in.handle != handle
    assert dict(found) == {"cart": ["tea"]}


def test_a_sign_in_is_fresh_for_a_while(clock: Clock) -> None:
    """Until so many seconds after it, and again after confirm()."""
    session = session_at(clock)
    session.sign_in("ada")
    clock.advance(300)
    assert session.signed_in and session.signed_in.is_fresh(300)
    assert session.signed_in.is_fresh(timedelta(minutes=5))
    clock.advance(1)
    assert not session.signed_in.is_fresh(300)
    session.confirm()
    assert session.signed_in.is_fresh(0)
    assert session.signed_in.signed_in_at < session.signed_in.confirmed_at


def test_a_pin_is_recognized(clock: Clock) -> None:
    """Another text is none, and confirm() takes a new one."""
    session = session_at(clock)
    session.sign_in("ada", pin="old hash")
    assert session.signed_in and session.signed_in.holds("old hash")
    assert not session.signed_in.holds("new hash")
    session.confirm(pin="new hash")
    assert session.signed_in.holds("new hash") and not session.signed_in.holds("old hash")
    session.sign_in("ada")
    assert not session.signed_in.holds("")


def test_a_pin_needs_secrets(memory: KeyedStorage) -> None:
    """A session that no middleware made has none."""
    with pytest.raises(ConfigurationError, match="needs the secrets of a cookie"):
        memory.read(None).sign_in("ada", pin="hash")


@pytest.mark.parametrize(
    ("remember", "own", "idle", "max_age"),
    [
        (None, 60, None, None),
        (False, 60, None, 0),
        (True, 60, 60.0, 60),
        (True, None, 2_592_000.0, 2_592_000),
        (90, 60, 90.0, 90),
        (timedelta(days=1), 60, 86_400.0, 86_400),
    ],
)
def test_a_sign_in_chooses_the_kind_of_cookie(
    remember: Any, own: int | None, idle: float | None, max_age: int | None, clock: Clock
) -> None:
    """0 stands for a cookie without Max-Age; None for the cookie as it is set up."""
    session = session_at(clock, max_age=own)
    session.sign_in("ada", remember=remember)
    who = session._draft.contents.who
    assert who and (who.idle, who.max_age) == (idle, max_age)


def test_acting_shows_the_user_and_the_actor(memory: KeyedStorage) -> None:
    """What the actor left is hidden from the user's pages, and the other way round."""
    session = memory.read(None)
    session["notes"] = "of the staff"
    session.sign_in("staff")
    session = memory.read(memory.save(session))
    session.act_as(42)
    assert session.signed_in and (session.signed_in.user, session.signed_in.actor) == (
        "42",
        "staff",
    )
    assert not dict(session)
    session["page"] = "of the user"
    session = memory.read(memory.save(session))
    session.stop_acting()
    found = memory.read(memory.save(session))
    assert found.signed_in and (found.signed_in.user, found.signed_in.actor) == ("staff", None)
    assert not dict(found)


@pytest.fixture
def acting(memory: KeyedStorage) -> str:
    """A session whose staff acts as user 42 for an hour."""
    session = memory.read(None)
    session["notes"] = "of the staff"
    session.sign_in("staff")
    session = memory.read(memory.save(session))
    session.act_as(42)
    session["page"] = "of the user"
    value = memory.save(session)
    assert value
    return value


def test_acting_ends_by_itself(memory: KeyedStorage, acting: str, clock: Clock) -> None:
    """With the same id the session is the actor's again, empty, with another CSRF value."""
    before = memory.read(acting)
    clock.advance(3600)
    found = memory.read(acting)
    assert found.signed_in and before.signed_in
    assert (found.signed_in.user, found.signed_in.actor) == ("staff", None)
    assert found.signed_in.handle == before.signed_in.handle
    assert not dict(found)
    assert not is_csrf_token(found, csrf_token(before))
    found["notes"] = "of the staff"
    assert memory.save(found) == acting  # renewed: the save tells that the acting is over
    assert dict(memory.read(acting)) == {"notes": "of the staff"}


def act(session: Session) -> None:
    session.act_as(7)


@pytest.mark.parametrize(
    "late",
    [None, Session.stop_acting, Session.regenerate_id, act],
    ids=["save", "stop", "id", "act"],
)
@pytest.mark.parametrize("written", [True, False], ids=["written", "untouched"])
def test_a_late_write_of_the_acting_time_is_dropped(
    memory: KeyedStorage,
    acting: str,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    late: Any,
    *,
    written: bool,
) -> None:
    """With a warning that says why; the actor stays signed in."""
    slow = memory.read(acting)
    slow["page"] = "again"
    if late:
        late(slow)
    clock.advance(3600)
    if written:
        session = memory.read(acting)
        session["notes"] = "of the staff"
        memory.save(session)
    assert memory.save(slow) is None
    found = memory.read(acting)
    assert found.signed_in and found.signed_in.user == "staff"
    assert dict(found) == ({"notes": "of the staff"} if written else {})
    assert "belongs to acting as another user" in caplog.text


def test_a_sign_in_or_a_sign_out_that_began_while_acting_goes_on(
    memory: KeyedStorage, acting: str, clock: Clock
) -> None:
    """They mean another person than the actor."""
    signs_in, signs_out = memory.read(acting), memory.read(acting)
    clock.advance(3600)
    signs_in.sign_in("bob")
    found = memory.read(memory.save(signs_in))
    assert found.signed_in and found.signed_in.user == "bob" and not dict(found)
    signs_out.destroy()
    memory.save(signs_out)
    assert memory.read(acting).signed_in is None


def test_acting_in_a_cookie_ends_by_itself(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The cookie stays what it is; what it carries of the user reads as nothing."""
    storage = CookieStorage(clock=clock)
    session = storage.read(None)
    session.sign_in("staff")
    session.act_as(42)
    session["page"] = "of the user"
    value = storage.save(session)
    slow = storage.read(value)
    clock.advance(3600)
    slow["page"] = "again"
    assert storage.save(slow) is None
    assert "belongs to acting as another user" in caplog.text
    found = storage.read(value)
    assert found.signed_in and found.signed_in.user == "staff" and not dict(found)


def test_a_confirm_is_part_of_what_came_before_it(memory: KeyedStorage) -> None:
    """In one request: what another user left goes, a named key stays, and tokens change."""
    session = memory.read(None)
    session.update(theme="dark", cart=["tea"])
    session.sign_in("ada")
    session = memory.read(memory.save(session))
    token = csrf_token(session)
    session.sign_in("bob", keep=["theme"])
    session.confirm()
    session = memory.read(memory.save(session))
    assert dict(session) == {"theme": "dark"}
    assert not is_csrf_token(session, token)
    token = csrf_token(session)
    session.regenerate_id()
    session.confirm()
    assert not is_csrf_token(memory.read(memory.save(session)), token)


def test_a_pin_of_an_older_secret_is_kept_anew(clock: Clock) -> None:
    """When it is recognized; then the older secret is needed no more."""
    newer = "another secret of more than thirty-two characters"
    storage = MemoryStorage(clock=clock)
    session = storage.read(None)
    session._own.terms = Terms(clock=clock, pins=PINS)
    session.sign_in("ada", pin="hash")
    value = storage.save(session)

    def read(*secrets: str) -> SignIn:
        nonlocal session
        session = storage.read(value)
        session._draft.terms = Terms(clock=clock, pins=Pins(secrets))
        found = session.signed_in
        assert found
        return found

    found = read(newer, SECRET)
    assert found.holds("hash") and found.holds("hash")
    assert not found.holds("other")
    assert len(session._draft.log) == 1
    assert storage.save(session) is None
    assert read(newer).holds("hash")
    assert not session.modified
    ended = read(SECRET, newer)
    session.destroy()
    assert ended.holds("hash")


def test_a_pin_kept_anew_is_that_of_the_sign_in_alone() -> None:
    """One that a confirm() put there meanwhile stays."""
    who = Who("ada", pin=b"newer")
    body = Contents(who=who)
    assert Repin(b"older", b"other").replay(body) and body.who == who


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), timedelta(0)])
def test_a_time_must_be_above_zero(seconds: Any, clock: Clock) -> None:
    """That of a remembered sign-in, and that of acting."""
    session = session_at(clock)
    with pytest.raises(ValueError, match="remember must be seconds above 0"):
        session.sign_in("ada", remember=seconds)
    session.sign_in("ada")
    with pytest.raises(ValueError, match="seconds must be seconds above 0"):
        session.act_as("7", seconds=seconds)


def test_the_text_of_a_form_is_no_time(clock: Clock) -> None:
    """The value of a checkbox is not quoted; what to give is said."""
    session = session_at(clock)
    wrong: Any = "on"
    with pytest.raises(TypeError, match="remember must be a bool, seconds or a timedelta, got"):
        session.sign_in("ada", remember=wrong)
    session.sign_in("ada")
    with pytest.raises(TypeError, match="seconds must be seconds or a timedelta, got str"):
        session.act_as("7", seconds=wrong)


def test_what_needs_a_sign_in_says_so(clock: Clock) -> None:
    """confirm(), act_as() and stop_acting()."""
    session = session_at(clock)
    with pytest.raises(ConfigurationError, match=r"confirm\(\) needs a signed-in user"):
        session.confirm()
    with pytest.raises(ConfigurationError, match=r"act_as\(\) needs a signed-in user"):
        session.act_as("7")
    with pytest.raises(ConfigurationError, match=r"stop_acting\(\) needs a signed-in user"):
        session.stop_acting()
    session.sign_in("ada")
    with pytest.raises(ConfigurationError, match="needs a user who acts"):
        session.stop_acting()
    session.act_as("7")
    with pytest.raises(ConfigurationError, match="stop acting first"):
        session.confirm()


def test_sign_out_is_destroy(memory: KeyedStorage) -> None:
    """Nothing can be written afterwards."""
    session = memory.read(None)
    session.sign_in("ada")
    session = memory.read(memory.save(session))
    session.sign_out()
    assert memory.save(session) == ""
    with pytest.raises(SessionDestroyed):
        session.sign_in("ada")


def test_a_sign_in_shows_its_handle_alone(clock: Clock) -> None:
    """A repr may end up in a log, and the user is nobody's business there."""
    session = session_at(clock)
    session.sign_in("hunter2", label="hunter2")
    assert session.signed_in
    assert repr(session.signed_in) == f"<SignIn {session.signed_in.handle}>"
