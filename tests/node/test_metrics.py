"""Metrics: what Prometheus' own parser reads, labels from the configuration alone, and nobody counts twice."""

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from console.exposition import Family, Sample, exposed, histogram
from domain.errors import TransientError
from domain.instances import Caller
from domain.repositories import Repository
from node.metrics import BOUNDS, Metrics
from tests.console.browser import console
from tests.node.stage import STUDY, Stage

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "data").mkdir()
    return Stage(tmp_path)


def metrics_of(stage: Stage) -> Metrics:
    return Metrics(stage.store, lambda: stage.settings, lambda: stage.models, stage.clock)


def parsed(text: str) -> Values:
    """Every sample by name and labels."""
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def value(found: Values, name: str, **labels: str) -> float:
    return found[f"ancilla_{name}", tuple(sorted(labels.items()))]


def scraped(metrics: Metrics) -> Values:
    return parsed(exposed(metrics.families()))


def test_counters_begin_at_zero_with_every_label_and_count_what_happens(stage: Stage) -> None:
    stage.receive("1.2.2", "1.2.2.1")
    metrics = metrics_of(stage)
    found = scraped(metrics)
    assert value(found, "received_images_total", device="CT01") == 0
    assert value(found, "deliveries_total", destination="pacs", result="sent") == 0
    assert value(found, "answers_total", model="model-0", outcome="positive") == 0
    stage.settled()
    stage.workers.answer()
    stage.turn()
    for _ in range(2):  # a second scraper sees the same
        found = scraped(metrics)
        assert value(found, "received_images_total", device="CT01") == 3
        assert value(found, "received_bytes_total", device="CT01") == 300
        assert value(found, "answers_total", model="model-0", outcome="negative") == 1
        assert value(found, "deliveries_total", destination="pacs", result="sent") == 1
        assert value(found, "audit_events_total", event="settled") == 2
        assert value(found, "delivery_seconds_count", destination="pacs") == 1
        assert value(found, "delivery_seconds_sum", destination="pacs") == 31
        assert value(found, "delivery_seconds_bucket", destination="pacs", le="30") == 0
        assert value(found, "delivery_seconds_bucket", destination="pacs", le="45") == 1
        assert value(found, "delivery_seconds_bucket", destination="pacs", le="+Inf") == 1


def test_gauges_say_what_waits_and_since_when(stage: Stage) -> None:
    stage.pacs.says = TransientError("connection refused")
    stage.settled()
    stage.workers.answer()
    stage.turn()
    stage.receive("4.4", "4.4.1")
    stage.later(100)
    found = scraped(metrics_of(stage))
    assert value(found, "studies", state="receiving") == value(found, "studies", state="complete") == 1
    assert value(found, "jobs", kind="deliver", state="queued") == 1
    assert value(found, "jobs", kind="commit", state="failed") == 0
    assert value(found, "oldest_queued_job_age_seconds", kind="deliver") == 100
    assert value(found, "oldest_queued_job_age_seconds", kind="infer") == 0
    assert value(found, "oldest_receiving_study_quiet_seconds") == 100
    assert (
        value(found, "destination_retrying", destination="pacs") == value(found, "destination_waiting", destination="pacs") == 1
    )
    assert value(found, "destination_last_success_timestamp_seconds", destination="pacs") == 0
    assert value(found, "free_bytes") > 0
    stage.later(3600)
    stage.pacs.says = 0
    stage.turn()
    found = scraped(metrics_of(stage))
    assert value(found, "destination_last_success_timestamp_seconds", destination="pacs") == stage.now.timestamp()


def test_rows_that_wait_for_the_repository_are_counted_when_there_is_one(stage: Stage) -> None:
    stage.settled()
    assert value(scraped(metrics_of(stage)), "audit_rows_to_send") == 0
    stage.settings = replace(stage.settings, audit=Repository("tls", "log.example", 6514))
    rows = stage.store.head()[0]
    assert value(scraped(metrics_of(stage)), "audit_rows_to_send") == rows > 0
    assert stage.store.forwarded_to(rows - 2, before=0)
    assert value(scraped(metrics_of(stage)), "audit_rows_to_send") == 2


def test_no_label_is_made_of_what_strangers_say(stage: Stage) -> None:
    metrics = metrics_of(stage)
    stage.store.rejected(Caller("EVIL", "ANCILLA", "10.9.9.9"), "unknown")
    stage.settled()
    stage.settings = replace(stage.settings, peers=(), destinations=())
    stage.models = []
    text = exposed(metrics.families())
    found = parsed(text)
    assert "EVIL" not in text and "10.9.9.9" not in text and STUDY not in text and "CT01" not in text
    assert value(found, "received_images_total", device="other") == 3
    assert value(found, "associations_rejected_total") == 1
    labels = {name for _, given in found for name, _ in given}
    assert labels == {"device", "event", "state", "kind", "version"}


def test_any_label_can_be_parsed_again() -> None:
    hostile = 'a"b\\c\nd{}=,\u2028é'
    text = exposed(
        [Family("x_total", "counter", "a\nb \\ c", [Sample(1.5, {"device": hostile})]), Family("y", "gauge", "", [Sample(2)])]
    )
    assert parsed(text) == {("x_total", (("device", hostile),)): 1.5, ("y", ()): 2}


def test_a_histogram_is_cumulative() -> None:
    text = exposed([Family("s", "histogram", "", list(histogram({1.0: 2, 5.0: 1}, 70.25, 4, {"a": "b"})))])
    found = parsed(text)
    bounds = [found["s_bucket", (("a", "b"), ("le", le))] for le in ("1", "5", "+Inf")]
    assert bounds == [2, 3, 4]
    assert (found["s_sum", (("a", "b"),)], found["s_count", (("a", "b"),)]) == (70.25, 4)
    assert sorted(BOUNDS) == list(BOUNDS)


def test_metrics_have_a_path_and_the_media_type_of_the_format(tmp_path: Path) -> None:
    web = console(tmp_path)
    try:
        answer = web.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert value(parsed(answer.text), "studies", state="receiving") == 0
    finally:
        web.stop()
