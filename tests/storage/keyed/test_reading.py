"""What a storage reads, and what a visit costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._session.ids import key_of
from coatcheck._session.record import LIMIT, Terms, owner_of
from coatcheck.testing import Clock
from tests.storage.keyed.stores import Store


def test_a_visitor_who_only_looks_costs_nothing(store: Store) -> None:
    """No call, no id, no value."""
    session = store.read(None)
    assert session.get("user") is None
    assert store.save(session) is None
    assert store.backend.calls == []


def test_reading_is_one_call_and_writing_two(store: Store) -> None:
    """A read, and a conditional write."""
    value = store.kept(a=1)
    session = store.read(value)
    session["a"] = 2
    assert store.save(session) is None
    assert store.backend.calls == ["get", "swap"]


def test_what_was_not_changed_is_not_written(store: Store) -> None:
    """Reading, and setting a key to what it held, write nothing."""
    value = store.kept(a=1, cart=[1])
    session = store.read(value)
    session["a"] = session["cart"][0]
    assert store.save(session) is None
    assert store.backend.calls == ["get"]


def test_the_backend_never_sees_an_id(store: Store) -> None:
    """Only its SHA-256, behind the prefix."""
    value = store.kept(a=1)
    store.read(value)
    assert store.backend.keys == {key_of(value)}
    assert len(key_of(value)) == 64
    assert key_of(value, "prefix:") == "prefix:" + key_of(value)


@given(value=st.text())
def test_a_value_that_is_no_id_reaches_no_backend(value: str) -> None:
    """Whatever a client sends, of any length."""
    store = Store("plain", Clock())
    for sent in (value, value * 100, f"../{value}", value[:40]):
        assert store.read(sent).is_new
    assert len(store.backend.calls) <= 2  # only what happens to look like an id


def test_an_id_that_was_never_issued_is_not_adopted(store: Store) -> None:
    """It is read as nothing, written under another id, and never echoed."""
    planted = "A" * 40
    session = store.read(planted)
    session["user"] = 1
    value = store.save(session)
    assert value not in (None, planted)
    assert store.look(planted) == {}


def test_a_session_of_another_cookie_is_not_ours(store: Store) -> None:
    """It reads as new, and is not written to."""
    session = store.read(None, Terms(owner_of("theirs")))
    session["a"] = 1
    value = store.save(session)
    ours = store.read(value, Terms(owner_of("ours")))
    assert ours.is_new
    ours["b"] = 2
    assert store.save(ours) not in (None, value)
    assert store.look(value) == {"a": 1}


@pytest.mark.parametrize("record", [b"", b"\x03", b"\x3fabc", b"\x03\xc1", b"\x03" + b"x" * LIMIT])
def test_a_damaged_record_is_no_session(
    store: Store, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads as new, with a warning; a write starts a session of its own."""
    value = "B" * 40
    store.backend.backend.swap(key_of(value), None, record, 1000)
    session = store.read(value)
    assert session.is_new
    assert "absent" in caplog.text
    session["a"] = 1
    assert store.save(session) not in (None, value)


def test_nothing_shows_what_it_holds(store: Store) -> None:
    """Storages, sessions and drafts end up in logs."""
    value = store.kept(password="hunter2")
    session = store.read(value)
    session["seen"] = True
    for thing in (store.plain, store.other, session, session._draft, session._draft.log):
        assert "hunter2" not in repr(thing)
        assert value not in repr(thing)
