"""No id, secret or value at rest, in logs, in reprs or in tracebacks."""

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from coatcheck import Session, session
from coatcheck._cookie.sealing import Encrypter, Signer
from coatcheck._session.changes import Clear, Consume, Flash, Set, Unset, Update
from coatcheck._session.ids import key_of
from coatcheck._session.lifecycle import commit
from coatcheck._session.record import Contents, Moved
from coatcheck._session.values import encode
from coatcheck.storage import FileStorage, KeyedStorage, MemoryStorage, RedisStorage, Refused
from coatcheck.testing import Clock
from tests.hosts import COOKIE, SECRET, Front, Handler, asgi_app, wsgi_app
from tests.storage_kinds import Made, front_of
from tests.threats.attacks import (
    Spy,
    both,
    does,
    everywhere,
    flashes,
    holding,
    is_new,
    sets,
    signed_in,
)


@both
def test_no_backend_sees_an_id(name: str, spy: Spy, clock: Clock) -> None:
    """Not in a key, not in a record, in no form that leads back to it."""
    with front_of(name, Made(KeyedStorage(spy, clock=clock))) as front:
        browser = signed_in(front)
        ids = [browser.value or ""]
        browser.ask(Session.regenerate_id)
        ids.append(browser.value or "")
        browser.ask(Session.destroy)
    seen = repr(spy.calls)
    assert len(spy.calls) >= 5
    assert not any(issued in seen for issued in ids)
    assert {call[1] for call in spy.calls} == set(map(key_of, ids))


def test_no_file_holds_an_id(tmp_path: Path) -> None:
    """Neither its name nor its contents."""
    with front_of("wsgi", Made(FileStorage(tmp_path))) as front:
        browser = signed_in(front)
        assert browser.value
        for path in tmp_path.rglob("*"):
            assert browser.value not in str(path)
            assert path.is_dir() or browser.value.encode() not in path.read_bytes()


@both
def test_two_applications_on_one_server_do_not_collide(
    name: str, redis_socket: str, clock: Clock
) -> None:
    """One Redis, one secret, one cookie name: the prefix keeps them apart."""
    with redis.Redis(unix_socket_path=redis_socket) as client:
        first = RedisStorage(client, prefix="first:", clock=clock)
        second = RedisStorage(client, prefix="second:", clock=clock)
        with front_of(name, Made(first)) as one, front_of(name, Made(second)) as other:
            browser, guest = signed_in(one), other.browser()
            guest.header = browser.header
            assert guest.ask(is_new).json is True


VALUE = "swordfish"


def revealing(text: str, id: str | None) -> list[str]:
    """Return what of a session's secrets stands in *text*."""
    return [secret for secret in (SECRET, VALUE, id) if secret and secret in text]


def held_things(clock: Clock) -> Iterator[tuple[str, object]]:
    """Yield an id, and everything that may lie in a variable while it is served."""
    storage = MemoryStorage(clock=clock)
    live = storage.read(None)
    live["word"] = VALUE
    live.flash("notice", VALUE)
    issued = live.id
    plan = commit(live, clock())
    assert plan
    storage.save(live)
    again = storage.read(issued)
    again.set("word", VALUE * 2)
    opened = COOKIE.open(holding(issued))
    stored = storage.backend.get(key_of(issued))
    raw = encode("word", VALUE)
    changes = [Set("k", raw), Flash("k", raw), Consume("k", raw), Unset("k"), Clear()]
    changes.append(Update("k", str, raw))
    sessions = session(COOKIE, storage)
    for thing in (
        *(live, again, live.draft, again.draft, plan, plan.record),
        *(again.keys(), again.draft.log, Contents({"k": raw}), Moved(1.0), raw),
        *(opened, stored, Refused(stored), changes, storage, storage.backend),
        *(COOKIE, Signer([SECRET], purpose="p"), Encrypter([SECRET], purpose="p")),
        *(sessions, sessions(asgi_app), sessions.wsgi(wsgi_app), sessions(asgi_app).cycle),
        *vars(sessions(asgi_app).cycle).values(),
        *(vars(storage), vars(storage.backend)),
    ):
        yield issued, thing


def test_no_repr_reveals_anything(clock: Clock) -> None:
    """What an error reporter shows of local variables holds no id, secret or value."""
    for issued, thing in held_things(clock):
        assert revealing(f"{thing!r} {thing}", issued) == [], type(thing)


@everywhere
def test_no_log_reveals_anything(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """At any level, whatever happens to the session."""
    caplog.set_level(logging.DEBUG)
    browser = front.browser()
    browser.ask(sets(word=VALUE))
    ids = [browser.value]
    browser.ask(does(flashes(notice=VALUE), Session.regenerate_id))
    ids.append(browser.value)
    left, browser.header = browser.header, holding(ids[0] or "")
    browser.ask(sets(late=VALUE))
    browser.header = left
    browser.ask(Session.destroy)
    assert [revealing(caplog.text, issued) for issued in ids] == [[], []]


def unstorable(session: Session) -> None:
    session["word"] = {VALUE}


def grows(session: Session) -> None:
    session["word"] = VALUE * 200_000


def dies(session: Session) -> None:
    session.destroy()
    session["word"] = VALUE


def raises(session: Session) -> object:
    return session["no " + session["kept"][:2]]


@everywhere
@pytest.mark.parametrize("handler", [unstorable, grows, dies, raises])
def test_no_traceback_reveals_anything(front: Front, handler: Handler) -> None:
    """Neither the message nor the chain of causes."""
    browser = front.browser()
    browser.ask(sets(kept=VALUE))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind
        browser.ask(handler)
    text = "".join(traceback.format_exception(raised.value))
    assert revealing(text.replace("VALUE", ""), browser.value) == []
