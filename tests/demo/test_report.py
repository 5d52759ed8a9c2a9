"""What the session page knows about a session."""

from datetime import UTC, datetime, timedelta

import pytest

from coatcheck import Cookie, Session
from coatcheck.demo.report import SHOWN, Entry, Step, cookie_facts, report_on, spoken
from coatcheck.storage import MemoryStorage

NOW = datetime.now(UTC)


def stored(**values: object) -> Session:
    """Return a session as the next request reads it, with a flash "notice" that waits."""
    storage = MemoryStorage(clock=NOW.timestamp)
    first = Session()
    first.update(values)
    first.flash("notice", "hello")
    return storage.read(storage.save(first))


def test_a_report_lists_keys_sizes_and_values() -> None:
    """The text of a flash is not read; a long value is cut; no repr shows a value."""
    report = report_on(stored(name="Ada", long="x" * 1000), NOW)
    name, long = report.values
    assert name == Entry("name", 4, "'Ada'")
    assert len(long.shown) == SHOWN + 1
    assert report.flashes == [Entry("notice", 6)]
    assert "Ada" not in repr(report)


def test_the_deadline_is_that_after_the_save() -> None:
    """A new id, or a refresh that is due, moves it on."""
    session = stored(name="Ada")
    assert session.expires_at is not None
    assert report_on(session, NOW).expires == session.expires_at
    later = NOW + timedelta(days=7)
    expires = report_on(session, later).expires
    assert expires is not None
    assert expires > session.expires_at
    session.regenerate_id()
    again = report_on(session, NOW + timedelta(minutes=1)).expires
    assert again is not None
    assert again > session.expires_at
    assert report_on(Session(), NOW).expires is None


def test_a_report_lists_the_changes_in_order() -> None:
    """Each by the name that a handler uses; a new id comes last."""
    session = stored(cart=[1])
    session.get("notice")
    session.regenerate_id()
    session["cart"] = [2]
    session.apply("count", lambda count: count + 1, 0)
    assert report_on(session, NOW).steps == [
        Step("reading a flash", "notice"),
        Step("set()", "cart"),
        Step("apply()", "count"),
        Step("regenerate_id()"),
    ]


def test_a_report_names_what_changed_the_id() -> None:
    """A sign-in is no `regenerate_id()`."""
    storage = MemoryStorage(clock=NOW.timestamp)
    session = stored(cart=[1])
    session.sign_in("ada")
    assert report_on(session, NOW).steps == [Step("sign_in()")]
    session = storage.read(storage.save(session))
    session.confirm()
    assert report_on(session, NOW).steps == [Step("confirm()")]


def test_a_report_sees_a_change_inside_a_value() -> None:
    """It is a step like any other, though nobody called set(); it has a name of its own."""
    session = stored(cart=[1])
    session["cart"].append(2)
    assert report_on(session, NOW).steps == [Step("a change in place", "cart")]


def test_a_report_changes_nothing() -> None:
    """It reads no flash, makes no id, and leaves an untouched session untouched."""
    session, fresh = stored(name="Ada"), Session()
    report_on(session, NOW)
    assert report_on(session, NOW).steps == []
    assert not session.modified
    assert not report_on(fresh, NOW).is_stored
    assert fresh._draft.id is None


def test_a_report_never_holds_the_id() -> None:
    """The id is a credential; the key that is shown is cut short, and not made from it alone."""
    session = stored(name="Ada")
    report = report_on(session, NOW)
    assert session.id not in repr(report)
    assert report.filed is not None
    assert len(report.filed) == 8
    assert report.filed not in session.id


def test_a_destroyed_session_says_so() -> None:
    """The end of a session is its last step."""
    session = stored(name="Ada")
    session.destroy()
    assert report_on(session, NOW).steps == [Step("destroy()")]


def test_the_size_of_the_cookie_is_what_the_browser_sent() -> None:
    """Name, equals sign and sealed value count; without a cookie there is no size."""
    cookie = Cookie("sid", secrets=["a secret for the tests, 32 of it"], secure=False)
    assert dict(cookie_facts(cookie, "12345"))["Size"] == "9 of 4096 bytes"
    assert dict(cookie_facts(cookie, None))["Size"] == "none came with this request"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (-5, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"),
     (3599, "59 minutes"), (3600, "1 hour"), (172800, "2 days")],
)  # fmt: skip
def test_a_span_is_spoken_in_its_largest_unit(seconds: int, words: str) -> None:
    """Whole units, rounded down, never negative."""
    assert spoken(timedelta(seconds=seconds)) == words
