"""The table of events: each kind and reason, the module that tells it, and its test."""

import re
from inspect import getdoc
from pathlib import Path
from typing import get_args

import pytest

import coatcheck
from coatcheck import Event
from coatcheck._session.events import Kind

TESTS = Path(__file__).parent
SOURCE = Path(str(coatcheck.__file__)).parent

EVENTS, USERS = "_request/test_events.py", "test_users.py"
DEVICE, ADOPTION = "_request/device/test_browser_requests.py", "_request/test_adoption.py"

TABLE = [
    ("started", "", "_session/saving.py", EVENTS, "a_session_starts"),
    ("read", "found", "_request/events.py", EVENTS, "reads_and_saves_are_timed"),
    ("read", "none", "_request/events.py", EVENTS, "reads_and_saves_are_timed"),
    ("saved", "", "_request/events.py", EVENTS, "reads_and_saves_are_timed"),
    ("moved", "regenerate_id", "_session/next_state.py", EVENTS, "an_id_is_changed"),
    ("moved", "the user was taken away", "_session/next_state.py", EVENTS, "a_user_is_taken_away"),
    ("rotated", "", "_session/next_state.py", EVENTS, "an_id_is_rotated"),
    ("signed_in", "", "_session/next_state.py", EVENTS, "a_user_signs_in_confirms_and_signs_out"),
    ("signed_in", "joined", "_session/saving.py", EVENTS, "two_sign_ins_at_once_join"),
    ("confirmed", "", "_session/next_state.py", EVENTS, "a_user_signs_in_confirms_and_signs_out"),
    ("acting", "begun", "_session/next_state.py", EVENTS, "staff_act_as_a_user"),
    ("acting", "over", "_session/next_state.py", EVENTS, "an_acting_that_runs_out_is_told_once"),
    ("bound", "", "_request/cycle.py", DEVICE, "a_registration_is_an_event"),
    ("signed_out", "destroyed", "_session/next_state.py", EVENTS, "a_user_signs_in_confirms_and_"),
    ("ended", "destroyed", "_session/next_state.py", EVENTS, "a_session_ends_without_a_user"),
    ("ended", "emptied", "_session/next_state.py", EVENTS, "a_session_ends_without_a_user"),
    ("ended", "end", "users.py", USERS, "each_session_that_ends_is_an_event"),
    ("ended", "end_others", "users.py", USERS, "each_session_that_ends_is_an_event"),
    ("ended", "end_all", "users.py", USERS, "each_session_that_ends_is_an_event"),
    ("ended", "most", "_session/listed.py", USERS, "each_session_that_ends_is_an_event"),
    ("expired", "idle", "_session/lifecycle.py", EVENTS, "a_session_expires"),
    ("expired", "lifetime", "_session/lifecycle.py", EVENTS, "a_session_expires"),
    ("adopted", "", "_session/saving.py", ADOPTION, "each_adoption_and_each_refusal_is_one"),
    ("refused", "seal", "_request/cycle.py", EVENTS, "a_cookie_that_leads_nowhere_is_refused"),
    ("refused", "unknown id", "_session/lifecycle.py", EVENTS, "a_cookie_that_leads_nowhere_is_"),
    ("refused", "old id", "_session/lifecycle.py", EVENTS, "an_old_id_is_refused"),
    ("refused", "other cookie", "_session/lifecycle.py", EVENTS, "the_session_of_another_cookie_"),
    ("refused", "tombstone", "_session/lifecycle.py", EVENTS, "a_cookie_that_leads_nowhere_is_"),
    ("refused", "cut-off", "_session/listed.py", USERS, "each_session_that_ends_is_an_event"),
    (
        "refused",
        "revoked",
        "storage/revocable.py",
        "storage/test_revocable.py",
        "a_revoked_copy_is_",
    ),
    ("refused", "device: ", "_request/cycle.py", DEVICE, "each_refusal_is_an_event_with_its_"),
    ("merged", "", "_session/next_state.py", EVENTS, "changes_are_merged"),
    ("dropped", "", "_session/next_state.py", EVENTS, "changes_are_dropped"),
    ("conflict", "", "_request/events.py", EVENTS, "a_save_gives_up"),
    ("outage", "begun", "_request/outages.py", EVENTS, "an_outage_begins_and_is_over"),
    ("outage", "over", "_request/outages.py", EVENTS, "an_outage_begins_and_is_over"),
    ("too_large", "record", "_request/events.py", EVENTS, "a_session_is_too_large"),
    ("too_large", "cookie", "_request/events.py", EVENTS, "a_session_is_too_large"),
]


@pytest.mark.parametrize(("kind", "reason", "module", "file", "test"), TABLE)
def test_an_event_comes_from_a_module_and_has_a_test(
    kind: str, reason: str, module: str, file: str, test: str
) -> None:
    """Which are the ones that the table says."""
    source, tests = (SOURCE / module).read_text(), (TESTS / file).read_text()
    assert f'"{kind}"' in source or "note_move(" in source or "refused_session(" in source
    assert reason in source
    assert re.search(rf"def test_{test}", tests)
    assert f'"{kind}"' in tests


def test_every_kind_is_in_the_table_and_in_the_reference() -> None:
    """In `Event`, with the reasons that it has."""
    told = {kind for kind, *_ in TABLE}
    assert told == set(get_args(Kind))
    entries = re.findall(r"- `(\w+)`((?:(?!\n- ).)*)", getdoc(Event) or "", re.DOTALL)
    described = dict(entries)
    assert told == described.keys()
    for kind, reason, *_ in TABLE:
        assert reason in described[kind], (kind, reason)
