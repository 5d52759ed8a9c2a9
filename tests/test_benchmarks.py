"""The benchmark's own applications do the work that they are timed at; nothing is timed here."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from benchmarks import (
    bars,
    bulk,
    cases,
    chart,
    databases,
    floor,
    growth,
    report,
    report_tables,
    served,
    storages,
    subjects,
    work,
)
from benchmarks.place import Place, place
from tests.thorough import thorough


@pytest.fixture
def where() -> Iterator[Place]:
    with place() as made:
        yield made


@pytest.mark.parametrize("key", ["cookie", "encrypted", "memory", "sqlite", "files"])
def test_ours_reads_writes_and_refuses(key: str, where: Place) -> None:
    """What is timed is a session that is really read, written, and refused when tampered with."""
    with closing(storages.made(key, where)) as made:
        cases.check(made.subject)
    assert work.filling == work.data_of(7)


@pytest.mark.parametrize(
    ("key", "driver"),
    [("postgresql", "psycopg"), thorough("mariadb", "asyncmy")],
    ids=["psycopg", "asyncmy"],
)
def test_ours_in_a_database_takes_rows_in_bulk(key: str, driver: str, where: Place) -> None:
    """A session that was stored in bulk is one that the storage reads, and takes space."""
    pytest.importorskip(driver)
    if not storages.can_be_made(key):
        pytest.skip(f"{key} is not installed")
    grown = growth.Grown(key, where)
    with closing(grown.made):
        cases.check(grown.made.subject)
        grown.grow(1000)
        cookie = grown.made.cookie.serialize(grown.ids[-1]).partition(";")[0]
        shown = grown.made.subject.driver.ask(grown.made.subject.make("show"), cookie).body
        assert json.loads(shown) == work.data_of(1)
        assert grown.space() - grown.base > 200 * 1000


def test_a_missing_database_is_left_out_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has not installed it gets the other rows, and is told once what is missing."""
    monkeypatch.setattr(databases, "program", lambda _: None)
    databases.is_there.cache_clear()
    assert not any(storages.can_be_made("mariadb") for _ in range(2))
    databases.is_there.cache_clear()
    told = "mariadb is not installed, and left out: run benchmarks/install\n"
    assert (storages.can_be_made("files"), capsys.readouterr().err) == (True, told)


def test_every_storage_has_its_place_in_the_report() -> None:
    """None is measured and then not shown: in tables, among what grows, and as a line."""
    grouped = {key for keys in report_tables.GROUPS.values() for key in keys}
    assert set(storages.OURS) <= grouped & set(report_tables.STORAGES)
    kept_by_a_server = set(storages.OURS) - {"cookie", "encrypted"}
    assert kept_by_a_server - {"memory encrypt", "redis encrypt"} == set(bulk.MAKERS)
    assert len(bulk.MAKERS) <= len(chart.COLOURS)


def test_every_application_over_http_has_a_name() -> None:
    """The table calls each by its name."""
    assert list(served.MADE) == list(served.NAMES)


@pytest.mark.parametrize("subject", [subjects.starlette(), *floor.subjects()], ids=lambda s: s.key)
def test_what_ours_is_measured_against_does_the_same_work(subject: subjects.Subject) -> None:
    """A reference that did less would be no reference."""
    cases.check(subject)
    assert set(subject.works) == set(work.WORKS)


def test_a_subject_that_does_nothing_is_found_out() -> None:
    """The check is one: without sessions, nothing passes it."""
    idle = subjects.Subject("idle", "idle", lambda _: subjects.untouched)
    with pytest.raises(AssertionError, match="gave no cookie"):
        cases.check(idle)


def test_a_session_is_of_200_bytes() -> None:
    """All clients' sessions are of the length that the pages tell."""
    sizes = {len(json.dumps(work.data_of(n), separators=(",", ":"))) for n in (0, 9_999)}
    assert sizes == {200}


def test_the_worst_of_its_works_decides_a_bar() -> None:
    """A bar without named clients is missed if it is missed with one kind of them."""
    rows = [
        {"subject": "encrypted", "work": "W2 warm", "ratio": 0.2},
        {"subject": "encrypted", "work": "W2 cold", "ratio": 0.5},
    ]
    (judged,) = bars.judged(rows)
    assert (judged["measured"], judged["met"]) == (0.5, False)


def test_the_page_keeps_what_is_not_measured(tmp_path: Path) -> None:
    """Only what stands between the markers is written anew."""
    page = tmp_path / "page.md"
    page.write_text(f"before {report.BEGIN} old {report.END} after")
    report.replace_measured(page, "new")
    assert page.read_text() == f"before {report.BEGIN}\n\nnew\n{report.END} after"


def test_frameworks_are_imported_when_they_are_measured() -> None:
    """Ours can be checked where the peers are not installed."""
    from benchmarks import peers

    assert len(peers.PEERS) == sum(map(len, peers.KINDS.values()))
    assert "benchmarks.peers.beaker" not in sys.modules


@pytest.mark.parametrize("page", report.PAGES.values())
def test_every_page_has_a_place_for_what_is_measured(page: str) -> None:
    """`make bench` writes there, and leaves the rest of the page as it is."""
    text = (Path(__file__).parent.parent / "docs" / page).read_text()
    assert 0 < text.index(report.BEGIN) < text.index(report.END)


def test_the_page_for_users_is_short() -> None:
    """Two charts and one table; what a project asks of itself is a decision."""
    root = Path(__file__).parent.parent
    saved = (root / "benchmarks/results/latest.json").read_text()
    shown = report.summary(json.loads(saved))
    assert (shown.count("!["), shown.count("| --- ")) == (2, 1)
    assert "missed" not in shown
