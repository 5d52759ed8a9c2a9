"""What a process knows of the sign-ins that are over, and when it asks again."""

from typing import Any

import pytest

from coatcheck import BackendError
from coatcheck._session.ids import tag_of
from coatcheck._session.plan import Keyspace
from coatcheck._session.record import Stored, Who
from coatcheck._session.revocations import Revocations, digests_of, pack_revocations
from coatcheck._session.roster_plans import Rosters
from coatcheck.storage.watch import Watch

OWNER = b"12345678"


class Now:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def watch(now: Now) -> Watch:
    rosters = Rosters((OWNER,), 9, 9.0, revocations=digests_of(OWNER))
    return Watch(rosters, Keyspace(lambda: 1.0, "shop:", "the server"), 5.0, clock=now)


def answer(watch: Watch, **handles: float) -> Any:
    key = watch.keys[7]
    data, _ = pack_revocations(Revocations(handles), tag_of(key), 1.0)
    return {key: Stored(data, 1)}


def test_every_few_seconds_it_is_read_again(watch: Watch, now: Now) -> None:
    """The first time at once."""
    assert watch.is_due
    watch.take(answer(watch, a=9.0))
    assert not watch.is_due
    now.time += 5.0
    assert watch.is_due


def test_what_is_over_is_known(watch: Watch) -> None:
    """A newer answer takes the place of the older one."""
    who = Who("ada", "a")
    watch.take(answer(watch, a=9.0))
    assert watch.is_over(who, "ada")
    watch.take({})
    assert not watch.is_over(who, "ada")


def test_without_a_first_answer_nothing_is_known(watch: Watch) -> None:
    """The error says so, and `on_outage` decides."""
    error = BackendError("the server", "read")
    with pytest.raises(BackendError) as raised:
        watch.failed(error)
    assert raised.value is error


def test_an_answer_is_good_for_three_times_as_long(watch: Watch, now: Now) -> None:
    """The server may be away for a moment; a fifth of the time later it is asked again."""
    watch.take({})
    now.time += 15.0
    watch.failed(BackendError("the server", "read"))
    assert not watch.is_due
    now.time += 1.0
    assert watch.is_due
    with pytest.raises(BackendError):
        watch.failed(BackendError("the server", "read"))


def test_the_record_of_another_key_is_an_error_of_the_server(watch: Watch) -> None:
    """Nothing of the answer counts."""
    (stored,) = answer(watch, a=9.0).values()
    with pytest.raises(BackendError, match="another key"):
        watch.take({watch.keys[8]: stored})
