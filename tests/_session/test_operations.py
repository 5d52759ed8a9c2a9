"""What a host with rules of its own does to a session: operations over any backend."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from coatcheck import Session, SessionConflict
from coatcheck._session import operations
from coatcheck._session.draft import Lost
from coatcheck._session.record import Terms, owner_of
from coatcheck._session.session import showing
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.testing import Clock

TERMS = Terms(owner=owner_of("s"), idle=100, refresh=0, keeps_empty=True)


TODAY = replace(TERMS, owner=owner_of("today"))


@pytest.fixture
def storage(clock: Clock) -> KeyedStorage:
    return MemoryStorage(clock=clock)


def find(storage: KeyedStorage, id: str) -> tuple[Session, bool]:
    return storage._carry_out(operations.find(id, TERMS, storage.space))


def inherited(storage: KeyedStorage, id: str) -> Session:
    """The session, as an application reads it whose owner is another one today."""
    plan = operations.find(id, TODAY, storage.space, formerly=[TERMS.owner])
    return storage._carry_out(plan)[0]


def end_id(storage: KeyedStorage, id: str) -> bool:
    return storage._carry_out(operations.end_id(id, TERMS, storage.space))


def kept(storage: KeyedStorage, **values: object) -> str:
    """The id of a session that is stored."""
    session = operations.start(TERMS)
    session.update(values)
    id = storage.save(session)
    assert id
    return id


def moved(storage: KeyedStorage, id: str) -> str:
    """The new id of a session that gets one."""
    session, _ = find(storage, id)
    session.regenerate_id()
    new = storage.save(session)
    assert new
    return new


def is_lost(session: Session) -> bool:
    return type(session._draft.origin) is Lost


# ---- start


def test_a_session_that_was_started_is_kept_though_it_is_empty(storage: KeyedStorage) -> None:
    """And stays when its last key is taken out."""
    id = kept(storage)
    session, _ = find(storage, id)
    assert session.issued_id == id
    session["a"] = 1
    storage.save(session)
    session.clear()
    storage.save(session)
    assert find(storage, id)[0].issued_id == id


def test_a_session_that_is_started_like_another_holds_the_same(storage: KeyedStorage) -> None:
    """Under an id and a CSRF value of its own; what was handed out belongs to the new one."""
    id = kept(storage, cart=["tea"])
    first, _ = find(storage, id)
    cart = first["cart"]
    cart.append("milk")
    second = operations.start(TERMS, like=first)
    cart.append("jam")
    other = storage.save(second)
    assert other
    assert other != id
    assert dict(find(storage, other)[0]) == {"cart": ["tea", "milk", "jam"]}
    assert dict(find(storage, id)[0]) == {"cart": ["tea"]}
    csrf = [find(storage, each)[0]._draft.contents.csrf for each in (id, other)]
    assert csrf[0] != csrf[1]


# ---- find


def test_an_id_that_leads_nowhere_is_no_old_one(storage: KeyedStorage, clock: Clock) -> None:
    """It was never issued, or its session expired, or is that of another cookie."""
    expired = kept(storage, a=1)
    clock.advance(101)
    other = storage.read(None)
    other["a"] = 1
    other._draft.terms = Terms(owner=owner_of("another"))
    others = storage.save(other)
    assert others
    for id in ("x" * 40, expired, others):
        session, is_old = find(storage, id)
        assert session.issued_id is None
        assert not session
        assert not is_old


@pytest.mark.parametrize("change", [end_id, moved])
def test_an_id_whose_session_ended_or_moved_is_an_old_one(
    storage: KeyedStorage, clock: Clock, change: Callable[[KeyedStorage, str], object]
) -> None:
    """For as long as a request that had read it may be under way."""
    id = kept(storage, a=1)
    change(storage, id)
    session, is_old = find(storage, id)
    assert is_old
    assert not session
    clock.advance(901)
    assert not find(storage, id)[1]


def test_a_record_of_a_former_owner_is_read_and_written_anew(
    storage: KeyedStorage, clock: Clock
) -> None:
    """Under the owner of today, with the deadline and all else that it had."""
    id = kept(storage, a=1)
    clock.advance(50)
    assert inherited(storage, id) == {"a": 1}
    assert storage._carry_out(operations.find(id, TODAY, storage.space))[0] == {"a": 1}
    clock.advance(51)
    assert not storage._carry_out(operations.find(id, TODAY, storage.space))[0]


@pytest.mark.parametrize("other", [end_id, moved, inherited])
def test_another_request_may_be_faster_to_write_it_anew(
    storage: KeyedStorage, other: Callable[[KeyedStorage, str], object]
) -> None:
    """What that one left counts."""
    id = kept(storage, a=1)
    plan = operations.find(id, TODAY, storage.space, formerly=[TERMS.owner])
    first: Any = next(plan)
    there = storage.backend.get(first.key)
    swap: Any = plan.send(there)
    other(storage, id)
    again: Any = plan.send(storage.backend.swap(swap.key, swap.version, swap.record, swap.ttl))
    with pytest.raises(StopIteration) as done:
        plan.send(storage.backend.get(again.key))
    session, is_old = done.value.value
    assert bool(session) is (other is inherited)
    assert is_old is (other is not inherited)


def test_a_former_owners_session_can_be_ended(storage: KeyedStorage) -> None:
    """By whoever holds its id, as any other."""
    id = kept(storage, a=1)
    plan = operations.end_id(id, TODAY, storage.space, formerly=[TERMS.owner])
    assert storage._carry_out(plan)
    assert not find(storage, id)[0]


# ---- rotate


def test_an_id_that_is_due_gets_a_new_one_with_the_next_save(
    storage: KeyedStorage, clock: Clock
) -> None:
    """Not before, and only where the session is in use; the old id goes on leading to it."""
    terms = replace(TERMS, idle=10_000, rotate=300)
    session = operations.start(terms)
    session["a"] = 1
    id = storage.save(session)
    assert id
    for seconds, in_use, renewed in ((299, True, False), (1, False, False), (0, True, True)):
        clock.advance(seconds)
        session, _ = storage._carry_out(operations.find(id, terms, storage.space))
        session._accessed = in_use
        operations.renew(session, terms)
        operations.rotate(session)
        assert (storage.save(session) != id) is renewed
    assert storage._carry_out(operations.find(id, terms, storage.space))[0] == {"a": 1}


# ---- take_over


def test_what_was_written_before_the_session_was_read_replaces_it(storage: KeyedStorage) -> None:
    """Nothing of what it held stays, and what was handed out goes on being watched."""
    id = kept(storage, a=1)
    earlier = operations.start(TERMS)
    earlier["cart"] = cart = ["tea"]
    session, _ = find(storage, id)
    operations.take_over(session, earlier)
    cart.append("milk")
    storage.save(session)
    assert dict(find(storage, id)[0]) == {"cart": ["tea", "milk"]}


# ---- renew


def test_a_renewed_session_is_written_without_a_change(storage: KeyedStorage, clock: Clock) -> None:
    """Its deadline moves, and a save with none tells that the session is gone."""
    id = kept(storage, a=1)
    clock.advance(60)
    session, _ = find(storage, id)
    operations.renew(session, TERMS)
    assert storage.save(session) == id
    clock.advance(60)
    session, _ = find(storage, id)
    assert session["a"] == 1
    end_id(storage, id)
    operations.renew(session, TERMS)
    assert storage.save(session) is None
    assert is_lost(session)


def test_a_new_id_is_not_taken_back_by_a_renewal(storage: KeyedStorage) -> None:
    """The save writes anyway."""
    id = kept(storage, a=1)
    session, _ = find(storage, id)
    session.regenerate_id()
    operations.renew(session, TERMS)
    assert storage.save(session) not in (id, None)


def test_a_session_that_another_form_of_the_storage_read_is_looked_at_again(
    storage: KeyedStorage,
) -> None:
    """The version that it was read with means nothing here; what others wrote since stays."""
    id = kept(storage, a=1)
    session, _ = find(storage, id)
    found = session._draft.found
    assert found
    session._draft.origin = replace(found, version="of another backend")
    session["b"] = 2
    late, _ = find(storage, id)
    late["c"] = 3
    storage.save(late)
    operations.renew(session, TERMS, looks=True)
    storage.save(session)
    assert dict(find(storage, id)[0]) == {"a": 1, "b": 2, "c": 3}


# ---- show_kept


def test_a_session_shows_what_its_save_kept(storage: KeyedStorage) -> None:
    """A new id that was made after another request had changed it keeps only what is new."""
    id = kept(storage, cart=["tea"], auth="ada")
    late, _ = find(storage, id)
    cart = late["cart"]
    late["next"] = path = ["/account"]
    moved(storage, id)
    late.regenerate_id()
    storage.save(late)
    operations.show_kept(late)
    assert dict(late) == {"next": ["/account"]}
    cart.append("milk")
    path.append("/home")
    assert late.modified
    storage.save(late)
    assert dict(find(storage, late.id)[0]) == {"next": ["/account", "/home"]}


def test_a_session_that_was_not_kept_shows_what_the_handler_saw(storage: KeyedStorage) -> None:
    """There is nothing else to show."""
    id = kept(storage, a=1)
    late, _ = find(storage, id)
    late["a"] = 2
    end_id(storage, id)
    assert storage.save(late) is None
    operations.show_kept(late)
    assert dict(late) == {"a": 2}


# ---- end_id


def test_an_id_ends_its_session_wherever_changes_of_it_led(storage: KeyedStorage) -> None:
    """An old one, too: who holds it can sign out."""
    id = kept(storage, a=1)
    newer = moved(storage, moved(storage, id))
    assert end_id(storage, id)
    session, is_old = find(storage, newer)
    assert session.issued_id is None
    assert is_old
    assert not end_id(storage, newer)


def test_an_expired_session_ends_too(storage: KeyedStorage, clock: Clock) -> None:
    """A request that had read it in time cannot renew it after the sign-out."""
    id = kept(storage, a=1)
    upload, _ = find(storage, id)
    clock.advance(101)
    assert end_id(storage, id)
    operations.renew(upload, TERMS)
    storage.save(upload)
    assert is_lost(upload)


def test_an_id_that_leads_nowhere_or_to_another_cookies_session_ends_nothing(
    storage: KeyedStorage,
) -> None:
    """Its cookie may go all the same."""
    other = storage.read(None)
    other["a"] = 1
    other._draft.terms = Terms(owner=owner_of("another"))
    others = storage.save(other)
    assert others
    assert end_id(storage, "x" * 40)
    assert end_id(storage, others)
    assert storage.read(others)["a"] == 1


def test_a_record_that_others_keep_changing_is_given_up(storage: KeyedStorage) -> None:
    """It is to be written again for its owner of today, and each time another was faster."""
    id = storage.save(showing(operations.start(TERMS)._draft)) or ""
    plan = operations.find(id, TODAY, storage.space, formerly=[TERMS.owner])
    with pytest.raises(SessionConflict):
        refused_always(plan, storage)


def refused_always(plan: Any, storage: KeyedStorage) -> None:
    """Answer each call of a plan with what is there, as if another request had been faster."""
    answer = None
    while True:
        answer = storage.backend.get(plan.send(answer).key)
