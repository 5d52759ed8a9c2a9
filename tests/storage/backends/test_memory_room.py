"""Who goes when the memory is full: passing sessions push out each other, and no signed-in ones."""

from collections.abc import Callable
from typing import Any

import pytest

from coatcheck import Session
from coatcheck._session.record import Contents, Record, owner_of, pack
from coatcheck._session.values import encode
from coatcheck.csrf import csrf_token
from coatcheck.storage import KeyedStorage, MemoryStorage
from coatcheck.storage.backends.memory import MemoryBackend, is_passing
from coatcheck.testing import Clock

MANY = 50


def flashes(session: Session) -> None:
    session.flash("notice", "Welcome")


def uses_form(session: Session) -> None:
    csrf_token(session)


def uses_flask_wtf(session: Session) -> None:
    session["csrf_token"] = "0123456789abcdef"


def signs_in(session: Session) -> None:
    session.sign_in("ada")


def keeps_user(session: Session) -> None:
    session["user"] = 1


def fills_cart(session: Session) -> None:
    session["cart"] = ["tea"]


PASSES: list[Callable[[Session], None]] = [flashes, uses_form, uses_flask_wtf]
STAYS: list[Callable[[Session], None]] = [signs_in, keeps_user, fills_cart]


def saved(storage: KeyedStorage, change: Callable[[Session], None]) -> str:
    session = storage.read(None)
    change(session)
    value = storage.save(session)
    assert value
    return value


def is_there(storage: KeyedStorage, value: str) -> bool:
    return not storage.read(value).is_new


@pytest.fixture
def storage(clock: Clock) -> KeyedStorage:
    return MemoryStorage(max_records=10, clock=clock)


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("stays", STAYS)
def test_a_crowd_pushes_nobody_out(storage: KeyedStorage, stays: Any, passes: Any) -> None:
    """Sessions that hold only a flash or a CSRF mark push out each other."""
    users = [saved(storage, stays) for _ in range(10)]
    crowd = [saved(storage, passes) for _ in range(MANY)]
    assert all(is_there(storage, value) for value in users)
    assert [is_there(storage, value) for value in crowd] == [False] * 40 + [True] * 10


@pytest.mark.parametrize("passes", PASSES)
def test_a_full_storage_still_takes_a_passing_session(storage: KeyedStorage, passes: Any) -> None:
    """So a visitor can send a form while many are signed in."""
    for _ in range(MANY):
        saved(storage, signs_in)
    assert is_there(storage, saved(storage, passes))


def test_a_visitor_who_signs_in_is_counted_with_the_others(storage: KeyedStorage) -> None:
    """From then on the crowd cannot push the session out, and back again after the sign-out."""
    value = saved(storage, flashes)
    session = storage.read(value)
    session["user"] = 1
    storage.save(session)
    for _ in range(MANY):
        saved(storage, flashes)
    session = storage.read(value)
    assert session["user"] == 1
    del session["user"]
    session.flash("notice", "Bye")
    storage.save(session)
    for _ in range(MANY):
        saved(storage, flashes)
    assert not is_there(storage, value)


def test_sign_outs_push_nobody_out(storage: KeyedStorage) -> None:
    """What a session leaves when it ends is passing, too."""
    users = [saved(storage, signs_in) for _ in range(9)]
    for _ in range(MANY):
        session = storage.read(saved(storage, flashes))
        session.destroy()
        storage.save(session)
    assert all(is_there(storage, value) for value in users)


def test_the_number_of_records_is_bounded(storage: KeyedStorage) -> None:
    """As many of each kind as the storage was made for."""
    for change in (*PASSES, *STAYS) * 10:
        saved(storage, change)
    assert isinstance(storage.backend, MemoryBackend)
    assert len(storage.backend) == 20


def test_expired_passing_sessions_go_first(storage: KeyedStorage, clock: Clock) -> None:
    """As it is with the others."""
    backend = MemoryBackend(max_records=2, clock=clock)
    record = stored(storage, saved(storage, flashes))
    backend.swap("old", None, record, 100)
    backend.swap("expired", None, record, 1)
    clock.advance(2)
    backend.swap("new", None, record, 100)
    assert [key for key in ("old", "expired", "new") if backend.get(key)] == ["old", "new"]


def stored(storage: KeyedStorage, value: str) -> bytes:
    """Return the record of a session."""
    found = storage.backend.get(storage.space.key(value))
    assert found
    return found.record


@pytest.mark.parametrize("record", [b"", b"\x03", b"\x03\xff", b"\x05\x90", b"what else"])
def test_what_is_no_session_is_not_passing(record: bytes) -> None:
    """A backend may hold any bytes."""
    assert not is_passing(record)


@pytest.mark.parametrize(
    ("keys", "passes"),
    [(["user"], False), (["_csrf", "user"], False), (["_csrf"], True), ([], True)],
)
def test_the_record_of_a_middleware_is_told_by_its_keys(keys: list[str], passes: bool) -> None:
    """Whichever comes first: only where it is a mark, the others are looked at."""
    body = Contents({key: encode(key, 1) for key in keys})
    assert is_passing(pack(Record(b"8 bytes.", owner_of("session"), 1.0, 2.0, 3.0, body))) is passes
