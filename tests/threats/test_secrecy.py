"""No id, secret or value at rest, in logs, in reprs or in tracebacks."""

import importlib
import logging
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

import coatcheck
from coatcheck import Session, session
from coatcheck._cookie.hidden import Hidden
from coatcheck._cookie.pins import Pins
from coatcheck._cookie.sealing import Encrypter, Signer
from coatcheck._model.models import Built
from coatcheck._session.changes import (
    Append,
    Apply,
    Clear,
    Consume,
    Flash,
    Replace,
    Set,
    SetDefault,
    Unset,
    Update,
)
from coatcheck._session.draft import Carried, Found, Given, Lapsed, Lost, Moved
from coatcheck._session.ids import key_of
from coatcheck._session.moves import Moves, marker_of
from coatcheck._session.plan import Delete, Get, There
from coatcheck._session.record import Contents, Record, Tombstone, Who
from coatcheck._session.saving import save
from coatcheck._session.values import Encoded, encode
from coatcheck.storage import FileStorage, KeyedStorage, MemoryStorage, RedisStorage, Refused
from coatcheck.storage.migrating.record_moves import InNew, InOld
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
    sessions = session(COOKIE, storage)
    live = storage.read(None)
    live["word"] = VALUE
    live.flash("notice", VALUE)
    issued = live.id
    storage.save(live)
    again, key = storage.read(issued), key_of(issued)
    again.set("word", VALUE * 2)
    stored = storage.backend.get(key)
    assert stored
    there = storage.space.there(stored, key, issued)
    assert isinstance(there.kept, Record)
    raw = encode("word", VALUE)
    who = Who(user="ada", pin=VALUE.encode(), former=issued)
    for thing in (
        *(live, again, live._draft, again._draft, again.keys(), again._draft.log, raw, who),
        *(there, there.kept, there.kept.body, Contents({"k": raw}), stored, Refused(stored)),
        *changes_of(raw, VALUE),
        *calls_of(storage, there),
        *origins_of(there, clock()),
        *(COOKIE.open(holding(issued)), COOKIE, Pins([SECRET])),
        *(Signer([SECRET], purpose="p"), Encrypter([SECRET], purpose="p")),
        *(storage, storage.backend, vars(storage), vars(storage.backend), storage.space),
        *(sessions, sessions(asgi_app), sessions.wsgi(wsgi_app), sessions(asgi_app)._cycle),
        *vars(sessions(asgi_app)._cycle).values(),
        *(InNew(stored.version), InOld(stored.version, stored.version, stored.record)),
        Built({"word": VALUE}, {}),
    ):
        yield issued, thing


def changes_of(raw: Encoded, value: str) -> list[object]:
    """Return every kind of change, of a key that must not be shown."""
    return [
        *(Set(value, raw), SetDefault(value, raw), Unset(value), Clear(), Flash(value, raw)),
        *(Consume(value, raw), Apply(value, str, raw), Append(value, raw, [raw])),
        *(Update(value, {value: raw}), Replace(value, raw)),
    ]


def calls_of(storage: KeyedStorage, there: There) -> list[object]:
    """Return every kind of call, and what makes them."""
    assert isinstance(there.kept, Record)
    write = storage.space.write(there, there.kept, 0)
    bury = storage.space.bury(there, 0, 60)
    return [save(Session(), storage.space), write, bury, Get(there.key), Delete(there.key)]


def origins_of(there: There, now: float) -> list[object]:
    """Return every kind of origin and of move."""
    assert isinstance(there.kept, Record)
    move = Moves("sign_in", Who(user=there.id, pin=VALUE.encode()), VALUE.encode())
    marker = marker_of(
        move, there.kept.body, old=there.id, old_key=there.key, new=there.id, new_key=there.key,
        now=now,
    )  # fmt: skip
    found = (there.kept, there.id, there.version, now)
    return [
        *(Found(*found), Carried(*found), Given(there.id), Lapsed(there.id, there.version)),
        *(Moved(marker, there.id, now), marker, move, Lost("gone"), Tombstone(b"tag", now)),
    ]


def test_no_repr_reveals_anything(clock: Clock) -> None:
    """What an error reporter shows of local variables holds no id, secret or value."""
    for issued, thing in held_things(clock):
        rich: list[object] = getattr(thing, "__rich_repr__", list)()
        assert revealing(f"{thing!r} {thing} {list(rich)}", issued) == [], type(thing)


def test_every_struct_is_hidden_or_holds_nothing() -> None:
    """One that is added later is hidden, or named here because it holds no id, secret or value."""
    for module in pkgutil.walk_packages(coatcheck.__path__, "coatcheck."):
        if not module.name.startswith(("coatcheck.frameworks", "coatcheck.__main__")):
            importlib.import_module(module.name)
    shown = {
        each.__qualname__
        for each in subclasses_of(msgspec.Struct)
        if each.__module__.startswith("coatcheck.") and not issubclass(each, Hidden)
        if hasattr(sys.modules[each.__module__], each.__name__)  # Litestar makes others
    }
    assert shown == {
        *("Event", "Facts", "Keyspace", "Near", "Powers", "Rosters", "Rules", "Terms"),
    }


def subclasses_of(kind: type) -> Iterator[type]:
    subclasses: list[type] = kind.__subclasses__()
    for each in subclasses:
        yield each
        yield from subclasses_of(each)


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
