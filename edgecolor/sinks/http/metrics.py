"""What /metrics shows: the pipeline's state and the viewers, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgecolor.errors import LOSSES

CONTENT_TYPE = CONTENT_TYPE_LATEST
STATES = ("starting", "live", "lost", "ended", "failed")
FEEDS = ("gray", "color", "unknown")
# Name, what it says, and where in the state it is found.
_COUNTERS = (
    ("edgecolor_frames_in", "Frames that the source sent", "frames", "in"),
    ("edgecolor_frames_out", "Frames that went to the sinks", "frames", "out"),
    ("edgecolor_frames_dropped", "Frames that a newer one replaced before they were sent", "frames", "dropped"),
    ("edgecolor_placeholder_frames", "Placeholder frames sent while the source was lost", "frames", "placeholders"),
    ("edgecolor_chroma_guesses", "Chroma guesses made", "chroma", "guesses"),
    ("edgecolor_chroma_dropped", "Frames that got no guess of their own", "chroma", "dropped"),
    ("edgecolor_source_reconnects", "Times that a lost source came back", "source", "reconnects"),
)
_GAUGES = (
    ("edgecolor_source_frame_rate", "Frames a second from the source, over some seconds", "frames", "rate_in"),
    ("edgecolor_frame_rate", "Frames a second to the sinks, over some seconds", "frames", "rate"),
    ("edgecolor_chroma_rate", "Chroma guesses a second, over some seconds", "chroma", "rate"),
    ("edgecolor_chroma_rate_limit", "Most chroma guesses a second that are allowed now; absent without a limit", "chroma", "limit"),
    ("edgecolor_chroma_active", "1 while colours are being guessed", "chroma", "active"),
    ("edgecolor_throttled", "1 while the board is too hot or short of power, and guesses less often", "chroma", "throttled"),
    ("edgecolor_source_frame_age_seconds", "Age of the source's newest frame", "source", "age_s"),
    ("edgecolor_source_width_pixels", "Width of the source's frames", "source", "width"),
    ("edgecolor_source_height_pixels", "Height of the source's frames", "source", "height"),
    ("edgecolor_temperature_celsius", "Temperature of the board's processor", "temperature_c"),
)  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """What the server itself counts. viewers, encoded: by view. refused: credentials that were wrong."""

    viewers: Mapping[str, int]
    encoded: Mapping[str, int]
    bytes_sent: int
    refused: int


class _LiveCollector(Collector):
    """Reads state and traffic when it is asked; a key that the state lacks is a metric that is not there."""

    def __init__(self, state: Callable[[], dict[str, Any]], traffic: Callable[[], Traffic]) -> None:
        self._state, self._traffic = state, traffic

    def collect(self) -> Iterable[Metric]:
        state, traffic = self._state(), self._traffic()
        yield GaugeMetricFamily("edgecolor_up", "1 while the picture is live", float(state.get("state") == "live"))
        yield _one_of("edgecolor_state", "1 for the state that the pipeline is in", "state", STATES, state.get("state"))
        yield _one_of("edgecolor_feed", "1 for what the feed is", "feed", FEEDS, _found(state, "chroma", "feed"))
        for name, says, *path in _COUNTERS:
            if (value := _found(state, *path)) is not None:
                yield CounterMetricFamily(name, says, float(value))
        for name, says, *path in _GAUGES:
            if (value := _found(state, *path)) is not None:
                yield GaugeMetricFamily(name, says, float(value))
        if (value := _found(state, "chroma", "guess_ms")) is not None:
            yield GaugeMetricFamily("edgecolor_chroma_guess_seconds", "Time that the newest guess took", float(value) / 1000)
        losses = _found(state, "source", "losses") or {}
        yield _by_label(CounterMetricFamily("edgecolor_source_losses", "Losses of the source, by kind", labels=["kind"]),
            {kind: losses.get(kind, 0) for kind in (*LOSSES, *(set(losses) - set(LOSSES)))})  # fmt: skip
        if (latency := state.get("latency")) and "buckets" in latency:
            buckets = [(f"{float(bound):g}", float(count)) for bound, count in latency["buckets"]]
            buckets.append(("+Inf", float(latency["count"])))
            says = "Time from capture until a frame is with all sinks"
            yield HistogramMetricFamily("edgecolor_latency_seconds", says, buckets, latency["sum"])
        yield _by_label(GaugeMetricFamily("edgecolor_viewers", "Streams being watched, by view", labels=["view"]), traffic.viewers)
        yield _by_label(CounterMetricFamily("edgecolor_encodes", "JPEGs encoded, by view", labels=["view"]), traffic.encoded)
        yield CounterMetricFamily("edgecolor_sent_bytes", "Bytes of pictures handed to viewers", float(traffic.bytes_sent))
        yield CounterMetricFamily("edgecolor_refused_credentials", "Requests with a wrong password or token", float(traffic.refused))
        model = state.get("model") or {}
        if isinstance(model, dict):
            about = {"version": state.get("version"), "model": model.get("name"), "model_sha256": model.get("sha256")}
            yield InfoMetricFamily("edgecolor_build", "What is running", {name: str(value or "") for name, value in about.items()})


class Metrics:
    """A registry of its own, so that nothing else in the process adds to it or collides with it."""

    def __init__(self, state: Callable[[], dict[str, Any]], traffic: Callable[[], Traffic]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_LiveCollector(state, traffic))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The metrics now; to be sent as CONTENT_TYPE."""
        return generate_latest(self._registry)


def _found(state: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(state, dict):
            return None
        state = state.get(name)
    return state


def _one_of(name: str, says: str, label: str, known: tuple[str, ...], now: Any) -> Metric:
    return _by_label(GaugeMetricFamily(name, says, labels=[label]), {one: one == now for one in known})


def _by_label(family: Any, values: Mapping[str, Any]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], float(value))
    metric: Metric = family
    return metric
