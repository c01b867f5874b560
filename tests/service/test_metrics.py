"""What Prometheus is told: the contract's names, bounded labels, and honest figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mailtls.core.action import Action
from mailtls.core.cause import Cause, Door, Outcome, Service
from mailtls.core.delegation import Malformed
from mailtls.core.history import StatementKind
from mailtls.core.level import Level
from mailtls.core.peer import Peer
from mailtls.core.session import Session
from mailtls.core.verdict import Answer, Ground
from mailtls.service.metrics import BUCKETS, SOURCES, Durations, Metrics

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
CONTROL = Path(__file__).parents[2] / "docs" / "control.md"
# DESIGN.md "Metrics", and what is told of messages beside it.
CONTRACT = {
    "mailtls_sessions_total": {"service", "door", "outcome", "tls_version"},
    "mailtls_failures_total": {"service", "door", "cause"},
    "mailtls_peers": {"state"},
    "mailtls_waivers": {"level"},
    "mailtls_decisions_total": {"action"},
    "mailtls_apply_total": {"kind", "result"},
    "mailtls_apply_seconds": set(),
    "mailtls_reaction_seconds": set(),
    "mailtls_log_lines_total": {"source", "kind"},
    "mailtls_log_lag_seconds": set(),
    "mailtls_hellos_total": {"kind"},
    "mailtls_server_fault": {"kind"},
    "mailtls_door_up": {"door"},
    "mailtls_conntrack_ratio": set(),
    "mailtls_policy_requests_total": {"verdict"},
    "mailtls_policy_seconds": set(),
    "mailtls_policy_malformed_total": {"kind"},
    "mailtls_facts_dropped_total": set(),
    "mailtls_verdicts_total": {"ground", "answer"},
    "mailtls_milter_parcels_total": {"kind"},
    "mailtls_messages_total": {"door", "tls_version"},
}


def session(
    outcome: Outcome = Outcome.TLS_OK,
    cause: Cause = Cause.NONE,
    service: Service = Service.SMTPD,
    version: str | None = "TLSv1.3",
) -> Session:
    return Session(
        at=NOW, peer=Peer("192.0.2.7", None), service=service, door=Door.STRICT, outcome=outcome, cause=cause,
        tls_version=version,
    )  # fmt: skip


def busy() -> Metrics:
    """Everything has happened once."""
    metrics = Metrics()
    metrics.session(session())
    metrics.session(session(Outcome.TLS_FAILED, Cause.PEER_TOO_OLD, version=None))
    metrics.decision(Action.WAIVE)
    metrics.apply("grant", "live", 0.003)
    metrics.reaction(0.015)
    metrics.lines("file:/var/log/mail.log", "understood", 7)
    metrics.lag(0.5)
    metrics.waivers({Level.CLEARTEXT: 1})
    metrics.peers({"ok": 3, "failing": 1})
    metrics.server_fault("tls", on=True)
    metrics.doors({Level.LEGACY: True})
    metrics.conntrack(0.25)
    metrics.hellos(9, 7, 1, 2)
    metrics.messages.asked("dunno", 0.00002)
    metrics.messages.malformed(Malformed.EMPTY)
    metrics.messages.verdict(Ground.DOWNGRADE, Answer.NOTE)
    metrics.messages.message("strict", "TLSv1.3")
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Everything that is told, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_the_names_and_labels_are_those_of_the_contract_and_no_others() -> None:
    told: dict[str, set[str]] = {}
    for name, labels in samples(busy()):
        base = name
        for suffix in ("_bucket", "_count", "_sum"):
            base = base.removesuffix(suffix)
        told.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    assert told == CONTRACT


@pytest.mark.parametrize("metrics", [Metrics(), busy()], ids=["at the start", "busy"])
def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    result = subprocess.run([promtool, "check", "metrics"], input=metrics.text(), capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


# --- figures -----------------------------------------------------------------------------------------------------


def test_sessions_are_counted_by_what_they_were() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.session(session(service=Service.SUBMISSION))
    metrics.session(session(Outcome.NO_STARTTLS, version=None))
    where = {"door": "strict", "outcome": "tls_ok", "tls_version": "TLSv1.3"}
    assert value(metrics, "mailtls_sessions_total", service="submission", **where) == 3
    assert (
        value(
            metrics, "mailtls_sessions_total", service="smtpd", door="strict", outcome="no_starttls", tls_version="none"
        )
        == 1
    )
    assert not any(name == "mailtls_failures_total" for name, _ in samples(metrics))


BROKEN = (Outcome.TLS_FAILED, Outcome.SERVER_TLS_BROKEN)


def mixed() -> Metrics:
    """One session of each outcome at the strict door, four more that went well."""
    metrics = Metrics()
    for outcome in (*Outcome, *[Outcome.TLS_OK] * 4):
        failed = outcome in BROKEN
        metrics.session(session(outcome, Cause.NO_SHARED_CIPHER if failed else Cause.NONE))
    return metrics


def test_sessions_of_every_outcome_are_the_denominator_of_failures() -> None:
    counted = [(labels, number) for (name, labels), number in samples(mixed()).items() if name == "mailtls_sessions_total"]
    assert {dict(labels)["outcome"] for labels, _ in counted} == set(Outcome)
    assert sum(number for _, number in counted) == len(Outcome) + 4
    assert sum(number for labels, number in counted if dict(labels)["outcome"] in BROKEN) == 2
    assert value(mixed(), "mailtls_failures_total", service="smtpd", door="strict", cause="no_shared_cipher") == 2


def _spelled(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    return name + "{" + ",".join(f'{label}="{text}"' for label, text in labels) + "}"


def test_the_failure_rate_of_the_manual_is_what_prometheus_computes(tmp_path: Path) -> None:
    """docs/control.md: two of eight sessions a minute fail, for two hours."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    (rate,) = re.findall(r"```promql\n(.*?)```", CONTROL.read_text("utf-8"), re.DOTALL)
    series = [
        {"series": _spelled(name, labels), "values": f"0+{number:.0f}x120"}
        for (name, labels), number in samples(mixed()).items()
        if name == "mailtls_sessions_total"
    ]
    expected = [{"labels": '{service="smtpd", door="strict"}', "value": 0.25}]
    asked = [{"expr": rate, "eval_time": "2h", "exp_samples": expected}]
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]
    file = tmp_path / "rates.json"  # which is YAML, too
    file.write_text(json.dumps({"tests": tests}))
    result = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("outcome", BROKEN)
def test_failures_are_counted_by_cause(outcome: Outcome) -> None:
    metrics = Metrics()
    metrics.session(session(outcome, Cause.NO_SHARED_CIPHER))
    assert value(metrics, "mailtls_failures_total", service="smtpd", door="strict", cause="no_shared_cipher") == 1


def test_a_peer_that_left_after_a_handshake_is_no_failure() -> None:
    metrics = Metrics()
    metrics.session(session(Outcome.TLS_OK, Cause.DROPPED_AFTER_TLS))
    assert not any(name == "mailtls_failures_total" for name, _ in samples(metrics))


def test_gauges_say_how_things_stand_now_also_that_there_is_none_any_more() -> None:
    metrics = busy()
    assert value(metrics, "mailtls_waivers", level="cleartext") == 1
    assert value(metrics, "mailtls_peers", state="ok") == 3
    assert value(metrics, "mailtls_server_fault", kind="tls") == 1
    metrics.waivers({})
    metrics.peers({"failing": 2})
    metrics.server_fault("tls", on=False)
    metrics.lag(0.0)
    assert value(metrics, "mailtls_waivers", level="cleartext") == 0
    assert value(metrics, "mailtls_peers", state="ok") == 0
    assert value(metrics, "mailtls_peers", state="failing") == 2
    assert value(metrics, "mailtls_server_fault", kind="tls") == 0
    assert value(metrics, "mailtls_log_lag_seconds") == 0


def test_what_an_alarm_compares_is_there_from_the_start() -> None:
    metrics = Metrics()
    for name, labels in {
        "mailtls_apply_total": {"kind": "grant", "result": "refused"},
        "mailtls_decisions_total": {"action": "waive"},
        "mailtls_waivers": {"level": "legacy"},
        "mailtls_peers": {"state": "failing"},
        "mailtls_server_fault": {"kind": StatementKind.TLS_DISABLED},
        "mailtls_log_lag_seconds": {},
    }.items():
        assert value(metrics, name, **labels) == 0, name
    metrics.lines("journal", "understood", 1)
    assert value(metrics, "mailtls_log_lines_total", source="journal", kind="unknown") == 0


def test_hellos_are_told_by_what_became_of_them() -> None:
    metrics = Metrics()
    assert value(metrics, "mailtls_hellos_total", kind="lost") == 0
    metrics.hellos(9, 7, 1, 2)
    told = {kind: value(metrics, "mailtls_hellos_total", kind=kind) for kind in ("heard", "matched", "lost", "garbage")}
    assert told == {"heard": 9, "matched": 7, "lost": 1, "garbage": 2}


def test_a_door_serves_or_does_not_and_is_not_told_while_that_is_not_known() -> None:
    metrics = Metrics()
    metrics.doors({Level.LEGACY_RSA: True, Level.LEGACY: False})
    metrics.conntrack(0.9)
    assert value(metrics, "mailtls_door_up", door="legacy-rsa") == 1
    assert value(metrics, "mailtls_door_up", door="legacy") == 0
    assert value(metrics, "mailtls_conntrack_ratio") == 0.9
    metrics.doors({})
    metrics.conntrack(None)
    told = {name for name, _ in samples(metrics)}
    assert not told & {"mailtls_door_up", "mailtls_conntrack_ratio"}


def test_a_request_to_the_keeper_is_timed_only_where_it_went_live() -> None:
    metrics = Metrics()
    metrics.apply("grant", "refused")
    metrics.apply("grant", "live", 0.004)
    assert value(metrics, "mailtls_apply_total", kind="grant", result="refused") == 1
    assert value(metrics, "mailtls_apply_seconds_count") == 1
    assert value(metrics, "mailtls_apply_seconds_sum") == 0.004
    assert value(metrics, "mailtls_apply_seconds_bucket", le="0.0025") == 0
    assert value(metrics, "mailtls_apply_seconds_bucket", le="0.005") == 1
    assert value(metrics, "mailtls_apply_seconds_bucket", le="+Inf") == 1


@given(st.lists(st.floats(-10, 1e6), max_size=50))
def test_each_bucket_holds_all_that_were_not_slower(taken: list[float]) -> None:
    durations = Durations()
    for seconds in taken:
        durations.took(seconds)
    told = {sample.labels.get("le"): sample.value for sample in durations.family("x", "x.").samples}
    for bound in BUCKETS:
        assert told[str(bound)] == sum(seconds <= bound for seconds in taken)
    assert told["+Inf"] == len(taken)


# --- strangers ---------------------------------------------------------------------------------------------------


def test_labels_are_bounded_whatever_strangers_write() -> None:
    metrics = busy()
    before = len(samples(metrics))
    for number in range(10_000):
        rubbish = f'x{number}"}}\n\x1b[2J'
        metrics.session(session(version=rubbish))
        metrics.apply(rubbish, rubbish)
        metrics.lines("file:/var/log/mail.log", rubbish, 1)
        metrics.server_fault(rubbish, on=True)
        metrics.peers({rubbish: 1})
    assert len(samples(metrics)) <= before + 4
    where = {"service": "smtpd", "door": "strict", "outcome": "tls_ok"}
    assert value(metrics, "mailtls_sessions_total", tls_version="other", **where) == 10_000
    assert value(metrics, "mailtls_apply_total", kind="other", result="other") == 10_000
    assert value(metrics, "mailtls_server_fault", kind="other") == 1
    assert "x1" not in metrics.text().decode()


def test_sources_are_bounded_too() -> None:
    metrics = Metrics()
    for number in range(SOURCES + 10):
        metrics.lines(f"file:/var/log/{number}", "understood", 1)
    named = {dict(labels)["source"] for name, labels in samples(metrics) if name == "mailtls_log_lines_total"}
    assert len(named) == SOURCES + 1
    assert value(metrics, "mailtls_log_lines_total", source="other", kind="understood") == 10


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])
def test_versions_are_told_as_postfix_prints_them(version: str) -> None:
    metrics = Metrics()
    metrics.session(session(version=version))
    assert f'tls_version="{version}"' in metrics.text().decode()
