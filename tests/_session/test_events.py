"""What decisions note on a draft, before anybody listens."""

import logging

import pytest

from coatcheck._session.draft import Draft
from coatcheck._session.events import FAILED, Happened, handle_of, log_losses, note
from coatcheck._session.record import Terms, Who


def test_a_loss_is_noted_always_and_all_else_if_somebody_listens() -> None:
    """So that a request without a listener makes nothing."""
    quiet, heard = Draft(), Draft(terms=Terms(reports=True))
    for draft in (quiet, heard):
        note(draft, "started")
        note(draft, "dropped", "why")
    assert [it.kind for it in quiet.events] == ["dropped"]
    assert [it.kind for it in heard.events] == ["started", "dropped"]


def test_a_handle_is_no_id() -> None:
    """A signed-in session has one; an anonymous one has a digest of its key."""
    id = "a" * 40
    assert handle_of(Who("42", "handle"), id) == "handle"
    anonymous = handle_of(None, id)
    assert len(anonymous) == 12
    assert anonymous != handle_of(Who(), "b" * 40)
    assert handle_of(None, "") == ""


def test_losses_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A request that failed is no warning; what is no loss is no line."""
    events = (Happened("started"), Happened("dropped", "why"), Happened("dropped", FAILED))
    draft = Draft(events=events)
    with caplog.at_level(logging.INFO):
        log_losses(draft)
        log_losses(draft)
    assert [it.levelname for it in caplog.records] == ["WARNING", "INFO"]
    assert repr(events[0]) == "<Happened>"
