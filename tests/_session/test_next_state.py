"""The record that a save keeps, and what the draft is afterwards."""

import logging

import pytest

from coatcheck._session.changes import Append, Consume, Set, Unset
from coatcheck._session.draft import Draft, Found, Lost, Moved
from coatcheck._session.events import log_losses
from coatcheck._session.moves import Moves
from coatcheck._session.next_state import (
    LONG_OVER,
    discard,
    ended,
    is_emptied,
    logged,
    moved_record,
    new_record,
    next_record,
    only_written,
    reason_of,
    settle,
    usable,
)
from coatcheck._session.plan import There
from coatcheck._session.record import (
    GRACE,
    Contents,
    Kept,
    Marker,
    Record,
    Terms,
    Tombstone,
    Who,
    as_of,
)
from coatcheck._session.values import encode

NOW, ID = 1_700_000_000.0, "A" * 40


def contents(**values: object) -> Contents:
    return Contents({key: encode(key, value) for key, value in values.items()})


def record(**values: object) -> Record:
    return Record(b"", b"owner", NOW - 50, NOW - 40, NOW + 60, contents(**values))


def found(*, now: float = NOW, **values: object) -> Draft:
    """Return the draft of a stored session, which was read now."""
    stored = record(**values)
    terms = Terms(owner=b"owner", idle=100)
    return Draft(stored.body, terms, Found(stored, ID, 1, now))


def test_a_new_session_gets_its_times_and_a_csrf_value() -> None:
    """All times are those of the save."""
    made = new_record(Draft(terms=Terms(idle=100)), contents(a=1), NOW)
    assert (made.created, made.issued, made.expires) == (NOW, NOW, NOW + 100)
    assert len(made.body.csrf) == 16


def test_an_acting_that_is_over_is_told_by_one_save() -> None:
    """A later save of the same request tells nothing."""
    stored = record(a=1)
    stored.body.who = Who("42", "handle", 1.0, 1.0, actor="7", acts_until=NOW)
    over = as_of(stored, NOW)
    draft = Draft(over.body, Terms(idle=100, reports=True), Found(over, ID, 1, NOW))
    for _ in range(2):
        newer = next_record(draft, over, draft.contents, NOW)
        assert newer
        settle(draft, newer, ID, NOW, 0)
    assert [(event.kind, event.reason, event.user) for event in draft.events] == [
        ("acting", "over", "7")
    ]


def test_a_write_keeps_the_deadline_until_a_refresh_is_due() -> None:
    """Age and id stay."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    draft.terms = Terms(owner=b"owner", idle=62)
    base = record(a=1)
    newer = next_record(draft, base, draft.contents, NOW)
    assert newer and (newer.created, newer.issued, newer.expires) == (NOW - 50, NOW - 40, NOW + 60)


@pytest.mark.parametrize("issued", [NOW - 5, NOW + 40])
def test_times_of_a_clock_that_was_ahead_count_as_now(issued: float) -> None:
    """Or the session would live for longer than its lifetime says."""
    draft = found(a=1)
    draft.log.append(Set("a", encode("a", 2)))
    base = Record(b"", b"owner", NOW + 50, issued, NOW + 60, contents(a=1))
    written = next_record(draft, base, contents(a=2), NOW)
    assert written and (written.created, written.issued) == (NOW, min(NOW, issued))


def test_nothing_is_written_without_a_reason() -> None:
    """No change, no refresh, no new id."""
    draft = found(a=1)
    draft.terms = Terms(owner=b"owner", idle=62)
    assert next_record(draft, record(a=1), draft.contents, NOW) is None


def test_a_new_id_keeps_the_age() -> None:
    """Its own time begins now."""
    draft = found(a=1)
    moved = moved_record(draft, Moves("regenerate", csrf=b"c" * 16), record(a=1), NOW)
    assert (moved.created, moved.issued, moved.body.csrf) == (NOW - 50, NOW, b"c" * 16)


def test_a_session_of_its_own_holds_only_what_the_request_wrote(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under keys that its base did not hold; a loss is a warning."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    draft.write(Set("b", encode("b", 3)))
    kept = only_written(draft, Moves("regenerate"))
    assert kept.values == {"b": encode("b", 3)}
    log_losses(draft)
    assert [line.levelno for line in caplog.records] == [logging.WARNING]


def test_a_change_in_place_without_its_value_is_dropped_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another request removed the value."""
    draft = found(cart=[1])
    draft.log.append(Append("cart", encode("cart", [1]), [encode("cart", 2)]))
    assert logged(draft, Contents()).values == {}
    log_losses(draft)
    assert "was dropped" in caplog.text


def test_what_is_discarded_is_a_warning_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing more of the request is kept."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    discard(draft, "another request ended it")
    assert (draft.log, draft.origin) == ([], Lost("another request ended it"))
    assert [(it.kind, it.reason) for it in draft.events] == [
        ("dropped", "another request ended it")
    ]
    log_losses(draft)
    assert "were dropped: another request ended it" in caplog.text
    assert draft.events == ()
    unchanged = found(a=1)
    discard(unchanged, "there was nothing to lose")
    assert unchanged.events == ()


def test_changes_that_came_during_a_save_stay_in_the_log() -> None:
    """The next save looks at the server before it writes."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    draft.write(Set("b", encode("b", 3)))
    settle(draft, record(a=2), ID, NOW, steps=1)
    assert draft.log == [Set("b", encode("b", 3))]
    assert draft.found and draft.found.version is None


def test_a_session_of_its_own_loses_nothing_that_is_new() -> None:
    """Then there is nothing to warn of."""
    draft = found(a=1)
    draft.write(Set("b", encode("b", 3)))
    assert only_written(draft, Moves("regenerate")).values == {"b": encode("b", 3)}


def there(kept: Kept | None) -> There:
    return There(ID, "key", kept, 7)


@pytest.mark.parametrize(
    ("read_at", "is_usable"), [(NOW, True), (NOW + 59, True), (NOW + 60, False)]
)
def test_a_write_builds_on_what_was_alive_when_the_request_read_it(
    read_at: float, *, is_usable: bool
) -> None:
    """Also on what has expired since; a request that read a marker is judged in the same way."""
    base = record(a=1)
    marker = Marker(b"", NOW + 900, "other")
    for draft in (found(now=read_at), Draft(origin=Moved(marker, ID, read_at))):
        assert usable(draft, there(base), NOW) is (base if is_usable else None)
    assert usable(Draft(), there(base), NOW) is base
    for gone in (None, marker, Tombstone(b"", NOW)):
        assert usable(found(), there(gone), NOW) is None


@pytest.mark.parametrize(
    ("later", "is_usable"), [(60 + GRACE - 1, True), (60 + GRACE, False), (1e6, False)]
)
def test_no_write_builds_on_what_is_over_for_longer_than_a_request_takes(
    later: float, *, is_usable: bool
) -> None:
    """Whatever still keeps the record, a cookie too: a request that is held open renews nothing."""
    base = record(a=1)
    assert usable(found(), there(base), NOW + later) is (base if is_usable else None)


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (Marker(b"", NOW, "other"), "another request changed its id"),
        (record(), "it expired before the request read it"),
        (Tombstone(b"", NOW), "another request ended it"),
        (None, "another request ended it"),
    ],
)
def test_a_write_that_keeps_nothing_says_why(kept: Kept | None, why: str) -> None:
    """What it found tells that; a record that was evicted looks like one that was ended."""
    assert reason_of(found(now=NOW + 1000), there(kept), NOW) == Lost(why)


@pytest.mark.parametrize("kept", [record(), None])
def test_a_write_that_comes_much_too_late_says_so(kept: Kept | None) -> None:
    """Also where the backend has let the record go."""
    assert reason_of(found(), there(kept), NOW + 60 + GRACE) == Lost(LONG_OVER)


def test_a_session_is_emptied_by_a_handler_that_takes_the_last_thing_out() -> None:
    """Not by a flash that was read, nor where empty sessions are kept."""
    taken, read = found(), found()
    taken.write(Unset("a"))
    read.write(Consume("notice", encode("notice", 1)))
    assert is_emptied(taken, Contents())
    assert not is_emptied(taken, contents(b=1))
    assert not is_emptied(read, Contents())
    taken.terms = Terms(keeps_empty=True)
    assert not is_emptied(taken, Contents())


def test_an_emptied_session_is_lost_and_its_cookie_goes() -> None:
    """What came during the save stays in the log, and is dropped by the next one."""
    draft = found(a=1)
    draft.write(Unset("a"))
    draft.write(Set("b", encode("b", 3)))
    assert ended(draft, steps=1, now=NOW) == ""
    assert draft.log == [Set("b", encode("b", 3))]
    assert draft.origin == Lost("it was emptied")
