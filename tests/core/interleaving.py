"""Busy servers, made up: many processes whose lines are woven into one log, and the truth about every client."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from .reading import Facts, smtpd, tlsproxy
from .transcripts import ESTABLISHED, FAILED, MX, NO_CIPHER, OK, PLAIN, RECORD, SESSIONS, TOO_OLD, UNKNOWN_CA

# Sessions that may follow each other in one process: each begins with `connect`.
CASES = sorted(case for case, (lines, _) in SESSIONS.items() if lines[0].startswith("connect from"))
TAGS = {"postfix/smtpd": "smtpd", "postfix/smtps/smtpd": "smtps", "postfix/submission/smtpd": "submission"}
IPS = tuple(f"192.0.2.{number}" for number in range(1, 6))

REASONS = {
    NO_CIPHER: "no shared cipher",
    TOO_OLD: "unsupported protocol",
    UNKNOWN_CA: "tlsv1 alert unknown ca",
    RECORD: "unexpected record",
}
# What one line alone lets a reader say, if it is all that is left of a session.
SAID = (
    "no cipher match",
    "invalid cipher grade",
    "error setting cipher grade",
    "TLS context initialization failed",
    "lost connection",
    "Connection timed out",
    "Connection reset by peer",
)
LIMITED = "New TLS session rate limit exceeded"
TROUBLE = ("error", "starttls=0/", "Refusing", "dropped", "invalid cipher", *SAID)


@dataclass
class World:
    """Lines of each process, in order, as units that nothing comes between; and what really happened.

    `truth`: the verdicts. `reasons`: what may be said of an address. `troubled`: sessions of an address that had any
    trouble with TLS: so many failures may be counted, even where lines are lost.
    """

    processes: list[list[list[str]]] = field(default_factory=list)
    truth: Counter[Facts] = field(default_factory=Counter)
    reasons: dict[str, set[str | None]] = field(default_factory=dict)
    troubled: Counter[str] = field(default_factory=Counter)

    def happened(self, ip: str, service: str, verdict: tuple[str, str, str | None] | None, lines: list[str]) -> None:
        """Note the truth about one session."""
        reasons = self.reasons.setdefault(ip, {None})
        reasons.update(REASONS[line] for line in lines if line in REASONS)
        reasons.update(words for words in SAID if any(words in line for line in lines))
        if any(LIMITED in line or "Refusing" in line for line in lines):
            reasons.add(LIMITED)
        if verdict is not None:
            self.truth[(ip, service, *verdict)] += 1
        if any(mark in line for line in lines for mark in TROUBLE):
            self.troubled[ip] += 1

    def woven(self, order: list[int]) -> list[list[str]]:
        """The units of one log: `order` names, for each, the process whose turn it is."""
        left = [iter(process) for process in self.processes]
        return [next(left[number]) for number in order]

    def turns(self) -> list[int]:
        """The order of one process after the other."""
        return [number for number, process in enumerate(self.processes) for _ in process]


def _smtpd_process(world: World, draw: st.DrawFn, pid: int, cases: list[str]) -> None:
    tag = draw(st.sampled_from(sorted(TAGS)))
    units: list[list[str]] = []
    for _ in range(draw(st.integers(1, 4))):
        lines, verdict = SESSIONS[draw(st.sampled_from(cases))]
        if verdict is not None and verdict[0] == PLAIN and TAGS[tag] == "smtps":
            verdict = (OK, *verdict[1:])  # wrapper mode
        ip = draw(st.sampled_from(IPS))
        messages = [line.replace(MX, f"host{ip[-1]}.example.net[{ip}]") for line in lines]
        world.happened(ip, TAGS[tag], verdict, messages)
        units += [[line] for line in smtpd(*messages, tag=tag, pid=pid)]
    world.processes.append(units)


def _tlsproxy_clients(world: World, draw: st.DrawFn, pid: int) -> None:
    """Each client of tlsproxy is woven like a process of its own; a reason and its failure are one unit.

    They are lost together too: if only the failure's line is lost, nobody can tell that the next one is not meant.
    """
    for port in range(draw(st.integers(0, 3))):
        ip = draw(st.sampled_from(IPS))
        who = f"[{ip}]:{2000 + port}"
        failed = f"TLS handshake failed for service=smtpd peer={who}"
        middle, verdict = draw(
            st.sampled_from(
                [
                    ([NO_CIPHER, failed], (FAILED, "no_shared_cipher", "no shared cipher")),
                    ([TOO_OLD, failed], (FAILED, "peer_too_old", "unsupported protocol")),
                    ([failed], (FAILED, "unknown", None)),
                    ([ESTABLISHED.replace(MX, who)], (OK, "none", None)),
                    ([], None),
                ]
            )
        )
        world.happened(ip, "postscreen", verdict, [*middle, "error"] if verdict and verdict[0] == FAILED else middle)
        lines = [[f"CONNECT from {who}"], middle, [f"DISCONNECT {who}"]]
        world.processes.append([tlsproxy(*unit, pid=pid) for unit in lines if unit])


def lines_of(units: list[list[str]]) -> list[str]:
    """The lines of a log."""
    return [line for unit in units for line in unit]


@st.composite
def worlds(draw: st.DrawFn, cases: list[str] | None = None) -> World:
    """A server with up to four smtpd processes, and a tlsproxy."""
    world = World()
    for number in range(draw(st.integers(1, 4))):
        _smtpd_process(world, draw, 100 + number, cases or CASES)
    _tlsproxy_clients(world, draw, 300)
    return world


@st.composite
def logs(draw: st.DrawFn, cases: list[str] | None = None) -> tuple[World, list[list[str]]]:
    """A world, and one way in which its units may have come into the log."""
    world = draw(worlds(cases))
    return world, world.woven(draw(st.permutations(world.turns())))
