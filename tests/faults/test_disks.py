"""Disks that are full or read-only: what the client sees, and what is lost."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coatcheck import BackendError, Session
from coatcheck.storage import storage_from_url
from tests.engines import create_table
from tests.faults.breakable_servers import place_of
from tests.faults.disks import SIZE, full, read_only, small_disk
from tests.faults.test_outages import FRONTS, front_at, reads, signs_in, writes
from tests.hosts import Browser, Front
from tests.thorough import crossed

FILES = ["file", "sqlite"]


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="coatcheck-") as found:
        yield Path(found)


def url_of(kind: str, folder: Path) -> str:
    return f"{kind}:{folder / 's'}"


def count_of(session: Session) -> object:
    return session.get("n")


def fills(session: Session) -> None:
    session.apply("n", lambda n: n + 1, 0)
    session["filler"] = "x" * 100_000


def signed_in(front: Front, count: int) -> list[Browser]:
    browsers = [front.browser() for _ in range(count)]
    for browser in browsers:
        browser.ask(signs_in)
        browser.ask(writes)
    return browsers


def is_taken(browser: Browser) -> bool:
    """Write, and tell whether the storage took it."""
    try:
        browser.ask(fills)
    except BackendError:
        return False
    return True


def write_until_refused(browsers: list[Browser], counts: list[int]) -> None:
    """Write in turn until a write is refused; *counts* are those that were not."""
    for step in range(1000):
        if not is_taken(browsers[step % len(browsers)]):
            return
        counts[step % len(browsers)] += 1
    pytest.fail("a full disk took every write")


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("kind", FILES)
def test_full_disk(kind: str, name: str, folder: Path) -> None:
    """A write is a BackendError and changes nothing; reads go on; with room again, writes do."""
    with small_disk(folder / "disk") as disk, front_at(url_of(kind, disk), name) as front:
        browsers, counts = signed_in(front, 4), [1] * 4
        with full(disk):
            write_until_refused(browsers, counts)
            assert [browser.ask(count_of).json for browser in browsers] == counts
            with pytest.raises(BackendError):
                browsers[0].ask(fills)
            assert [browser.ask(reads).json for browser in browsers] == [1] * 4
        for browser in browsers:
            browser.ask(writes)
        assert [browser.ask(count_of).json for browser in browsers] == [n + 1 for n in counts]
        newcomer = front.browser()
        newcomer.ask(signs_in)
        assert newcomer.ask(reads).json == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    crossed(["postgresql", "mariadb"], FRONTS, always={"postgresql-asgi", "mariadb-wsgi"}),
)
def test_full_disk_of_a_server(kind: str, name: str, folder: Path) -> None:
    """When the disk with the table is full, the same holds."""
    own = folder / "s"
    own.mkdir()
    with place_of(kind, own) as place:
        place.tell("DROP TABLE coatcheck_sessions")
        at = own / "disk" if kind == "postgresql" else own / "data" / "coatcheck"
        owner = "postgres" if kind == "postgresql" else "mysql"
        with small_disk(at, owner=owner, size=4 * SIZE) as disk:
            if kind == "postgresql":
                place.tell(f"CREATE TABLESPACE small LOCATION '{disk}'")
                place.tell("ALTER DATABASE postgres SET default_tablespace = small")
            create_table(place.url.partition("?")[0])
            with front_at(place.url, name) as front:
                fill_and_go_on(front, disk)
            place.server.stop()


def fill_and_go_on(front: Front, disk: Path) -> None:
    browsers, counts = signed_in(front, 4), [1] * 4
    newcomers: list[Browser] = []
    with full(disk):
        while is_taken(newcomer := front.browser()):
            newcomers.append(newcomer)
        assert [browser.ask(count_of).json for browser in newcomers] == [1] * len(newcomers)
        assert [browser.ask(count_of).json for browser in browsers] == counts
    for browser in browsers:
        browser.ask(writes)
    assert [browser.ask(count_of).json for browser in browsers] == [2] * 4
    newcomer.ask(fills)
    assert newcomer.ask(count_of).json == 1


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("kind", FILES)
def test_read_only_folder(kind: str, name: str, folder: Path) -> None:
    """While somebody else may write there, reads go on; a write is a BackendError."""
    (folder / "data").mkdir()
    with front_at(url_of(kind, folder / "data"), name) as writing:
        browser = signed_in(writing, 1)[0]
        with (
            read_only(folder / "data", folder / "view") as view,
            front_at(url_of(kind, view), name) as front,
        ):
            reader = front.browser()
            reader.header = browser.header
            assert reader.ask(reads).json == 1
            with pytest.raises(BackendError) as raised:
                reader.ask(writes)
            assert raised.value.__cause__ is not None
            with pytest.raises(BackendError):
                front.browser().ask(signs_in)
            assert reader.ask(count_of).json == 1
        browser.ask(writes)
        assert browser.ask(count_of).json == 2


def test_read_only_sqlite_that_nobody_has_open(folder: Path) -> None:
    """SQLite needs its log to read: the application does not start, and nothing is lost."""
    (folder / "data").mkdir()
    url = url_of("sqlite", folder / "data")
    with front_at(url, "wsgi") as front:
        browser = signed_in(front, 1)[0]
    with read_only(folder / "data", folder / "view") as view, pytest.raises(BackendError):
        storage_from_url(url_of("sqlite", view))
    with front_at(url, "wsgi") as front:
        again = front.browser()
        again.header = browser.header
        assert again.ask(count_of).json == 1
