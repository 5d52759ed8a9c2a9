"""What binds a session to a device, and what may change it."""

import pytest

from coatcheck._session.binding import (
    OFFER,
    Binding,
    Rebind,
    binding_of,
    offered,
    refreshed,
    registered,
)
from coatcheck._session.record import UNBOUND, Contents
from coatcheck._session.values import Encoded

NOW, EVERY = 1000.0, 600.0

OFFERED = Binding("id", "first", NOW)
BOUND = Binding("id", "now", NOW, b"key", NOW + EVERY, "before", b"used")


def test_a_sign_in_offers_a_binding_of_its_own() -> None:
    """With an id and a challenge that nobody can guess, and no key."""
    first, second = (binding_of(Contents(bound=offered(NOW))) for _ in range(2))
    assert first and second
    assert not {first.id, first.challenge} & {second.id, second.challenge}
    assert (first.at, first.key, len(first.id), len(first.challenge)) == (NOW, b"", 22, 22)


def test_a_session_without_one_has_none() -> None:
    assert binding_of(Contents()) is None


def test_no_proof_fits_a_damaged_one(caplog: pytest.LogCaptureFixture) -> None:
    """It is not taken for none: then the session would be free."""
    there = binding_of(Contents(bound=Encoded(b"\x91\x01")))
    assert there and there.key and not there.id
    assert "damaged" in caplog.text


def test_a_registration_takes_the_offer() -> None:
    """The binding keeps its id, and gets the next challenge."""
    there = registered(OFFERED, b"key", "first", "id", now=NOW + 1, every=EVERY)
    assert isinstance(there, Binding)
    assert (there.id, there.key, there.at, there.until) == ("id", b"key", NOW + 1, NOW + 1 + EVERY)
    assert there.challenge not in ("first", "")
    assert there.previous == ""


@pytest.mark.parametrize(
    ("there", "challenge", "authorization", "now", "why"),
    [
        (OFFERED, "other", "id", NOW, "challenge"),
        (OFFERED, "first", "other", NOW, "authorization"),
        (OFFERED, "first", "id", NOW + OFFER, "not offered"),
        (BOUND, "now", "id", NOW, "not offered"),
        (BOUND, "before", "id", NOW, "not offered"),
    ],
)
def test_any_other_registration_is_refused(
    there: Binding, challenge: str, authorization: str, now: float, why: str
) -> None:
    """Another challenge or offer; too late; a second one, which would bring a second key."""
    found = registered(there, b"thief", challenge, authorization, now=now, every=EVERY)
    assert found == why


def test_a_refresh_signs_the_challenge_and_gets_the_next() -> None:
    """The one that it signed counts for one more proof."""
    there = refreshed(BOUND, b"key", "now", "proof", now=NOW + 9, every=EVERY)
    assert isinstance(there, Binding)
    assert (there.id, there.key, there.until) == ("id", b"key", NOW + 9 + EVERY)
    assert there.previous == "now"
    assert there.challenge not in ("now", "before")


def test_of_two_refreshes_at_once_both_count_and_end_with_the_same_challenge() -> None:
    """Each signed the same challenge; the second one does not make another one."""
    first = refreshed(BOUND, b"key", "now", "proof one", now=NOW, every=EVERY)
    assert isinstance(first, Binding)
    second = refreshed(first, b"key", "now", "proof two", now=NOW, every=EVERY)
    assert isinstance(second, Binding)
    assert second.challenge == first.challenge
    third = refreshed(second, b"key", "now", "proof three", now=NOW, every=EVERY)
    assert third == "challenge"


def test_a_proof_counts_once() -> None:
    """Sent again, it is refused, also while its challenge counts for another one."""
    first = refreshed(BOUND, b"key", "now", "proof", now=NOW, every=EVERY)
    assert isinstance(first, Binding)
    assert refreshed(first, b"key", "now", "proof", now=NOW, every=EVERY) == "challenge"


@pytest.mark.parametrize("challenge", ["", "first", "of another session"])
def test_a_stale_or_foreign_challenge_is_refused(challenge: str) -> None:
    """An empty one, too, while there is no previous one."""
    for there in (BOUND, Binding("id", "now", NOW, b"key")):
        assert refreshed(there, b"key", challenge, "proof", now=NOW, every=EVERY) == "challenge"


def test_a_refresh_with_another_key_is_refused() -> None:
    """Another device registered meanwhile."""
    assert refreshed(BOUND, b"other", "now", "proof", now=NOW, every=EVERY) == "another key"


def test_a_step_is_decided_anew_on_what_another_request_left() -> None:
    """A binding of another id, or none, is left alone."""
    step = Rebind("id", lambda there: Binding(there.id, "next", NOW, b"key"))
    contents = Contents(bound=offered(NOW))
    before = contents.bound
    assert step.replay(contents)
    assert (step.result, contents.bound) == ("not offered", before)
    step.replay(Contents())
    assert step.result == "not offered"
    there = binding_of(contents)
    assert there
    Rebind(there.id, lambda there: Binding(there.id, "next", NOW, b"key")).replay(contents)
    assert binding_of(contents) == Binding(there.id, "next", NOW, b"key")


def test_a_refused_step_changes_nothing() -> None:
    contents = Contents(bound=UNBOUND)
    Rebind("id", lambda _: "challenge").replay(contents)
    assert contents.bound == UNBOUND


def test_a_binding_shows_nothing_in_a_log() -> None:
    assert repr(BOUND) == "<Binding>"
