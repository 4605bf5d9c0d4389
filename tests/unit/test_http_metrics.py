"""/metrics is valid Prometheus text and says what the state says."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgecolor.errors import LOSSES
from edgecolor.meters import Histogram
from edgecolor.sinks.http.metrics import Metrics, Traffic

TRAFFIC = Traffic({"color": 2, "gray": 0, "split": 1}, {"color": 70, "gray": 0, "split": 9}, 123456, 3)


def full_state() -> dict[str, Any]:
    latency = Histogram((0.01, 0.1, 1.0))
    for seconds in (0.005, 0.05, 0.05, 5.0):
        latency.observe(seconds)
    return {
        "state": "lost",
        "reason": 'a "quoted"\nreason',
        "source": {"name": "cam", "width": 768, "height": 432, "age_s": 1.5, "losses": {"silent": 2}, "reconnects": 1, "retry_in_s": None},
        "frames": {"in": 100, "out": 90, "dropped": 10, "rate_in": 9.9, "rate": 9.5, "placeholders": 4},
        "chroma": {
            "mode": "auto", "feed": "gray", "active": True, "guesses": 80, "dropped": 7, "rate": 8.5, "limit": None, "guess_ms": 42.0,
            "throttled": True,
        },
        "latency": {**latency.snapshot(), "median_ms": 50.0},
        "temperature_c": 61.5,
        "model": {"name": 'odd "name"\\', "sha256": "abc"},
        "version": "0.1.0",
    }  # fmt: skip


def parsed(state: dict[str, Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = Metrics(lambda: state, lambda: TRAFFIC).text().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample is there twice"
    return found


def test_every_value_is_there_under_its_name() -> None:
    found = parsed(full_state())

    def value(name: str, **labels: str) -> float:
        return found[f"edgecolor_{name}", tuple(sorted(labels.items()))]

    assert value("up") == 0 and value("state", state="lost") == 1 and value("state", state="live") == 0
    assert value("feed", feed="gray") == 1 and value("feed", feed="color") == 0
    assert (value("frames_in_total"), value("frames_out_total"), value("frames_dropped_total")) == (100, 90, 10)
    assert (value("placeholder_frames_total"), value("source_frame_rate"), value("frame_rate")) == (4, 9.9, 9.5)
    assert (value("chroma_guesses_total"), value("chroma_rate"), value("throttled")) == (80, 8.5, 1)
    assert value("chroma_guess_seconds") == pytest.approx(0.042)
    assert {kind: value("source_losses_total", kind=kind) for kind in LOSSES} == {kind: 2 * (kind == "silent") for kind in LOSSES}
    assert value("source_reconnects_total") == 1 and value("temperature_celsius") == 61.5
    assert (value("viewers", view="color"), value("encodes_total", view="split"), value("sent_bytes_total")) == (2, 9, 123456)
    assert value("refused_credentials_total") == 3
    assert value("build_info", model='odd "name"\\', model_sha256="abc", version="0.1.0") == 1
    assert ("edgecolor_chroma_rate_limit", ()) not in found, "no limit is no value, not zero"


def test_the_histogram_is_cumulative_and_whole() -> None:
    found = parsed(full_state())
    buckets = {labels[0][1]: value for (name, labels), value in found.items() if name == "edgecolor_latency_seconds_bucket"}
    assert buckets == {"0.01": 1, "0.1": 3, "1": 3, "+Inf": 4}
    assert found["edgecolor_latency_seconds_count", ()] == 4
    assert found["edgecolor_latency_seconds_sum", ()] == pytest.approx(5.105)


def test_every_family_says_what_it_is_and_of_what_type() -> None:
    text = Metrics(full_state, lambda: TRAFFIC).text().decode()
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type != "unknown", family.name


@pytest.mark.parametrize("missing", ["source", "frames", "chroma", "latency", "temperature_c", "model"])
def test_what_the_state_lacks_is_left_out(missing: str) -> None:
    state = full_state()
    del state[missing]
    assert parsed(state)["edgecolor_up", ()] == 0


def test_two_sinks_in_one_process_do_not_collide() -> None:
    assert parsed({"state": "live"})["edgecolor_up", ()] == 1
    assert parsed({"state": "starting"})["edgecolor_up", ()] == 0
