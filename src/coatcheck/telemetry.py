"""
Metrics of sessions, from their events: for OpenTelemetry and for Prometheus.

    coatcheck.session(cookie, storage, on_event=open_telemetry())
    coatcheck.session(cookie, storage, on_event=prometheus())

    coatcheck.session.events          counter, by event and reason
    coatcheck.session.read.duration   histogram, seconds, by result ("found", "none")
    coatcheck.session.save.duration   histogram, seconds
    coatcheck.session.save.rounds     histogram: 1, or more if other requests saved meanwhile
    coatcheck.session.record.size     histogram, bytes

Prometheus writes "_" for ".": `coatcheck_session_events_total`. No metric names a user, a session
or a value. The names follow the rules of OpenTelemetry for names and units; its conventions have
none for sessions on a server.
"""

from typing import TYPE_CHECKING, Any

from coatcheck._request.events import Event, OnEvent
from coatcheck.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from prometheus_client import CollectorRegistry

__all__ = ["open_telemetry", "prometheus"]

SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
ROUNDS = (1, 2, 3, 5, 10, 50, 200)
BYTES = (128, 256, 512, 1024, 4096, 16_384, 65_536, 262_144, 1_000_000)

EVENTS, READ = "coatcheck.session.events", "coatcheck.session.read.duration"
SAVE, TRIES = "coatcheck.session.save.duration", "coatcheck.session.save.rounds"
SIZE = "coatcheck.session.record.size"

ABOUT = {
    EVENTS: "What happened to sessions",
    READ: "Time to look a session up",
    SAVE: "Time to save a session",
    TRIES: "Rounds of a save",
    SIZE: "Size of a saved session",
}


def open_telemetry(meter: "Meter | None" = None) -> OnEvent:
    """
    Return a listener that records metrics of OpenTelemetry: for `session(..., on_event=)`.

    Args:
        meter: None: one of the global provider, as the application has set it up.

    Raises:
        ConfigurationError: opentelemetry-api is not installed: pip install
            'coatcheck[opentelemetry]'.
    """
    if meter is None:
        try:
            from opentelemetry.metrics import get_meter
        except ImportError as missing:
            raise ConfigurationError(
                "open_telemetry() needs a package: pip install 'coatcheck[opentelemetry]'"
            ) from missing
        meter = get_meter("coatcheck")
    events = meter.create_counter(EVENTS, "{event}", ABOUT[EVENTS])

    def histogram(name: str, unit: str, bounds: tuple[float, ...]) -> Any:
        return meter.create_histogram(
            name, unit, ABOUT[name], explicit_bucket_boundaries_advisory=bounds
        )

    read, save = histogram(READ, "s", SECONDS), histogram(SAVE, "s", SECONDS)
    rounds, size = histogram(TRIES, "{round}", ROUNDS), histogram(SIZE, "By", BYTES)

    def listen(event: Event) -> None:
        events.add(1, {"event": event.kind, "reason": event.reason})
        if event.kind == "read":
            read.record(event.duration or 0.0, {"result": event.reason})
        elif event.kind == "saved":
            save.record(event.duration or 0.0)
            rounds.record(event.requests)
            if event.size is not None:
                size.record(event.size)

    return listen


def prometheus(registry: "CollectorRegistry | None" = None) -> OnEvent:
    """
    Return a listener that counts for Prometheus: for `session(..., on_event=)`.

    Call it once for a registry; several middlewares may share the listener.

    Args:
        registry: None: the client's own.

    Raises:
        ConfigurationError: prometheus-client is not installed: pip install 'coatcheck[prometheus]'.
    """
    try:
        from prometheus_client import REGISTRY, Counter, Histogram
    except ImportError as missing:
        raise ConfigurationError(
            "prometheus() needs a package: pip install 'coatcheck[prometheus]'"
        ) from missing
    to: Any = {"registry": registry or REGISTRY}

    def histogram(name: str, unit: str, bounds: tuple[float, ...], labels: tuple[str, ...]) -> Any:
        written = name.replace(".", "_")
        return Histogram(written, ABOUT[name], labels, unit=unit, buckets=bounds, **to)

    events = Counter(EVENTS.replace(".", "_"), ABOUT[EVENTS], ("event", "reason"), **to)
    read = histogram(READ, "seconds", SECONDS, ("result",))
    save = histogram(SAVE, "seconds", SECONDS, ())
    rounds = histogram(TRIES, "", ROUNDS, ())
    size = histogram(SIZE, "bytes", BYTES, ())

    def listen(event: Event) -> None:
        events.labels(event.kind, event.reason).inc()
        if event.kind == "read":
            read.labels(event.reason).observe(event.duration or 0.0)
        elif event.kind == "saved":
            save.observe(event.duration or 0.0)
            rounds.observe(event.requests)
            if event.size is not None:
                size.observe(event.size)

    return listen
