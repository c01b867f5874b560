"""What Prometheus is told: counts and gauges, by the names of the contract.

Labels are bounded whatever strangers write: every value comes from a fixed list, and what is not on it counts as
`other`. There is no label per peer. Sources are the operator's own files; beyond SOURCES of them they count as `other`.

Counting is an addition in a dictionary, since it is done for each line and session; prometheus_client writes the text
when it is asked for. Missing while the keeper does not answer: mailtls_door_up, mailtls_conntrack_ratio. At zero from
the start: what an alarm compares. What is told of messages: messagemetrics.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mailtls.core.action import Action
from mailtls.core.cause import Outcome
from mailtls.core.history import StatementKind
from mailtls.core.level import Level
from mailtls.core.peerstate import PeerState
from mailtls.core.session import Session
from mailtls.service.messagemetrics import MessageMetrics

OTHER = "other"
SOURCES = 32
TLS_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
NO_VERSION = "none"
APPLY_KINDS = ("grant", "renew", "withdraw")
"""Requests to the keeper (keeperprotocol)."""
APPLY_RESULTS = ("live", "refused", "pending")
"""`live`: a look-up in Postfix's tables proved it; `pending`: on the list, or not answered yet, and not proved."""
HELLO_KINDS = ("heard", "matched", "lost", "garbage")
"""As in ObserverStatus."""
LINE_KINDS = ("understood", "ignored", "unknown")
SERVER_FAULTS = (
    "tls", "configuration", StatementKind.LMTP_GREETING, StatementKind.DOVECOT_FATAL, StatementKind.TLS_DISABLED, OTHER,
)  # fmt: skip
"""`tls`: what the sessions show (core/serverfault.py); `configuration`: what is in main.cf and master.cf would break
Postfix (changewatch); the others are what the server said of itself."""
_FAILED = (Outcome.TLS_FAILED, Outcome.SERVER_TLS_BROKEN)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Seconds; the goals for a reaction are 20 ms for the median and 100 ms for one in a hundred."""


@dataclass(slots=True)
class Durations:
    """How often something took how long, in BUCKETS."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def took(self, seconds: float) -> None:
        """Count one; a clock that jumped back counts as no time."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def family(self, name: str, what: str) -> HistogramMetricFamily:
        """Give them as Prometheus counts: each bucket with all that were quicker."""
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        return HistogramMetricFamily(name, what, list(zip(bounds, accumulate(self.counts), strict=True)), self.total)


class Metrics(Collector):
    """Counts since the start, and how things stand."""

    def __init__(self) -> None:
        self._sessions: Counter[tuple[str, ...]] = Counter()
        self._failures: Counter[tuple[str, ...]] = Counter()
        self._decisions: Counter[tuple[str, ...]] = Counter({(action,): 0 for action in Action})
        self._applied: Counter[tuple[str, ...]] = Counter(
            {(kind, result): 0 for kind in APPLY_KINDS for result in APPLY_RESULTS}
        )
        self._lines: Counter[tuple[str, ...]] = Counter()
        self._sources: set[str] = set()
        self._apply_seconds = Durations()
        self._reaction_seconds = Durations()
        self._lag = 0.0
        self._waivers: dict[str, int] = dict.fromkeys(Level, 0)
        self._peers: dict[str, int] = dict.fromkeys(PeerState, 0)
        self._server_faults: dict[str, int] = dict.fromkeys(SERVER_FAULTS, 0)
        self._hellos: dict[tuple[str, ...], int] = {(kind,): 0 for kind in HELLO_KINDS}
        self._doors: dict[str, int] = {}
        self._conntrack: float | None = None
        self.messages = MessageMetrics()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self._registry)

    # --- what happens ----------------------------------------------------------------------------------------

    def session(self, session: Session) -> None:
        """Count a session that ended."""
        version = session.tls_version
        known = NO_VERSION if version is None else version if version in TLS_VERSIONS else OTHER
        self._sessions[session.service, session.door, session.outcome, known] += 1
        if session.outcome in _FAILED:
            self._failures[session.service, session.door, session.cause] += 1

    def decision(self, action: Action) -> None:
        """Count a decision."""
        self._decisions[(action,)] += 1

    def apply(self, kind: str, result: str, seconds: float | None = None) -> None:
        """Count a request to the keeper; `seconds` from its arrival there to the proof that it is live."""
        self._applied[_one_of(APPLY_KINDS, kind), _one_of(APPLY_RESULTS, result)] += 1
        if seconds is not None:
            self._apply_seconds.took(seconds)

    def reaction(self, seconds: float) -> None:
        """Count what passed from bytes that were readable to the proof that what followed from them is live."""
        self._reaction_seconds.took(seconds)

    def lines(self, source: str, kind: str, number: int) -> None:
        """Count lines of one source."""
        if source not in self._sources:
            source = self._new_source(source)
        self._lines[source, _one_of(LINE_KINDS, kind)] += number

    def _new_source(self, source: str) -> str:
        if len(self._sources) >= SOURCES:
            return OTHER
        self._sources.add(source)
        self._lines.update({(source, kind): 0 for kind in LINE_KINDS})
        return source

    # --- how things stand ------------------------------------------------------------------------------------

    def lag(self, seconds: float) -> None:
        """Set how long the slowest source has been behind what is written to it; 0 where none is."""
        self._lag = max(0.0, seconds)

    def waivers(self, by_level: Mapping[Level, int]) -> None:
        """Set how many waivers stand; a level that is not named has none."""
        self._waivers = {level: by_level.get(level, 0) for level in Level}

    def peers(self, by_state: Mapping[str, int]) -> None:
        """Set how many peers are known; a state that is not named has none."""
        self._peers = {state: by_state.get(state, 0) for state in PeerState}

    def server_fault(self, kind: str, on: bool) -> None:
        """Set whether the server has this fault."""
        self._server_faults[_one_of(SERVER_FAULTS, kind)] = int(on)

    def hellos(self, heard: int, matched: int, lost: int, garbage: int) -> None:
        """Set what was heard of the observer so far; `lost` begins anew with the observer."""
        self._hellos = {("heard",): heard, ("matched",): matched, ("lost",): lost, ("garbage",): garbage}

    def doors(self, up: Mapping[Level, bool]) -> None:
        """Set which doors there are, and which of them serve; none while that is not known."""
        self._doors = {level: int(serves) for level, serves in up.items()}

    def conntrack(self, ratio: float | None) -> None:
        """Set how full the kernel's table of connections is, from 0 to 1; None where it is not in use, or not known."""
        self._conntrack = ratio

    # --- for prometheus_client -------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """Give every family, with its help; called by the registry."""
        yield _counts(
            "mailtls_sessions", "Sessions that ended, by how TLS went.", self._sessions,
            ("service", "door", "outcome", "tls_version"),
        )  # fmt: skip
        yield _counts(
            "mailtls_failures",
            "Sessions whose handshake failed, by cause.",
            self._failures,
            ("service", "door", "cause"),
        )
        yield _gauges("mailtls_peers", "Peers that are remembered, by how they fare.", "state", self._peers)
        yield _gauges("mailtls_waivers", "Waivers that stand, by level.", "level", self._waivers)
        yield _counts("mailtls_decisions", "Decisions of the policy.", self._decisions, ("action",))
        yield _counts(
            "mailtls_apply", "Requests to the keeper, by what came of them.", self._applied, ("kind", "result")
        )
        yield self._apply_seconds.family(
            "mailtls_apply_seconds", "From a request's arrival at the keeper to the proof that it is live."
        )
        yield self._reaction_seconds.family(
            "mailtls_reaction_seconds", "From readable log lines to the proof that what followed from them is live."
        )
        yield _counts(
            "mailtls_log_lines", "Lines read from the logs, by whether they were understood.", self._lines,
            ("source", "kind"),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "mailtls_log_lag_seconds", "How long the slowest log has been behind what is written to it.", self._lag
        )
        yield _gauges(
            "mailtls_server_fault",
            "1 where the server itself breaks TLS, by how it shows.",
            "kind",
            self._server_faults,
        )
        yield _counts(
            "mailtls_hellos", "Hellos that mailtls-observer told of, by what became of them.", self._hellos, ("kind",)
        )
        yield from self._of_the_keeper()
        yield from self.messages.families()

    def _of_the_keeper(self) -> Iterator[Metric]:
        yield _gauges(
            "mailtls_door_up", "1 where the door serves and its peers are sent to it, 0 where it does not.", "door",
            self._doors,
        )  # fmt: skip
        if self._conntrack is not None:
            yield GaugeMetricFamily(
                "mailtls_conntrack_ratio", "How full the kernel's table of connections is, from 0 to 1.",
                self._conntrack,
            )  # fmt: skip


def _one_of(known: tuple[str, ...], word: str) -> str:
    return word if word in known else OTHER


def _counts(name: str, what: str, counts: Mapping[tuple[str, ...], int], labels: tuple[str, ...]) -> Metric:
    family = CounterMetricFamily(name, what, labels=labels)
    for values, number in counts.items():
        family.add_metric(values, number)
    return family


def _gauges(name: str, what: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
