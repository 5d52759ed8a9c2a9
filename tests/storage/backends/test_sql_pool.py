"""Connections of an SQL engine stay in the process that opened them."""

import asyncio
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import StaticPool

from coatcheck.storage import KeyedStorage, SqlStorage, storage_from_url
from tests.engines import PLAIN, async_engine, plain_engine, with_driver

FORK = multiprocessing.get_context("fork")

WORKERS = ["ada", "bob", "cleo"]

READS = 100

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'db'}"
        with plain_engine(url) as engine:
            SqlStorage(engine).create_table()
        return url
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


def sign_in(storage: KeyedStorage, user: str) -> str | None:
    session = storage.read(None)
    session["user"] = user
    return storage.save(session)


def work(told: Any, ask: Callable[[], object], times: int) -> None:
    """Tell what was seen in this process."""
    try:
        told.put({ask() for _ in range(times)})
    except Exception as error:
        told.put({repr(error)})


def in_children(*asks: Callable[[], object], times: int = READS) -> list[object]:
    """Return what each child saw, all of them at work at once."""
    told = [FORK.Queue() for _ in asks]
    jobs = zip(told, asks, strict=True)
    children = [FORK.Process(target=work, args=(*job, times)) for job in jobs]
    for child in children:
        child.start()
    seen = [each.get(timeout=60) for each in told]
    for child in children:
        child.join()
    return seen


def check_each_sees_its_own(storage: KeyedStorage) -> None:
    values = {user: sign_in(storage, user) for user in [*WORKERS, "parent"]}

    def reader(user: str) -> Callable[[], object]:
        return lambda: storage.read(values[user])["user"]

    seen = in_children(*(reader(user) for user in WORKERS))
    assert seen == [{user} for user in WORKERS]
    assert reader("parent")() == "parent"


def test_an_engine_that_was_used_before_a_fork_works_in_every_child(url: str) -> None:
    """Each visitor's request gets that visitor's session, and none fails."""
    with plain_engine(url) as engine:
        check_each_sees_its_own(SqlStorage(engine))


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_storage_from_a_url_that_was_used_before_a_fork_works_too(
    server: str, request: pytest.FixtureRequest
) -> None:
    """Its engine is one of its own, with the same rule."""
    storage = storage_from_url(request.getfixturevalue(f"{server}_url"))
    assert isinstance(storage, KeyedStorage)
    check_each_sees_its_own(storage)
    storage.close()


def test_an_awaited_engine_that_was_used_before_a_fork_works_too(url: str) -> None:
    """`create_table()` while the application is imported is one such use."""
    engine = async_engine(url)
    storage = SqlStorage(engine)

    async def visit() -> str | None:
        session = await storage.read(None)
        session["user"] = "ada"
        return await storage.save(session)

    def read() -> object:
        async def look() -> object:
            session = await storage.read(value)
            await engine.dispose()
            return session["user"]

        return asyncio.run(look())

    with asyncio.Runner() as runner:
        value = runner.run(visit())
        assert in_children(read, read, times=10) == [{"ada"}, {"ada"}]
        runner.run(engine.dispose())


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_the_connections_of_the_parent_stay_open(
    server: str, request: pytest.FixtureRequest
) -> None:
    """A child neither uses nor closes them, also where the application uses the engine itself."""
    function = {"postgresql": "pg_backend_pid()", "mariadb": "connection_id()"}[server]
    with plain_engine(request.getfixturevalue(f"{server}_url")) as engine:
        SqlStorage(engine).read("A" * 40)

        def connection() -> object:
            with engine.connect() as opened:
                return opened.execute(text(f"SELECT {function}")).scalar_one()

        before = connection()
        (seen,) = in_children(connection)
        assert isinstance(seen, set)
        assert before not in seen
        assert len(seen) == 1
        assert connection() == before


def test_two_storages_on_one_engine_watch_it_once(url: str) -> None:
    """A second storage adds nothing to the pool."""
    with plain_engine(url) as engine:
        SqlStorage(engine)
        before = len(list(engine.pool.dispatch.checkout))
        SqlStorage(engine, prefix="b:")
        assert len(list(engine.pool.dispatch.checkout)) == before


def test_a_database_in_memory_is_the_copy_of_the_child() -> None:
    """There is no other way to it, so its connection is used on."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    storage = SqlStorage(engine)
    storage.create_table()
    value = sign_in(storage, "ada")
    assert in_children(lambda: storage.read(value)["user"]) == [{"ada"}]
    engine.dispose()


def test_an_engine_that_is_disposed_of_in_the_child_is_fine(url: str) -> None:
    """As SQLAlchemy's documentation tells applications to do it after a fork."""
    engine: Engine = create_engine(with_driver(url, PLAIN))
    storage = SqlStorage(engine)
    value = sign_in(storage, "ada")

    disposed: list[bool] = []

    def read() -> object:
        if not disposed:
            engine.dispose(close=False)
            disposed.append(True)
        return storage.read(value)["user"]

    assert in_children(read) == [{"ada"}]
    engine.dispose()
