"""Denial of service: who costs nothing, damaged records, and servers that do not answer."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from coatcheck import BackendError, Session
from coatcheck._session.ids import key_of, new_id, tag_of
from coatcheck._session.record import Record, pack, unpack
from coatcheck._session.values import encode
from coatcheck.storage import (
    KeyedStorage,
    MemcachedStorage,
    MemoryStorage,
    RedisStorage,
    SessionStorage,
)
from coatcheck.storage.backends.memcached import MemcachedBackend
from coatcheck.testing import Clock
from tests.hosts import Handler
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import Spy, both, does, gets, holding, is_new, sets, signed_in


@both
@pytest.mark.parametrize(
    "handler",
    [
        gets("user"),
        is_new,
        len,
        Session.destroy,
        Session.clear,
        Session.regenerate_id,
        lambda session: bool(session.id),
        lambda session: session.unset("user"),
        lambda session: session.pop("user", None),
        does(sets(user=1), lambda session: session.unset("user")),
        does(sets(user=1), Session.clear),
        does(sets(user=1), Session.destroy),
    ],
)
def test_nobody_costs_nothing(name: str, spy: Spy, handler: Handler) -> None:
    """Who looks, or signs out without a session, leaves no trace, and no server is asked."""
    with front_of(name, Made(KeyedStorage(spy))) as front:
        assert front.browser().ask(handler).all("set-cookie") == []
    assert spy.calls == []


RECORDS = {
    "empty": b"",
    "unknown version": b"\x7f1234",
    "truncated": b"\x03\x96",
    "no record": b"\x03\xc0",
    "a tombstone without a time": b"\x04",
    "a tombstone of no time": b"\x04\x92\xc4\x08" + b"tagtagta" + b"\xa1x",
    "a marker without a time": b"\x05",
    "a marker of no kind": b"\x05\x93\xc4\x08" + b"tagtagta" + b"\x01\xa1x",
    "text": b"\x03<html>",
    "deep": b"\x03" + b"\x91" * 100_000,
    "huge": b"\x03" + b"\x00" * 2_000_000,
    "a huge announcement": b"\x03\x96\xc4\x08" + b"tagtagta" + b"\xdf\xff\xff\xff\xff",
}


@both
@pytest.mark.parametrize("damage", RECORDS.values(), ids=RECORDS)
def test_a_damaged_record_is_an_empty_session_and_a_warning(
    name: str, clock: Clock, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """No crash; the visitor starts anew, under another id."""
    storage = MemoryStorage(clock=clock)
    with front_of(name, Made(storage)) as front:
        browser = signed_in(front)
        key = key_of(browser.value or "")
        stored = storage.backend.get(key)
        assert stored
        assert storage.backend.swap(key, stored.version, damage, 60) is None
        before = browser.value
        assert browser.ask(is_new).json is True
        browser.ask(sets(user="Ada"))
        assert browser.value != before
        assert browser.ask(gets("user")).json == "Ada"
    assert "counts as absent" in caplog.text
    assert [record.levelname for record in caplog.records][:1] == ["WARNING"]


@both
def test_a_damaged_value_is_absent_and_the_others_stay(
    name: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that is whole but for one value."""
    storage = MemoryStorage(clock=clock)
    with front_of(name, Made(storage)) as front:
        browser = signed_in(front)
        key = key_of(browser.value or "")
        stored = storage.backend.get(key)
        assert stored
        record = unpack(stored.record, tag_of(key))
        assert isinstance(record, Record)
        record.body.values["bad"] = type(encode("k", 1))(b"\xa5\xff\xff\xff\xff\xff")
        storage.backend.swap(key, stored.version, pack(record), 60)
        assert browser.ask(gets("bad")).json is None
        assert browser.ask(gets("user")).json == "Ada"
    assert "damaged" in caplog.text


def unreachable(kind: str, stack: ExitStack, path: Path, timeout: float) -> SessionStorage:
    """Return a storage whose server is at *path*, where it is not, or does not answer."""
    if kind == "redis":
        once = Retry(NoBackoff(), 0)
        client = redis.Redis(unix_socket_path=str(path), socket_timeout=timeout, retry=once)
        stack.callback(client.close)
        return RedisStorage(client)
    storage = MemcachedStorage(str(path), timeout=timeout)
    assert isinstance(storage.backend, MemcachedBackend)
    stack.callback(storage.backend.close)
    return KeyedStorage(storage.backend)


@both
@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_store_that_is_down_is_an_error_and_the_cookie_stays(
    name: str, kind: str, tmp_path: Path
) -> None:
    """When it reads and when it saves; who has no cookie and only looks is served."""
    with ExitStack() as stack:
        storage = unreachable(kind, stack, tmp_path / "nobody", 1)
        browser = stack.enter_context(front_of(name, Made(storage))).browser()
        assert browser.ask(is_new).json is True
        with pytest.raises(BackendError):
            browser.ask(sets(user="Ada"))
        browser.header = holding(new_id())
        kept = browser.header
        with pytest.raises(BackendError):
            browser.ask(is_new)
        assert browser.header == kept


@both
@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_store_that_never_answers_is_an_error_within_its_timeout(
    name: str, kind: str, server_folder: Path
) -> None:
    """A server that takes the question and says nothing."""
    path = server_folder / f"silent-{name}-{kind}"
    with ExitStack() as stack, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        storage = unreachable(kind, stack, path, 0.05)
        browser = stack.enter_context(front_of(name, Made(storage))).browser()
        browser.header = holding(new_id())
        with pytest.raises(BackendError):
            browser.ask(is_new)
