"""What is counted of messages, under labels that no stranger chooses."""

from __future__ import annotations

from mailtls.core.verdict import Answer
from mailtls.service.messagemetrics import BOUNDS, MessageMetrics


def samples(metrics: MessageMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.families()
        for sample in family.samples
    }


def test_every_answer_is_there_from_the_start_so_that_an_alarm_can_compare() -> None:
    told = samples(MessageMetrics())
    assert {told["mailtls_policy_requests_total", answer.value] for answer in Answer} == {0.0}
    assert told["mailtls_policy_requests_total", "malformed"] == 0.0


def test_a_question_falls_into_the_bucket_of_its_time_and_all_above() -> None:
    metrics = MessageMetrics()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.5, 99.0):
        metrics.asked("dunno", seconds)
    told = samples(metrics)
    assert told["mailtls_policy_seconds_bucket", str(BOUNDS[0])] == 1
    assert told["mailtls_policy_seconds_bucket", str(BOUNDS[1])] == 2
    assert told["mailtls_policy_seconds_bucket", str(BOUNDS[-1])] == 2
    assert told["mailtls_policy_seconds_bucket", "+Inf"] == told[("mailtls_policy_seconds_count",)] == 3


def test_versions_that_nobody_knows_are_other() -> None:
    metrics = MessageMetrics()
    for version in ("TLSv1.3", "TLSv1.9", "evil", None):
        metrics.message("strict", version)
    told = {key[1:]: value for key, value in samples(metrics).items() if key[0] == "mailtls_messages_total"}
    assert told == {("strict", "TLSv1.3"): 1, ("strict", "other"): 2, ("strict", "none"): 1}
