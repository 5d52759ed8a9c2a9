"""The record that a save keeps, and what the draft is afterwards."""

import logging

import pytest

from coatcheck._session.changes import Append, Set
from coatcheck._session.draft import Draft, Found, Lost
from coatcheck._session.moves import Moves
from coatcheck._session.next_state import (
    discard,
    logged,
    moved_record,
    new_record,
    next_record,
    only_written,
    settle,
)
from coatcheck._session.record import Contents, Record, Terms
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


def test_a_write_keeps_the_deadline_until_a_refresh_is_due() -> None:
    """Age and id stay."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    draft.terms = Terms(owner=b"owner", idle=62)
    base = record(a=1)
    newer = next_record(draft, base, draft.contents, NOW)
    assert newer and (newer.created, newer.issued, newer.expires) == (NOW - 50, NOW - 40, NOW + 60)


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
    assert [line.levelno for line in caplog.records] == [logging.WARNING]


def test_a_change_in_place_without_its_value_is_dropped_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another request removed the value."""
    draft = found(cart=[1])
    draft.log.append(Append("cart", encode("cart", [1]), [encode("cart", 2)]))
    assert logged(draft, Contents()).values == {}
    assert "was dropped" in caplog.text


def test_what_is_discarded_is_a_warning_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing more of the request is kept."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    discard(draft, "another request ended it")
    assert (draft.log, draft.origin) == ([], Lost("another request ended it"))
    assert "were dropped: another request ended it" in caplog.text
    caplog.clear()
    discard(found(a=1), "there was nothing to lose")
    assert not caplog.records


def test_changes_that_came_during_a_save_stay_in_the_log() -> None:
    """The next save looks at the server before it writes."""
    draft = found(a=1)
    draft.write(Set("a", encode("a", 2)))
    draft.write(Set("b", encode("b", 3)))
    settle(draft, record(a=2), ID, NOW, steps=1)
    assert draft.log == [Set("b", encode("b", 3))]
    assert draft.found and draft.found.version is None
