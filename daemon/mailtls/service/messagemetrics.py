"""What Prometheus is told of messages: questions of the policy protocol, verdicts, and messages by version.

As in metrics.py every label comes from a fixed list, and none names a peer. `mailtls_messages_total` counts a message
once, whether Postfix told of it by the policy protocol, the milter or both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from mailtls.core.delegation import Malformed
from mailtls.core.verdict import Answer, Ground
from mailtls.service.factsreception import KINDS

MALFORMED = "malformed"
TLS_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
NO_VERSION, OTHER = "none", "other"
BOUNDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
"""Seconds from the last byte of a question to the answer."""


class MessageMetrics:
    """Counts since the start."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter({answer.value: 0 for answer in Answer} | {MALFORMED: 0})
        self._malformed: Counter[str] = Counter({kind.value: 0 for kind in Malformed})
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._messages: Counter[tuple[str, str]] = Counter()
        self._parcels: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self.dropped = 0

    def asked(self, answer: str, seconds: float) -> None:
        """Count a question that was answered with this verdict."""
        self._requests[answer] += 1
        self._seconds += seconds
        place = 0
        for bound in BOUNDS:  # most are answered within the first
            if seconds <= bound:
                break
            place += 1
        self._buckets[place] += 1

    def malformed(self, kind: Malformed) -> None:
        """Count a question that is none."""
        self._requests[MALFORMED] += 1
        self._malformed[kind.value] += 1

    def verdict(self, ground: Ground, answer: Answer) -> None:
        """Count a verdict that was not simply yes."""
        self._verdicts[ground.value, answer.value] += 1

    def message(self, door: str, tls_version: str | None) -> None:
        """Count a message."""
        known = NO_VERSION if tls_version is None else tls_version if tls_version in TLS_VERSIONS else OTHER
        self._messages[door, known] += 1

    def parcel(self, kind: str, more: int) -> None:
        """Count datagrams of the milter, by what became of them."""
        self._parcels[kind] += more

    def families(self) -> Iterator[Metric]:
        """Give every family, with its help."""
        requests = CounterMetricFamily(
            "mailtls_policy_requests", "Questions of Postfix over the policy protocol, by verdict.", labels=("verdict",)
        )
        for verdict, count in self._requests.items():
            requests.add_metric((verdict,), count)
        yield requests
        malformed = CounterMetricFamily(
            "mailtls_policy_malformed", "Questions that are none, answered with DUNNO, by what is wrong.",
            labels=("kind",),
        )  # fmt: skip
        for kind, count in self._malformed.items():
            malformed.add_metric((kind,), count)
        yield malformed
        yield CounterMetricFamily(
            "mailtls_facts_dropped", "Messages that were judged, but not remembered: more came than are taken in.",
            self.dropped,
        )  # fmt: skip
        parcels = CounterMetricFamily(
            "mailtls_milter_parcels", "Messages that the milter told of, by what became of its datagram.",
            labels=("kind",),
        )  # fmt: skip
        for kind, count in self._parcels.items():
            parcels.add_metric((kind,), count)
        yield parcels
        yield self._durations()
        yield self._by_two(
            "mailtls_verdicts", "Verdicts on messages that were not simply yes.", ("ground", "answer"), self._verdicts
        )
        yield self._by_two(
            "mailtls_messages", "Messages that Postfix itself told of at DATA.", ("door", "tls_version"), self._messages
        )

    def _durations(self) -> Metric:
        total, rows = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            rows.append((bound, total))
        return HistogramMetricFamily(
            "mailtls_policy_seconds", "From the last byte of a policy question to its answer.", rows, self._seconds
        )

    def _by_two(self, name: str, what: str, labels: tuple[str, str], counts: Counter[tuple[str, str]]) -> Metric:
        family = CounterMetricFamily(name, what, labels=labels)
        for values, count in counts.items():
            family.add_metric(values, count)
        return family
