"""encrypt=True, over every storage that keeps sessions on a server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from coatcheck import BackendError, Session, Users
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.roster import Roster
from coatcheck._session.roster_plans import Rosters, read
from coatcheck.storage import KeyedStorage, MemoryStorage, RedisStorage, storage_from_url
from coatcheck.testing import Clock, StorageContract
from coatcheck.testing.plain_or_awaited import Make
from tests.engines import plain_engine
from tests.hosts import COOKIE, Asgi, Browser
from tests.storage.test_storage_contract import SERVER_SIDE
from tests.storage_kinds import front_of, storage_of
from tests.thorough import crossed

ALWAYS = {
    *("memory", "file-asyncio", "sqlite", "redis", "memcached-asyncio", "mariadb"),
    "postgresql-url-asyncio",
}
"""Every backend once: what is encrypted is the same for all."""

WORD, NAME, USER, NOTICE = "swordfish", "favourite-fish", "ada-lovelace", "you-are-in"


@pytest.fixture
def make(kind: str, request: pytest.FixtureRequest, clock: Clock) -> Iterator[Make]:
    with storage_of(kind, request, clock, encrypt=True) as made:

        @asynccontextmanager
        async def storage() -> AsyncIterator[Any]:
            asynchronous = getattr(made.storage, "aio", None) if kind.endswith("asyncio") else None
            yield asynchronous or made.storage
            if made.close:
                await made.close()

        yield storage


@pytest.mark.parametrize("kind", crossed(SERVER_SIDE, always=ALWAYS))
class TestEncryptedStorages(StorageContract):
    """Each keeps every promise that it keeps in clear."""


def secrets_of(storage: KeyedStorage) -> list[str]:
    """Save a session and change it; return all that a copy of the database must not show."""
    session = storage.read(None)
    session[NAME] = WORD
    session.sign_in(USER)
    session.flash("notice", NOTICE)
    id = storage.save(session)
    assert id
    again = storage.read(id)
    again[NAME] = [WORD]
    storage.save(again)
    assert storage.read(id)[NAME] == [WORD]
    return [WORD, NAME, USER, NOTICE, id]


def shown(dump: bytes, secrets: list[str]) -> list[str]:
    """Return which of the secrets stand in a dump."""
    return [secret for secret in secrets if secret.encode() in dump]


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_no_file_shows_what_a_session_holds(
    kind: str, request: pytest.FixtureRequest, clock: Clock, tmp_path: Path
) -> None:
    """Not in a name, not in a log of SQLite: a copy of the folder shows keys, dates and sizes."""
    with storage_of(kind, request, clock, encrypt=True) as made:
        assert isinstance(made.storage, KeyedStorage)
        secrets = secrets_of(made.storage)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        dump = b"".join(str(path).encode() + path.read_bytes() for path in files)
    assert len(dump) > 100
    assert shown(dump, secrets) == []


def test_no_key_of_redis_shows_what_a_session_holds(redis_socket: str, clock: Clock) -> None:
    """A copy of the server shows keys, dates and sizes."""
    with redis.Redis(unix_socket_path=redis_socket) as client:
        secrets = secrets_of(RedisStorage(client, prefix="hidden:", clock=clock, encrypt=True))
        keys = list(client.scan_iter("hidden:*"))
        dump = b"".join(key + (client.dump(key) or b"") for key in keys)
    assert len(keys) > 0
    assert shown(dump, secrets) == []


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_no_row_shows_what_a_session_holds(
    kind: str, request: pytest.FixtureRequest, clock: Clock
) -> None:
    """A copy of the table shows keys, dates and sizes."""
    with storage_of(kind, request, clock, encrypt=True) as made:
        assert isinstance(made.storage, KeyedStorage)
        secrets = secrets_of(made.storage)
        with plain_engine(request.getfixturevalue(f"{kind}_url")) as engine, engine.connect() as db:
            rows = db.execute(sa.text("SELECT * FROM coatcheck_sessions")).all()
    own = [row for row in rows if str(row[0]).startswith(made.storage.prefix)]  # one table for all
    assert own
    dump = b"".join(bytes(v) if isinstance(v, bytes) else str(v).encode() for r in own for v in r)
    assert shown(dump, secrets) == []


def test_a_session_in_clear_is_refused(clock: Clock) -> None:
    """Whoever can write to the server cannot put a session there that is read."""
    clear = MemoryStorage(clock=clock)
    session = clear.read(None)
    session["user"] = "eve"
    id = clear.save(session)
    hidden = KeyedStorage(clear.backend, clock=clock, waits=False, encrypt=True)
    assert refused(hidden, id)


def test_a_session_under_another_id_is_refused(clock: Clock) -> None:
    """Two records that were exchanged on the server are read by neither visitor."""
    storage = MemoryStorage(clock=clock, encrypt=True)
    ids = []
    for name in ("ada", "bob"):
        session = storage.read(None)
        session["user"] = name
        ids.append(storage.save(session) or "")
    keys = [storage.space.key(id) for id in ids]
    kept = [storage.backend.get(key) for key in keys]
    assert kept[0]
    assert kept[1]
    storage.backend.delete(keys[0])
    storage.backend.swap(keys[0], None, kept[1].record, 100)
    assert refused(storage, ids[0])


def refused(storage: KeyedStorage, id: str | None) -> bool:
    """Tell whether what is stored under an id is not read as a session."""
    try:
        session: Session = storage.read(id)
    except BackendError:
        return True
    return session.is_new and not dict(session)


@pytest.mark.parametrize("form", ["memory:?", "file:{}/files?", "sqlite:{}/db?"])
def test_a_url_turns_it_on(form: str, tmp_path: Path) -> None:
    """With encrypt=yes, the records are those of encrypt=True."""
    storage = storage_from_url(f"{form.format(tmp_path)}encrypt=yes")
    assert isinstance(storage, KeyedStorage)
    *_, id = secrets = secrets_of(storage)
    kept = storage.backend.get(storage.space.key(id))
    assert kept
    assert shown(kept.record, secrets) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("wsgi", "sqlite"),
        ("wsgi", "redis"),
        ("asgi", "redis-asyncio"),
        ("wsgi", "postgresql"),
        ("asgi", "mariadb-asyncio"),
    ],
)
def test_a_sign_out_with_an_old_id_leaves_no_row_on_the_list(
    request: pytest.FixtureRequest, clock: Clock, name: str, kind: str
) -> None:
    """The session under the new id ends, too."""
    with storage_of(kind, request, clock, encrypt=True) as made, front_of(name, made) as front:
        users = Users(COOKIE, made.storage)

        def rows() -> int:
            if isinstance(front, Asgi):
                return len(front.runner.run(users.aio._ask(roster)).rows)
            return len(users._ask(roster).rows)

        browser = front.browser(users=users)
        browser.ask(lambda session: session.sign_in(USER))
        late = Browser(browser.send, browser.cookie, browser.header)
        browser.ask(Session.confirm)
        assert browser.header != late.header
        assert rows() == 1
        late.ask(Session.destroy)
        assert rows() == 0
        assert browser.ask(lambda session: session.signed_in is None).json is True


def roster(rosters: Rosters, space: Keyspace) -> Plan[Roster]:
    return read(rosters.of(USER, space))
