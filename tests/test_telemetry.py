"""Metrics from events, read by the real SDK of OpenTelemetry and by a real scrape."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from coatcheck import ConfigurationError, telemetry
from coatcheck.storage import MemoryStorage
from tests.hosts import COOKIE, Wsgi


def visit(listener: Any) -> None:
    """Save a session twice, once after a lost race; bring it, and one that leads nowhere."""
    storage = MemoryStorage()
    browser = Wsgi(storage).browser(on_event=listener)
    browser.ask(lambda session: session.set("a", 1))

    def in_a_race(session: Any) -> None:
        other = storage.read(browser.value)
        other["b"] = 2
        storage.save(other)
        session["c"] = 3

    browser.ask(in_a_race)
    browser.header = COOKIE.serialize("A" * 40).partition(";")[0]
    browser.ask(len)


def points_of(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    """Return the points of each metric."""
    data: Any = reader.get_metrics_data()
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


def test_open_telemetry_gets_counters_and_histograms() -> None:
    """By event and reason; times in seconds, sizes in bytes, and no user or session."""
    reader = InMemoryMetricReader()
    visit(telemetry.open_telemetry(MeterProvider([reader]).get_meter("shop")))
    points = points_of(reader)
    counted = {
        (point.attributes["event"], point.attributes["reason"]): point.value
        for point in points["coatcheck.session.events"]
    }
    assert counted == {
        ("started", ""): 1,
        ("saved", ""): 2,
        ("merged", ""): 1,
        ("read", "found"): 1,
        ("read", "none"): 1,
        ("refused", "unknown id"): 1,
    }
    (save,) = points["coatcheck.session.save.duration"]
    assert save.count == 2
    assert 0 < save.sum < 5
    assert {point.attributes["result"] for point in points["coatcheck.session.read.duration"]} == {
        "found",
        "none",
    }
    (rounds,) = points["coatcheck.session.save.rounds"]
    assert (rounds.count, rounds.sum) == (2, 3)
    (size,) = points["coatcheck.session.record.size"]
    assert size.max > 50


def test_the_global_meter_is_the_default() -> None:
    """Without a set-up by the application it records nothing."""
    visit(telemetry.open_telemetry())


def test_prometheus_is_scraped() -> None:
    """Under names of its own form."""
    registry = CollectorRegistry()
    visit(telemetry.prometheus(registry))
    page = generate_latest(registry).decode().splitlines()
    for line in (
        'coatcheck_session_events_total{event="refused",reason="unknown id"} 1.0',
        'coatcheck_session_events_total{event="saved",reason=""} 2.0',
        'coatcheck_session_read_duration_seconds_count{result="found"} 1.0',
        "coatcheck_session_save_duration_seconds_count 2.0",
        "coatcheck_session_save_rounds_sum 3.0",
        "coatcheck_session_record_size_bytes_count 2.0",
    ):
        assert line in page


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [
        (telemetry.open_telemetry, "opentelemetry.metrics", "coatcheck[opentelemetry]"),
        (telemetry.prometheus, "prometheus_client", "coatcheck[prometheus]"),
    ],
)
def test_a_package_that_is_missing_is_named(
    make: Callable[[], object], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert extra in str(refused.value)


def test_what_has_no_size_has_no_size() -> None:
    """A session that ended has no record."""
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    scraped = telemetry.prometheus(registry)
    exported = telemetry.open_telemetry(MeterProvider([reader]).get_meter("shop"))

    def both(event: Any) -> None:
        scraped(event)
        exported(event)

    browser = Wsgi(MemoryStorage()).browser(on_event=both)
    browser.ask(lambda session: session.set("a", 1))
    browser.ask(lambda session: session.destroy())
    assert "coatcheck_session_record_size_bytes_count 1.0" in generate_latest(registry).decode()
    (size,) = points_of(reader)["coatcheck.session.record.size"]
    assert size.count == 1
